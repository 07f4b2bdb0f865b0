//! A client that was let in: its calls run side by side, its events flow once it asked for them.

use std::collections::HashMap;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf};
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinSet;
use tokio_util::bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::{CallContext, Handler};
use crate::ipc::transport::{self, FrameReader, FrameWriter, Stream};
use crate::protocol::{ApiError, ClientFrame, ErrorCode, Event, Outcome, RelayFrame, Request};

/// Calls of one client that run at once; one more is refused.
const CALLS_IN_FLIGHT: usize = 64;
/// Frames that wait to be written; beyond it the session waits for the client to read.
const QUEUED_FRAMES: usize = 64;
/// A client that takes longer to read one frame is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// A client that was let in.
pub struct Session<S = Stream> {
    reader: FrameReader<ReadHalf<S>>,
    writer: FrameWriter<WriteHalf<S>>,
}

/// Why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEnd {
    ClientLeft,
    /// The client sent what is no frame, or frames in an order that makes no sense.
    Malformed,
    /// The client did not read what it was sent.
    TooSlow,
    /// We were asked to end it.
    Stopped,
}

/// A finished call: its id and the frame that answers it.
type Finished = (u64, Bytes);

impl<S: AsyncRead + AsyncWrite + Send + 'static> Session<S> {
    pub(super) fn new(reader: FrameReader<ReadHalf<S>>, writer: FrameWriter<WriteHalf<S>>) -> Self {
        Self { reader, writer }
    }

    /// Serves the client until it leaves, breaks the protocol or `stop` says so, and all its calls are done.
    ///
    /// `stop` cancels the calls that run, and still sends their replies.
    pub async fn serve<H: Handler>(
        self,
        handler: Arc<H>,
        events: broadcast::Receiver<Event>,
        stop: CancellationToken,
    ) -> SessionEnd {
        let (queue, queued) = mpsc::channel(QUEUED_FRAMES);
        let mut writer = JoinSet::new();
        writer.spawn(write(self.writer, queued));
        let mut running = Running {
            handler,
            queue,
            calls: JoinSet::new(),
            waited_for: HashMap::new(),
            events: Subscription::Off(events),
        };
        let end = running.run(self.reader, &stop).await;
        running.finish().await;
        writer.join_next().await;
        end
    }
}

struct Running<H> {
    handler: Arc<H>,
    queue: mpsc::Sender<Bytes>,
    calls: JoinSet<Finished>,
    /// The calls whose reply is wanted.
    waited_for: HashMap<u64, CancellationToken>,
    events: Subscription,
}

enum Subscription {
    Off(broadcast::Receiver<Event>),
    On(broadcast::Receiver<Event>),
    /// There is nobody left who could send events.
    Over,
}

enum Happened {
    Frame(io::Result<Option<ClientFrame>>),
    Finished(Finished),
    Event(Event),
    WriterGone,
    Stopped,
}

impl<H: Handler> Running<H> {
    async fn run<R: AsyncRead + Unpin>(
        &mut self,
        mut reader: FrameReader<R>,
        stop: &CancellationToken,
    ) -> SessionEnd {
        loop {
            let happened = tokio::select! {
                () = stop.cancelled() => Happened::Stopped,
                () = self.queue.closed() => Happened::WriterGone,
                frame = reader.receive() => Happened::Frame(frame),
                Some(Ok(finished)) = self.calls.join_next() => Happened::Finished(finished),
                event = self.events.next() => Happened::Event(event),
            };
            if let Err(end) = self.react(happened).await {
                return end;
            }
        }
    }

    async fn react(&mut self, happened: Happened) -> Result<(), SessionEnd> {
        match happened {
            Happened::Stopped => Err(SessionEnd::Stopped),
            Happened::WriterGone => Err(SessionEnd::TooSlow),
            Happened::Frame(Ok(None)) => Err(SessionEnd::ClientLeft),
            Happened::Frame(Err(error)) => Err(end_of_reading(&error)),
            Happened::Frame(Ok(Some(frame))) => self.obey(frame).await,
            Happened::Finished(finished) => self.answer(finished).await,
            Happened::Event(event) => self.send(&RelayFrame::Event(event)).await,
        }
    }

