//! A connection to the relay: many calls in flight, events on the side.
//!
//! Used by `comms-mcp` and by the relay's own command line. It never repeats a call: only the caller knows
//! whether that would do harm.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::transport::{self, FrameReader, FrameWriter};
use crate::ids::AgentId;
use crate::model::Unread;
use crate::protocol::{
    ApiError, Call, ClientFrame, Envelope, ErrorCode, Event, Hello, Outcome, PROTOCOL_VERSION, PeerProgram,
    RefusalReason, RelayFrame, Welcome,
};

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Frames that wait to be written; a caller beyond it waits.
const QUEUED_FRAMES: usize = 64;
/// Events that wait for a subscriber; beyond it the oldest are lost and counted.
const QUEUED_EVENTS: usize = 256;

/// Why a call gave no reply.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nothing of the call has left this process.
    #[error("the relay cannot be reached")]
    Unreachable(#[source] io::Error),
    #[error("the relay refused the connection: {message}")]
    Refused { reason: RefusalReason, message: String },
    /// The connection broke; whether the call took effect is not known.
    #[error("the relay closed the connection")]
    Closed,
    #[error("the relay answered with an error")]
    Api(#[source] ApiError),
    #[error("the relay's answer has an unexpected shape")]
    Malformed(#[source] serde_json::Error),
}

/// A reply, and what the relay tells beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told<T> {
    pub reply: T,
    /// What waits in the session's inbox, if anything.
    pub unread: Option<Unread>,
}

/// A connection to the relay. Clones share it; it ends when the last one is dropped.
#[derive(Clone)]
pub struct Client(Arc<Connection>);

struct Connection {
    queue: mpsc::Sender<Bytes>,
    waiting: Waiting,
    next_id: AtomicU64,
    /// The reader holds the sender, so that subscribers see the end of the connection.
    events: broadcast::WeakSender<Event>,
    closed: CancellationToken,
    agent_id: AgentId,
    relay: PeerProgram,
    /// Reader and writer; dropping them ends them.
    _tasks: JoinSet<()>,
}

type Answer = (Outcome, Option<Unread>);

/// Who waits for which reply.
#[derive(Clone, Default)]
struct Waiting(Arc<Mutex<HashMap<u64, oneshot::Sender<Answer>>>>);

impl Client {
    /// Connects to the relay at `path` and greets it.
    pub async fn connect(path: &Path, hello: &Hello) -> Result<Self, ClientError> {
        let stream = transport::connect(path).await.map_err(ClientError::Unreachable)?;
        Self::handshake(stream, hello).await
    }

    /// Greets the relay at the other end of `stream`.
    pub async fn handshake<S>(stream: S, hello: &Hello) -> Result<Self, ClientError>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (mut reader, mut writer) = transport::frames(stream);
        let greet = async {
            writer.send(hello).await?;
            reader.receive::<Welcome>().await
        };
        let timed_out = |_| ClientError::Unreachable(io::ErrorKind::TimedOut.into());
        let welcome = tokio::time::timeout(HANDSHAKE_TIMEOUT, greet).await.map_err(timed_out)?;
        let (relay, agent_id) = accepted(welcome.map_err(ClientError::Unreachable)?)?;

        let (queue, queued) = mpsc::channel(QUEUED_FRAMES);
        let (events, _) = broadcast::channel(QUEUED_EVENTS);
        let (waiting, closed) = (Waiting::default(), CancellationToken::new());
        let weak_events = events.downgrade();
        let mut tasks = JoinSet::new();
        tasks.spawn(closing(closed.clone(), read(reader, waiting.clone(), events)));
        tasks.spawn(closing(closed.clone(), write(writer, queued)));
        let next_id = AtomicU64::new(1);
        Ok(Self(Arc::new(Connection {
            queue,
            waiting,
            next_id,
            events: weak_events,
            closed,
            agent_id,
            relay,
            _tasks: tasks,
        })))
    }

    /// Asks the relay for something. Dropping the future tells the relay that nobody waits any more.
    pub async fn call<C: Call>(&self, call: C) -> Result<Told<C::Reply>, ClientError> {
        self.call_with(call, Envelope::default()).await
    }

    /// The same for another agent, or with an approval.
    pub async fn call_with<C: Call>(
        &self,
        call: C,
        envelope: Envelope,
    ) -> Result<Told<C::Reply>, ClientError> {
        let id = self.0.next_id.fetch_add(1, Ordering::Relaxed);
        let frame = transport::encode(&ClientFrame::Call { id, call: Box::new(call.into()), envelope })
            .map_err(|_| too_large())?;
        let (answer, answered) = oneshot::channel();
        let mut pending = Pending { connection: &self.0, id, sent: false };
        self.0.waiting.lock().insert(id, answer);
        self.enqueue(frame).await?;
        pending.sent = true;

        let (outcome, unread) = tokio::select! {
            biased;
            answer = answered => answer.map_err(|_| ClientError::Closed)?,
            () = self.closed() => return Err(ClientError::Closed),
        };
        match outcome {
            Outcome::Ok(value) => {
                let reply = serde_json::from_str(value.get()).map_err(ClientError::Malformed)?;
                Ok(Told { reply, unread })
            }
            Outcome::Error(error) => Err(ClientError::Api(error)),
        }
    }

    /// Asks for events, from here on.
    pub async fn subscribe(&self) -> Result<Events, ClientError> {
        let sender = self.0.events.upgrade().ok_or(ClientError::Closed)?;
        let events = Events(sender.subscribe());
        let frame = transport::encode(&ClientFrame::Subscribe).map_err(ClientError::Unreachable)?;
        self.enqueue(frame).await?;
        Ok(events)
    }

    /// Completes when the connection has ended, from whichever side.
    pub async fn closed(&self) {
        self.0.closed.cancelled().await;
    }

    /// Whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        self.0.closed.is_cancelled()
    }

    /// Who this session is.
    pub fn agent_id(&self) -> &AgentId {
        &self.0.agent_id
    }

    /// The program at the other end.
    pub fn relay(&self) -> &PeerProgram {
        &self.0.relay
    }

    async fn enqueue(&self, frame: Bytes) -> Result<(), ClientError> {
        let not_connected = || ClientError::Unreachable(io::ErrorKind::NotConnected.into());
        if self.is_closed() {
            return Err(not_connected());
        }
        self.0.queue.send(frame).await.map_err(|_| not_connected())
    }
}

