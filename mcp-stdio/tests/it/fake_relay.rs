//! A relay that does as the test says, over the real socket.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use shared::ids::{AgentId, LeaseId, TurnId};
use shared::ipc::{CallContext, Greeting, Handler, Listener, listen};
use shared::model::Unread;
use shared::protocol::{ApiError, Envelope, Hello, PeerProgram, Request};
use tokio::sync::{Mutex as AsyncMutex, Notify, broadcast, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{paths, soon};

/// What to do with the next request.
pub(crate) enum Reaction {
    Reply(Value),
    ReplyWith(Value, Unread),
    Refuse(ApiError),
    /// Wait until nobody waits any more.
    Wait,
}

pub(crate) struct FakeRelay {
    pub(crate) script: Script,
    requests: AsyncMutex<mpsc::UnboundedReceiver<(Request, Envelope)>>,
    cancelled: AsyncMutex<mpsc::UnboundedReceiver<()>>,
    hellos: AsyncMutex<mpsc::UnboundedReceiver<Hello>>,
    ended: AsyncMutex<mpsc::UnboundedReceiver<()>>,
    broken: Arc<Notify>,
    serving: JoinSet<()>,
}

/// The reactions to come; after them every request gets a plain answer.
#[derive(Clone, Default)]
pub(crate) struct Script(Arc<Mutex<VecDeque<Reaction>>>);

impl Script {
    pub(crate) fn then(&self, reaction: Reaction) {
        self.0.lock().unwrap().push_back(reaction);
    }
}

impl FakeRelay {
    pub(crate) async fn start(home: &Path) -> Self {
        let listener = listen(&paths(home).socket()).await.unwrap();
        let (request_sent, requests) = mpsc::unbounded_channel();
        let (cancel_sent, cancelled) = mpsc::unbounded_channel();
        let (hello_sent, hellos) = mpsc::unbounded_channel();
        let (end_sent, ended) = mpsc::unbounded_channel();
        let script = Script::default();
        let scripted = Scripted { script: script.clone(), requests: request_sent, cancelled: cancel_sent };
        let (mut serving, broken) = (JoinSet::new(), Arc::new(Notify::new()));
        let told = Told { hellos: hello_sent, ended: end_sent, broken: Arc::clone(&broken) };
        serving.spawn(accept(listener, Arc::new(scripted), told));
        let (requests, cancelled) = (requests.into(), cancelled.into());
        Self { script, requests, cancelled, hellos: hellos.into(), ended: ended.into(), broken, serving }
    }

    /// The next request that arrived.
    pub(crate) async fn request(&self) -> Request {
        self.enveloped().await.0
    }

    /// The next request that arrived, and what stood beside it.
    pub(crate) async fn enveloped(&self) -> (Request, Envelope) {
        soon(async { self.requests.lock().await.recv().await }).await.unwrap()
    }

    /// The next request, or none if the last client is gone and had sent no other.
    pub(crate) async fn next_if_any(&self) -> Option<Request> {
        self.left().await;
        self.requests.lock().await.try_recv().ok().map(|(request, _)| request)
    }

    /// The last client is gone, and everything that it had sent was handled.
    async fn left(&self) {
        soon(async { self.ended.lock().await.recv().await }).await.unwrap();
    }

    /// How the next client greeted.
    pub(crate) async fn hello(&self) -> Hello {
        soon(async { self.hellos.lock().await.recv().await }).await.unwrap()
    }

    /// A waiting call was told that nobody waits.
    pub(crate) async fn cancelled(&self) {
        soon(async { self.cancelled.lock().await.recv().await }).await.unwrap();
    }

    /// Breaks every connection in the middle of what it does; new ones are taken.
    pub(crate) fn break_connections(&self) {
        self.broken.notify_waiters();
    }

    /// Ends at once, without a word to anybody.
    pub(crate) async fn crash(mut self) {
        self.serving.shutdown().await;
    }
}

#[derive(Clone)]
struct Told {
    hellos: mpsc::UnboundedSender<Hello>,
    ended: mpsc::UnboundedSender<()>,
    broken: Arc<Notify>,
}

async fn accept(listener: Listener, handler: Arc<Scripted>, told: Told) {
    let mut sessions = JoinSet::new();
    loop {
        let greeting = listener.accept().await.unwrap().hello().await.unwrap();
        let (handler, told) = (Arc::clone(&handler), told.clone());
        sessions.spawn(async move {
            tokio::select! {
                () = serve(greeting, handler, &told.hellos) => (),
                () = told.broken.notified() => (),
            }
            let _ = told.ended.send(());
        });
    }
}

async fn serve(greeting: Greeting, handler: Arc<Scripted>, hellos: &mpsc::UnboundedSender<Hello>) {
    let hello = Hello {
        protocol: greeting.hello.protocol,
        client: greeting.hello.client.clone(),
        host: greeting.hello.host.clone(),
        token: greeting.hello.token.clone(),
    };
    let _ = hellos.send(hello);
    let relay = PeerProgram { name: "comms-relay".into(), version: "1.2.3".into() };
    let session = greeting.accept(relay, AgentId::default_agent()).await.unwrap();
    let (_events, received) = broadcast::channel(1);
    session.serve(handler, received, CancellationToken::new()).await;
}

struct Scripted {
    script: Script,
    requests: mpsc::UnboundedSender<(Request, Envelope)>,
    cancelled: mpsc::UnboundedSender<()>,
}

impl Handler for Scripted {
    async fn handle(
        &self,
        request: Box<Request>,
        context: CallContext,
    ) -> (Result<Box<RawValue>, ApiError>, Option<Unread>) {
        let _ = self.requests.send(((*request).clone(), context.envelope));
        let scripted = match &*request {
            Request::ConfirmRead(_) => None,
            _ => self.script.0.lock().unwrap().pop_front(),
        };
        let (value, unread) = match scripted {
            Some(Reaction::Reply(value)) => (value, None),
            Some(Reaction::ReplyWith(value, unread)) => (value, Some(unread)),
            Some(Reaction::Refuse(error)) => return (Err(error), None),
            Some(Reaction::Wait) => {
                context.cancelled.cancelled().await;
                let _ = self.cancelled.send(());
                (plain(&request), None)
            }
            None => (plain(&request), None),
        };
        (Ok(to_raw_value(&value).unwrap()), unread)
    }
}

fn plain(request: &Request) -> Value {
    match request {
        Request::Ping(ping) => pong(&ping.message),
        Request::SendMessage(_) => sent(),
        Request::GetMessages(_) => page(None),
        Request::MakeCall(_) => placed(),
        Request::Speak(_) => heard(&[]),
        Request::ListenToCall(_) => json!({ "turns": [], "silenceSeconds": 3, "callStatus": "in-progress" }),
        _ => json!({}),
    }
}

pub(crate) fn pong(echo: &str) -> Value {
    json!({
        "status": "ok", "server": "comms-relay", "version": "1.2.3", "mode": "demo", "echo": echo,
        "agentId": "default", "pool": { "maxAgents": 5, "activeAgents": 1, "slotsRemaining": 4 },
        "providers": { "telephony": "simulated" },
    })
}

pub(crate) fn sent() -> Value {
    json!({
        "messageId": "01890a5d-ac96-774b-bcce-b302099a8057", "externalId": "SM1", "status": "sent",
        "cost": "0.0079", "currency": "USD", "channel": "sms", "from": "+15550100", "to": "+15550101",
        "segments": 1,
    })
}

pub(crate) fn page(lease: Option<&LeaseId>) -> Value {
    let mut page = json!({
        "messages": [], "total": 0, "unreadRemaining": 0,
        "missed": { "voicemails": 0, "calls": 0, "messages": 0 },
    });
    if let Some(lease) = lease {
        page["lease"] = json!(lease);
    }
    page
}

pub(crate) fn placed() -> Value {
    json!({
        "callSid": "CA1", "sessionId": "01890a5d-ac96-774b-bcce-b302099a8057", "status": "queued",
        "from": "+15550100", "to": "+15550101", "responder": "agent",
    })
}

pub(crate) fn turn(turn_id: &TurnId) -> Value {
    json!({
        "id": "01890a5d-ac96-774b-bcce-b302099a8057", "turnId": turn_id, "direction": "inbound",
        "speaker": "caller", "text": "hello?", "at": "2026-11-18T11:06:40.123Z",
    })
}

pub(crate) fn heard(turns: &[Value]) -> Value {
    json!({
        "spoken": true, "heard": turns, "turnId": "01890a5d-ac96-774b-bcce-b302099a8057",
        "silenceSeconds": 0, "callStatus": "in-progress",
    })
}