    async fn obey(&mut self, frame: ClientFrame) -> Result<(), SessionEnd> {
        match frame {
            ClientFrame::Call { id, .. } if self.waited_for.contains_key(&id) => Err(SessionEnd::Malformed),
            ClientFrame::Call { id, .. } if self.calls.len() >= CALLS_IN_FLIGHT => {
                self.send(&failure(id, too_many_calls())).await
            }
            ClientFrame::Call { id, call, envelope } => {
                let context = CallContext { cancelled: CancellationToken::new(), envelope };
                self.waited_for.insert(id, context.cancelled.clone());
                self.calls.spawn(serve_call(Arc::clone(&self.handler), id, call, context));
                Ok(())
            }
            ClientFrame::Cancel { id } => {
                if let Some(call) = self.waited_for.remove(&id) {
                    call.cancel();
                }
                Ok(())
            }
            ClientFrame::Subscribe => {
                self.events.turn_on();
                Ok(())
            }
        }
    }

    async fn answer(&mut self, (id, frame): Finished) -> Result<(), SessionEnd> {
        if self.waited_for.remove(&id).is_none() {
            return Ok(());
        }
        self.queue.send(frame).await.map_err(|_| SessionEnd::TooSlow)
    }

    async fn send(&self, frame: &RelayFrame) -> Result<(), SessionEnd> {
        let bytes = transport::encode(frame).map_err(|_| SessionEnd::Malformed)?;
        self.queue.send(bytes).await.map_err(|_| SessionEnd::TooSlow)
    }

    /// Ends every wait, lets the calls come to their end, and sends what can still be sent.
    async fn finish(mut self) {
        for call in self.waited_for.values() {
            call.cancel();
        }
        while let Some(finished) = self.calls.join_next().await {
            if let Ok(finished) = finished {
                let _ = self.answer(finished).await;
            }
        }
    }
}

impl Subscription {
    fn turn_on(&mut self) {
        *self = match std::mem::replace(self, Self::Over) {
            // Only what happens from here on.
            Self::Off(events) => Self::On(events.resubscribe()),
            already => already,
        };
    }

    /// The next event the client wants; never completes while it wants none.
    async fn next(&mut self) -> Event {
        if let Self::On(events) = self {
            match events.recv().await {
                Ok(event) => return event,
                Err(broadcast::error::RecvError::Lagged(missed)) => return Event::Lagged { missed },
                Err(broadcast::error::RecvError::Closed) => *self = Self::Over,
            }
        }
        std::future::pending().await
    }
}

async fn serve_call<H: Handler>(
    handler: Arc<H>,
    id: u64,
    call: Box<Request>,
    context: CallContext,
) -> Finished {
    // A call that panics is answered like one that failed; the panic hook has logged it.
    let served = AssertUnwindSafe(handler.handle(call, context)).catch_unwind().await;
    let frame = match served {
        Ok((result, unread)) => RelayFrame::Reply { id, result: outcome(result), unread },
        Err(_) => failure(id, internal("the relay failed to serve this call")),
    };
    let bytes = transport::encode(&frame).or_else(|_| transport::encode(&failure(id, reply_too_large())));
    (id, bytes.expect("a failure of fixed text fits a frame"))
}

fn outcome(result: Result<Box<serde_json::value::RawValue>, ApiError>) -> Outcome {
    match result {
        Ok(value) => Outcome::Ok(value),
        Err(error) => Outcome::Error(error),
    }
}

fn failure(id: u64, error: ApiError) -> RelayFrame {
    RelayFrame::Reply { id, result: Outcome::Error(error), unread: None }
}

fn too_many_calls() -> ApiError {
    let message = "this session has too many calls in flight";
    ApiError::new(ErrorCode::RateLimited, message, "Wait for one of them to end.").retryable(Some(1))
}

fn reply_too_large() -> ApiError {
    ApiError::new(
        ErrorCode::InvalidInput,
        "the answer is too large",
        "Ask for less at once, with a smaller limit.",
    )
}

fn internal(message: &str) -> ApiError {
    ApiError::new(ErrorCode::Internal, message, "Look at the relay's log; it may be worth another try.")
}

fn end_of_reading(error: &io::Error) -> SessionEnd {
    match error.kind() {
        io::ErrorKind::InvalidData => SessionEnd::Malformed,
        _ => SessionEnd::ClientLeft,
    }
}

/// Writes what is queued until the queue is closed, the client is gone, or it does not read.
async fn write<W: AsyncWrite + Unpin>(mut writer: FrameWriter<W>, mut queued: mpsc::Receiver<Bytes>) {
    while let Some(frame) = queued.recv().await {
        match tokio::time::timeout(WRITE_TIMEOUT, writer.write(frame)).await {
            Ok(Ok(())) => (),
            Ok(Err(_)) | Err(_) => return,
        }
    }
}
