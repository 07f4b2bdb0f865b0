//! The relay's half of the local socket: accept, greet, serve.
//!
//! It knows frames and the order they come in, and nothing of what a call does: that is the [`Handler`]'s. A
//! client that breaks the protocol or does not read loses its own connection and nobody else's.

mod session;

use std::io;
use std::time::Duration;

use interprocess::local_socket::tokio::prelude::*;
use serde_json::value::RawValue;
use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf};
use tokio_util::sync::CancellationToken;

use super::transport::{self, FrameReader, FrameWriter, Stream};
use crate::ids::AgentId;
use crate::model::Unread;
use crate::protocol::{
    ApiError, Call, Envelope, ErrorCode, Hello, PROTOCOL_VERSION, PeerProgram, RefusalReason, Request,
    Welcome,
};

pub use session::{Session, SessionEnd};

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// What the relay does with calls. One for each session, so that it can hold who the client is.
pub trait Handler: Send + Sync + 'static {
    /// Serves one call, which is boxed because a waiting one is held. Runs to its end even if nobody waits any more: `context` says when that is so.
    fn handle(
        &self,
        request: Box<Request>,
        context: CallContext,
    ) -> impl Future<Output = (Result<Box<RawValue>, ApiError>, Option<Unread>)> + Send;
}

/// What a call knows of the client that waits for it.
#[derive(Clone, Debug)]
pub struct CallContext {
    /// Nobody waits for the reply any more, or the session is to end: stop waiting for things to happen.
    pub cancelled: CancellationToken,
    /// For whom, and with which approval.
    pub envelope: Envelope,
}

/// A call's reply as it travels.
pub fn reply<C: Call>(result: Result<C::Reply, ApiError>) -> Result<Box<RawValue>, ApiError> {
    serde_json::value::to_raw_value(&result?).map_err(|_| {
        ApiError::new(
            ErrorCode::Internal,
            "the reply cannot be written",
            "Report this; it is a fault of the relay.",
        )
    })
}

/// The socket that clients connect to. Dropping it removes the socket.
pub struct Listener(interprocess::local_socket::tokio::Listener);

impl Listener {
    pub(super) fn new(listener: interprocess::local_socket::tokio::Listener) -> Self {
        Self(listener)
    }

    /// The next client of this user. An error is about one client: go on accepting, after a pause.
    pub async fn accept(&self) -> io::Result<Connection> {
        let stream = self.0.accept().await?;
        transport::check_peer(&stream)?;
        Ok(Connection::new(stream))
    }
}

/// A client that has not said anything yet.
pub struct Connection<S = Stream> {
    reader: FrameReader<ReadHalf<S>>,
    writer: FrameWriter<WriteHalf<S>>,
}

/// Why no session came of a connection.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    #[error("the client did not greet in time")]
    TimedOut,
    #[error("the client left before greeting")]
    Left,
    #[error("the client speaks protocol {0}")]
    ProtocolMismatch(u32),
    #[error("failed to exchange greetings")]
    Io(#[source] io::Error),
}

impl<S: AsyncRead + AsyncWrite + Send + 'static> Connection<S> {
    /// A client at the other end of any stream.
    pub fn new(stream: S) -> Self {
        let (reader, writer) = transport::frames(stream);
        Self { reader, writer }
    }

    /// Reads the client's greeting. One in another protocol version is answered and refused here.
    pub async fn hello(mut self) -> Result<Greeting<S>, HandshakeError> {
        let first = tokio::time::timeout(HANDSHAKE_TIMEOUT, self.reader.receive::<Hello>()).await;
        let hello = first
            .map_err(|_| HandshakeError::TimedOut)?
            .map_err(HandshakeError::Io)?
            .ok_or(HandshakeError::Left)?;
        let greeting = Greeting { hello, connection: self };
        let theirs = greeting.hello.protocol;
        if theirs == PROTOCOL_VERSION {
            return Ok(greeting);
        }
        let older = if theirs < PROTOCOL_VERSION { "client" } else { "relay" };
        let message = format!(
            "the client speaks protocol {theirs}, the relay {PROTOCOL_VERSION}: upgrade the {older} and start it again"
        );
        greeting.refuse(RefusalReason::ProtocolMismatch, message).await?;
        Err(HandshakeError::ProtocolMismatch(theirs))
    }
}

/// A client that has greeted and waits for the answer.
pub struct Greeting<S = Stream> {
    /// What it said.
    pub hello: Hello,
    connection: Connection<S>,
}

impl<S: AsyncRead + AsyncWrite + Send + 'static> Greeting<S> {
    /// Lets the client in as `agent_id`.
    pub async fn accept(
        mut self,
        relay: PeerProgram,
        agent_id: AgentId,
    ) -> Result<Session<S>, HandshakeError> {
        self.answer(Welcome::Accepted { protocol: PROTOCOL_VERSION, relay, agent_id }).await?;
        Ok(Session::new(self.connection.reader, self.connection.writer))
    }

    /// Turns the client away, in words for its user.
    pub async fn refuse(mut self, reason: RefusalReason, message: String) -> Result<(), HandshakeError> {
        self.answer(Welcome::Refused { reason, message }).await
    }

    async fn answer(&mut self, welcome: Welcome) -> Result<(), HandshakeError> {
        tokio::time::timeout(HANDSHAKE_TIMEOUT, self.connection.writer.send(&welcome))
            .await
            .map_err(|_| HandshakeError::TimedOut)?
            .map_err(HandshakeError::Io)
    }
}
