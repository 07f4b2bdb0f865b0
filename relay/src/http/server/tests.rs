//! The accept loop over real sockets. Every wait ends with an event or fails by a time-out.

use axum::body::{Body, Bytes};
use axum::extract::ws::WebSocketUpgrade;
use axum::routing::get;
use rstest::rstest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;

use super::*;
use crate::http::layers::{EdgeSettings, public_stack};

const SHORT: Duration = Duration::from_millis(200);
const NEVER: Duration = Duration::from_secs(3_600);
const PATIENCE: Duration = Duration::from_secs(20);

/// More than the system buffers between two sockets, so that somebody has to read it.
const TOO_MUCH: usize = 32 * 1024 * 1024;

const GET: &str = "GET / HTTP/1.1\r\nHost: relay\r\n\r\n";

struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    tasks: TaskTracker,
    /// The accept loop; it ends when this is dropped.
    accepting: JoinSet<()>,
}

/// No deadline ends before the test, except those that it sets.
fn patient() -> ServerLimits {
    ServerLimits {
        first_byte: NEVER,
        head: NEVER,
        request: NEVER,
        idle: NEVER,
        drain: NEVER,
        ..ServerLimits::default()
    }
}

fn routes() -> Router {
    Router::new()
        .route("/", get("hello").post(async |body: Bytes| body))
        .route("/endless", get(async || Body::from_stream(futures_util::stream::repeat_with(kibibyte))))
        .route("/large", get(async || vec![b'a'; 64 * 1024 * 1024]))
        .route("/echo", get(async |upgrade: WebSocketUpgrade| upgrade.on_upgrade(echo)))
}

fn kibibyte() -> Result<Bytes, Infallible> {
    Ok(Bytes::from_static(&[b'a'; 1024]))
}

async fn echo(mut socket: axum::extract::ws::WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        if socket.send(message).await.is_err() {
            return;
        }
    }
}

impl Server {
    async fn start(routes: Router, limits: ServerLimits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let mut accepting = JoinSet::new();
        accepting.spawn(serve(listener, routes, limits, stop.clone(), tasks.clone()));
        Self { address, stop, tasks, accepting }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("a connection")
    }

    async fn send(&self, text: impl AsRef<[u8]>) -> TcpStream {
        let mut client = self.connect().await;
        client.write_all(text.as_ref()).await.expect("the server reads");
        client
    }

    /// Waits until none of the connections that are served is left.
    async fn emptied(&self) {
        self.tasks.close();
        timeout(PATIENCE, self.tasks.wait()).await.expect("every connection is over");
    }
}

/// What comes until the server closes the connection.
async fn until_closed(client: &mut TcpStream) -> String {
    let mut received = Vec::new();
    // To be cut off with a reset is to be closed as well.
    let _ = timeout(PATIENCE, client.read_to_end(&mut received)).await.expect("the server closes");
    String::from_utf8(received).expect("a text")
}

/// What comes until it ends with `end`.
async fn until(client: &mut TcpStream, end: &str) -> String {
    let mut received = Vec::new();
    let reading = async {
        while !received.ends_with(end.as_bytes()) {
            assert_ne!(client.read_buf(&mut received).await.expect("an answer"), 0, "closed too early");
        }
    };
    timeout(PATIENCE, reading).await.expect("an answer");
    String::from_utf8(received).expect("a text")
}

fn status(answer: &str) -> &str {
    answer.get("HTTP/1.1 ".len()..).and_then(|rest| rest.get(..3)).unwrap_or("none")
}

#[rstest]
#[case::nothing_sent("", ServerLimits { first_byte: SHORT, ..patient() }, "none")]
#[case::half_a_request_line("PO", ServerLimits { head: SHORT, ..patient() }, "none")]
#[case::half_a_head("GET / HTTP/1.1\r\nHost: re", ServerLimits { head: SHORT, ..patient() }, "none")]
#[case::half_a_body(
    "POST / HTTP/1.1\r\nHost: relay\r\nContent-Length: 10\r\n\r\nhello",
    ServerLimits { request: SHORT, ..patient() },
    "none"
)]
#[case::half_a_chunk(
    "POST / HTTP/1.1\r\nHost: relay\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhello",
    ServerLimits { request: SHORT, ..patient() },
    "none"
)]
#[case::idle_after_an_answer(GET, ServerLimits { idle: SHORT, ..patient() }, "200")]
#[case::half_a_head_after_an_answer(
    "GET / HTTP/1.1\r\nHost: relay\r\n\r\nGET / HT",
    ServerLimits { idle: SHORT, head: SHORT, ..patient() },
    "200"
)]
#[tokio::test]
async fn a_client_that_stops_sending_is_cut_off(
    #[case] sent: &str,
    #[case] limits: ServerLimits,
    #[case] answered: &str,
) {
    let server = Server::start(routes(), limits).await;
    let mut client = server.send(sent).await;
    assert_eq!(status(&until_closed(&mut client).await), answered);
}

