//! Both halves against each other, over real sockets and over pipes in memory.

mod calls;
mod misuse;
mod socket;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::io::DuplexStream;
use tokio::sync::{Notify, Semaphore, broadcast};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{CallContext, Client, Connection, Handler, SessionEnd, reply};
use crate::ids::AgentId;
use crate::model::Unread;
use crate::protocol::{
    ApiError, ErrorCode, Event, Hello, PROTOCOL_VERSION, PeerProgram, Ping, Pong, Pool, Request,
};

/// Pings are echoed; the message says how.
#[derive(Default)]
struct Echo {
    /// A ping `wait` begins: one permit each.
    began: Counter,
    /// Lets pings `wait` go on.
    go_on: Notify,
    /// A ping `wait` was told that nobody waits.
    told: Counter,
}

/// Counts what happened, and waits for it.
struct Counter(Semaphore);

impl Default for Counter {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

impl Counter {
    fn count(&self) {
        self.0.add_permits(1);
    }

    async fn reached(&self, count: u32) {
        soon(self.0.acquire_many(count)).await.unwrap().forget();
    }
}

impl Handler for Echo {
    async fn handle(
        &self,
        request: Box<Request>,
        context: CallContext,
    ) -> (Result<Box<RawValue>, ApiError>, Option<Unread>) {
        let Request::Ping(Ping { message }) = *request else { return (Err(refusal()), None) };
        match message.as_str() {
            "fail" => return (Err(refusal()), None),
            "panic" => panic!("asked for"),
            "huge" => return (reply::<Ping>(Ok(pong(&"x".repeat(9 << 20)))), None),
            "wait" => {
                self.began.count();
                tokio::select! {
                    () = context.cancelled.cancelled() => self.told.count(),
                    () = self.go_on.notified() => (),
                }
            }
            _ => (),
        }
        (reply::<Ping>(Ok(pong(&message))), Some(Unread { messages: 2, voicemails: 1, calls: 0 }))
    }
}

/// One session of [`Echo`] over a pipe.
struct Served {
    echo: Arc<Echo>,
    events: broadcast::Sender<Event>,
    stop: CancellationToken,
    session: JoinSet<SessionEnd>,
}

impl Served {
    fn start(stream: DuplexStream) -> Self {
        let (events, received) = broadcast::channel(4);
        let (echo, stop) = (Arc::new(Echo::default()), CancellationToken::new());
        let mut session = JoinSet::new();
        let (handler, stopped) = (Arc::clone(&echo), stop.clone());
        session.spawn(async move {
            let greeting = Connection::new(stream).hello().await.unwrap();
            let session = greeting.accept(relay(), AgentId::default_agent()).await.unwrap();
            session.serve(handler, received, stopped).await
        });
        Self { echo, events, stop, session }
    }

    async fn end(mut self) -> SessionEnd {
        soon(self.session.join_next()).await.unwrap().unwrap()
    }
}

async fn connected() -> (Client, Served) {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let served = Served::start(theirs);
    (Client::handshake(ours, &hello()).await.unwrap(), served)
}

/// Fails the test if something that must happen does not.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("it happens soon")
}

fn hello() -> Hello {
    Hello { protocol: PROTOCOL_VERSION, client: program("comms-mcp"), host: None, token: None }
}

fn relay() -> PeerProgram {
    program("comms-relay")
}

fn program(name: &str) -> PeerProgram {
    PeerProgram { name: name.into(), version: "1.2.3".into() }
}

fn ping(message: &str) -> Ping {
    Ping { message: message.into() }
}

fn pong(echo: &str) -> Pong {
    Pong {
        status: "ok".into(),
        server: "comms-relay".into(),
        version: "1.2.3".into(),
        mode: "demo".into(),
        echo: echo.into(),
        agent_id: AgentId::default_agent(),
        pool: Pool { max_agents: 5, active_agents: 1, slots_remaining: 4 },
        providers: [("telephony".to_owned(), "simulated".to_owned())].into(),
    }
}

fn refusal() -> ApiError {
    ApiError::new(ErrorCode::Forbidden, "not allowed", "ask somebody else")
}