/// What the relay tells without being asked.
pub struct Events(broadcast::Receiver<Event>);

impl Events {
    /// The next event, or `None` once the connection has ended. [`Event::Lagged`] stands for what was lost.
    pub async fn next(&mut self) -> Option<Event> {
        match self.0.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(Event::Lagged { missed }),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

/// A call whose future still lives.
struct Pending<'a> {
    connection: &'a Connection,
    id: u64,
    sent: bool,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        let unanswered = self.connection.waiting.lock().remove(&self.id).is_some();
        if !unanswered || !self.sent {
            return;
        }
        if let Ok(frame) = transport::encode(&ClientFrame::Cancel { id: self.id }) {
            // Does not fit only while the relay reads nothing; the reply is then ignored when it comes.
            let _ = self.connection.queue.try_send(frame);
        }
    }
}

impl Waiting {
    /// A panic cannot leave the map half-changed, so a poisoned lock is as good as any.
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<Answer>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn accepted(welcome: Option<Welcome>) -> Result<(PeerProgram, AgentId), ClientError> {
    match welcome {
        Some(Welcome::Accepted { protocol: PROTOCOL_VERSION, relay, agent_id }) => Ok((relay, agent_id)),
        Some(Welcome::Accepted { protocol, .. }) => Err(ClientError::Refused {
            reason: RefusalReason::ProtocolMismatch,
            message: format!("the relay speaks protocol {protocol}, this program {PROTOCOL_VERSION}"),
        }),
        Some(Welcome::Refused { reason, message }) => Err(ClientError::Refused { reason, message }),
        None => Err(ClientError::Closed),
    }
}

fn too_large() -> ClientError {
    let hint = "Send less at once; large files go as links.";
    ClientError::Api(ApiError::new(ErrorCode::InvalidInput, "the request is too large", hint))
}

async fn closing(closed: CancellationToken, task: impl Future<Output = ()>) {
    let _guard = closed.drop_guard();
    task.await;
}

async fn read<R: AsyncRead + Unpin>(
    mut reader: FrameReader<R>,
    waiting: Waiting,
    events: broadcast::Sender<Event>,
) {
    while let Ok(Some(frame)) = reader.receive().await {
        match frame {
            RelayFrame::Reply { id, result, unread } => {
                if let Some(answer) = waiting.lock().remove(&id) {
                    let _ = answer.send((result, unread));
                }
            }
            RelayFrame::Event(event) => {
                let _ = events.send(event);
            }
        }
    }
}

async fn write<W: AsyncWrite + Unpin>(mut writer: FrameWriter<W>, mut queued: mpsc::Receiver<Bytes>) {
    while let Some(frame) = queued.recv().await {
        if writer.write(frame).await.is_err() {
            return;
        }
    }
}