#[tokio::test]
async fn a_head_begun_on_an_idle_connection_has_the_deadline_of_a_head() {
    let server = Server::start(routes(), ServerLimits { head: SHORT, ..patient() }).await;
    let mut client = server.send(GET).await;
    until(&mut client, "hello").await;
    client.write_all(b"GET / HT").await.expect("the server reads");
    assert_eq!(until_closed(&mut client).await, "");
}

#[rstest]
#[case::a_stream("/endless")]
#[case::an_answer_that_is_complete("/large")]
#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off(#[case] path: &str) {
    let server = Server::start(routes(), ServerLimits { request: SHORT, ..patient() }).await;
    let client = server.send(format!("GET {path} HTTP/1.1\r\nHost: relay\r\n\r\n")).await;
    client.peek(&mut [0]).await.expect("the answer begins");
    server.emptied().await;
}

#[tokio::test]
async fn a_handler_that_takes_too_long_is_cut_off() {
    let routes = Router::new().route("/", get(std::future::pending::<()>));
    let server = Server::start(routes, ServerLimits { request: SHORT, ..patient() }).await;
    assert_eq!(until_closed(&mut server.send(GET).await).await, "");
}

#[tokio::test]
async fn a_connection_serves_one_request_after_another() {
    let server = Server::start(routes(), patient()).await;
    let mut client = server.send(GET).await;
    until(&mut client, "hello").await;
    client.write_all(GET.as_bytes()).await.expect("the server reads");
    assert_eq!(status(&until(&mut client, "hello").await), "200");
}

#[tokio::test]
async fn every_request_of_a_connection_has_the_whole_time() {
    let server = Server::start(routes(), ServerLimits { request: SHORT, ..patient() }).await;
    let mut client = server.send(GET).await;
    until(&mut client, "hello").await;
    // The first request's deadline passes meanwhile.
    until_closed(&mut server.send("POST / HTTP/1.1\r\nHost: relay\r\nContent-Length: 1\r\n\r\n").await).await;
    client.write_all(GET.as_bytes()).await.expect("the server reads");
    assert_eq!(status(&until(&mut client, "hello").await), "200");
}

#[tokio::test]
async fn a_head_without_end_is_refused() {
    let server = Server::start(routes(), patient()).await;
    let head = format!("GET / HTTP/1.1\r\nHost: relay\r\nX-Long: {}", "a".repeat(2 * MAX_HEAD_BYTES));
    assert_eq!(status(&until_closed(&mut server.send(head).await).await), "431");
}

#[tokio::test]
async fn two_thousand_half_heads_do_not_stop_a_good_client() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let files = getrlimit(Resource::Nofile);
    let current = files.current.map(|current| current.max(8_192));
    setrlimit(Resource::Nofile, Rlimit { current, ..files }).expect("room for both ends");

    let limits = ServerLimits { head: Duration::from_secs(2), ..patient() };
    let server = Server::start(routes(), limits).await;
    let mut slow = Vec::new();
    for _ in 0..2_000 {
        slow.push(server.send("GET / HTTP/1.1\r\nHost: re").await);
    }
    let mut good = server.connect().await;
    for _ in 0..100 {
        good.write_all(GET.as_bytes()).await.expect("the server reads");
        until(&mut good, "hello").await;
    }
    drop(good);
    for client in &mut slow {
        assert_eq!(until_closed(client).await, "");
    }
    server.emptied().await;
}

#[tokio::test]
async fn a_connection_over_the_cap_is_closed_at_once() {
    let server = Server::start(routes(), ServerLimits { max_connections: 1, ..patient() }).await;
    let mut first = server.send(GET).await;
    until(&mut first, "hello").await;
    assert_eq!(until_closed(&mut server.connect().await).await, "");
}

