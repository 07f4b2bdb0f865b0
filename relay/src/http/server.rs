//! The accept loop of both listeners: every connection has a deadline for whatever it is waiting for, and the
//! number of connections is capped in all and per address.
//!
//! Started by the relay once per listener. It must never wait for a client without a deadline, and a slow or
//! silent client must never cost the others anything.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service as _;

use self::answer::Answer;
use self::connections::{Connections, Slot};
use self::pace::Pace;
use self::socket::Socket;
use super::client_address::IpNet;

mod answer;
mod connections;
mod pace;
mod socket;

/// hyper holds a request's head in one buffer of at most this size; a longer head is answered 431.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// How long to wait before accepting again when the system has no room for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The other end of a connection, in the extensions of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PeerAddress(pub(crate) SocketAddr);

/// What a client may cost.
#[derive(Clone, Debug)]
pub(crate) struct ServerLimits {
    /// From connecting to the first byte.
    pub(crate) first_byte: Duration,
    /// From a request's first byte to the end of its head.
    pub(crate) head: Duration,
    /// From the end of a request's head to the end of its answer. A WebSocket is exempt once it is open.
    pub(crate) request: Duration,
    /// From the end of an answer to the first byte of the next request.
    pub(crate) idle: Duration,
    /// What is in flight at the stop may take this long.
    pub(crate) drain: Duration,
    /// Connections in all, WebSockets included.
    pub(crate) max_connections: usize,
    /// Connections of one address. Trusted proxies and this machine speak for many and are exempt.
    pub(crate) max_per_address: usize,
    pub(crate) trusted_proxies: Vec<IpNet>,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            first_byte: Duration::from_secs(5),
            head: Duration::from_secs(5),
            request: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            drain: Duration::from_secs(10),
            max_connections: 4096,
            max_per_address: 256,
            trusted_proxies: Vec::new(),
        }
    }
}

/// Accepts and serves until `stop`; then requests in flight are finished and connections closed. The
/// connections run as tasks of `tasks`, which the caller waits for.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ServerLimits,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    let connections = Connections::new(limits);
    let mut is_accepting = true;
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, peer)) => {
                is_accepting = true;
                // Over a cap the connection is dropped, which closes it.
                if let Some(slot) = connections.admit(peer.ip()) {
                    tasks.spawn(serve_connection(stream, peer, slot, router.clone(), stop.clone()));
                }
            }
            Err(error) if concerns_one_connection(&error) => {}
            Err(error) => {
                if is_accepting {
                    tracing::error!(%error, "cannot accept connections");
                }
                is_accepting = false;
                stop.run_until_cancelled(sleep(ACCEPT_PAUSE)).await;
            }
        }
    }
}

/// The client went away before it was accepted; the listener is well.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    slot: Slot,
    router: Router,
    stop: CancellationToken,
) {
    // Without it an answer can wait for the client's delayed acknowledgement; it works all the same.
    let _ = stream.set_nodelay(true);
    let limits = Arc::clone(slot.limits());
    // Nothing is allocated for a client that says nothing.
    let mut first_byte = [0];
    let first_byte = timeout(limits.first_byte, stream.peek(&mut first_byte));
    if !matches!(stop.run_until_cancelled(first_byte).await, Some(Ok(Ok(1)))) {
        return;
    }
    let pace = Arc::new(Pace::new(limits));
    let service = service_fn({
        let pace = Arc::clone(&pace);
        move |request| respond(router.clone(), request, peer, Arc::clone(&pace))
    });
    let socket = TokioIo::new(Socket::new(stream, slot, Arc::clone(&pace)));
    let connection = http1::Builder::new()
        // The pace has this deadline too, and it tells an idle client from a slow one.
        .header_read_timeout(None)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(socket, service)
        .with_upgrades();

    let mut connection = pin!(connection);
    let mut stopped = pin!(stop.cancelled());
    let mut timer = pin!(sleep_until(pace.deadline()));
    let mut is_stopping = false;
    poll_fn(|cx| {
        if !is_stopping && stopped.as_mut().poll(cx).is_ready() {
            is_stopping = true;
            pace.stop();
            connection.as_mut().graceful_shutdown();
        }
        if connection.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        // Whatever moves the deadline happens inside the poll above.
        let deadline = pace.deadline();
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        timer.as_mut().poll(cx)
    })
    .await;
}

async fn respond(
    mut router: Router,
    mut request: Request<Incoming>,
    peer: SocketAddr,
    pace: Arc<Pace>,
) -> Result<http::Response<Answer>, Infallible> {
    pace.request_began();
    request.extensions_mut().insert(PeerAddress(peer));
    let response = router.call(request).await?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        pace.upgraded();
    }
    Ok(response.map(|body| Answer::new(body, pace)))
}

#[cfg(test)]
mod tests;