/// Opens a WebSocket on `/echo`.
async fn websocket(server: &Server) -> TcpStream {
    let mut client = server
        .send(
            "GET /echo HTTP/1.1\r\nHost: relay\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .await;
    assert_eq!(status(&until(&mut client, "\r\n\r\n").await), "101");
    client
}

#[tokio::test]
async fn an_open_websocket_outlives_every_deadline() {
    let limits = ServerLimits { first_byte: SHORT, head: SHORT, request: SHORT, idle: SHORT, ..patient() };
    let server = Server::start(routes(), limits).await;
    let mut call = websocket(&server).await;
    // A request that began later and an idle connection after it have reached their deadlines.
    until_closed(&mut server.send("POST / HTTP/1.1\r\nHost: relay\r\nContent-Length: 1\r\n\r\n").await).await;
    until_closed(&mut server.send(GET).await).await;
    call.write_all(b"\x81\x82\0\0\0\0hi").await.expect("the server reads");
    let mut frame = [0; 4];
    timeout(PATIENCE, call.read_exact(&mut frame)).await.expect("in time").expect("an echo");
    assert_eq!(&frame, b"\x81\x02hi");
}

#[tokio::test]
async fn whoever_holds_a_handed_over_connection_closes_it_without_waiting_for_the_client() {
    let (closed, tasks) = (Arc::new(Notify::new()), TaskTracker::new());
    let handler = {
        let closed = Arc::clone(&closed);
        async move |request: axum::extract::Request| {
            tasks.spawn(async move {
                let upgraded = hyper::upgrade::on(request).await.expect("the connection is handed over");
                TokioIo::new(upgraded).shutdown().await.expect("our side is closed");
                closed.notify_one();
            });
            (StatusCode::SWITCHING_PROTOCOLS, [("connection", "upgrade"), ("upgrade", "other")])
        }
    };
    let server = Server::start(Router::new().route("/", get(handler)), patient()).await;
    let request = "GET / HTTP/1.1\r\nHost: relay\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n";
    let _client = server.send(request).await;
    timeout(PATIENCE, closed.notified()).await.expect("it is closed");
}

#[tokio::test]
async fn an_open_websocket_counts_as_a_connection() {
    let server = Server::start(routes(), ServerLimits { max_connections: 1, ..patient() }).await;
    let _call = websocket(&server).await;
    server.emptied().await;
    assert_eq!(until_closed(&mut server.connect().await).await, "");
}

#[tokio::test]
async fn a_request_in_flight_is_finished_at_the_stop() {
    let (began, finish) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
    let handler = {
        let (began, finish) = (Arc::clone(&began), Arc::clone(&finish));
        async move || {
            began.notify_one();
            finish.acquire().await.map(|_| "done").map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
        }
    };
    let server = Server::start(Router::new().route("/", get(handler)), patient()).await;
    let mut client = server.send(GET).await;
    timeout(PATIENCE, began.notified()).await.expect("the request arrives");
    server.stop.cancel();
    finish.add_permits(1);
    assert!(until_closed(&mut client).await.ends_with("\r\n\r\ndone"));
}

#[rstest]
#[case::silent("")]
#[case::idle(GET)]
#[tokio::test]
async fn a_connection_without_a_request_is_closed_at_the_stop(#[case] sent: &str) {
    let server = Server::start(routes(), patient()).await;
    let mut client = server.send(sent).await;
    if !sent.is_empty() {
        until(&mut client, "hello").await;
    }
    server.stop.cancel();
    assert_eq!(until_closed(&mut client).await, "");
}

#[tokio::test]
async fn a_request_that_does_not_end_is_cut_off_at_the_stop() {
    let began = Arc::new(Notify::new());
    let handler = {
        let began = Arc::clone(&began);
        async move || {
            began.notify_one();
            std::future::pending::<()>().await;
        }
    };
    let limits = ServerLimits { drain: SHORT, ..patient() };
    let server = Server::start(Router::new().route("/", get(handler)), limits).await;
    let _client = server.send(GET).await;
    timeout(PATIENCE, began.notified()).await.expect("the request arrives");
    server.stop.cancel();
    server.emptied().await;
}

#[tokio::test]
async fn after_the_stop_nobody_is_accepted() {
    let mut server = Server::start(routes(), patient()).await;
    server.stop.cancel();
    let accepting = &mut server.accepting;
    timeout(PATIENCE, accepting.join_next()).await.expect("the loop ends");
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn a_handler_knows_its_peer() {
    let handler = async |axum::Extension(PeerAddress(peer)): axum::Extension<PeerAddress>| peer.to_string();
    let server = Server::start(Router::new().route("/", get(handler)), patient()).await;
    let mut client = server.send("GET / HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n").await;
    let address = client.local_addr().expect("an address").to_string();
    assert!(until_closed(&mut client).await.ends_with(&address));
}

#[rstest]
#[case::announced(format!("Content-Length: {}\r\n\r\n{}", TOO_MUCH, "a".repeat(TOO_MUCH)))]
#[case::in_chunks(format!("Transfer-Encoding: chunked\r\n\r\n{TOO_MUCH:x}\r\n{}\r\n0\r\n\r\n", "a".repeat(TOO_MUCH)))]
#[tokio::test]
async fn a_client_that_sends_too_much_gets_to_read_so(#[case] rest: String) {
    let server = Server::start(public_stack(routes(), &EdgeSettings::default()), patient()).await;
    let mut client =
        server.send(format!("POST / HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n{rest}")).await;
    assert_eq!(status(&until_closed(&mut client).await), "413");
}
