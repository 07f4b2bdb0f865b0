//! The local socket: sessions of agent hosts, and the command line.

mod dispatch;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::value::RawValue;
use shared::ids::{AgentId, LeaseId};
use shared::ipc::{CallContext, Greeting, Handler, Listener};
use shared::model::Unread;
use shared::protocol::{ApiError, ErrorCode, Event, PeerProgram, RefusalReason, Request};
use tokio::sync::broadcast;

use crate::app::App;
use crate::observability::events;
use crate::services::identity::{self, Principal};
use crate::services::inbox;
use crate::services::live_calls::SessionKey;

/// Local sessions at once; more are refused.
const MAX_SESSIONS: usize = 1_024;
const EVENT_BUFFER: usize = 64;

static NEXT_SESSION: AtomicU64 = AtomicU64::new(1);

/// Serves the socket until the relay stops.
pub(crate) async fn serve(app: App, listener: Listener) {
    loop {
        let connection = tokio::select! {
            accepted = listener.accept() => accepted,
            () = app.stop.cancelled() => return,
        };
        match connection {
            Ok(connection) => {
                let (app, tasks) = (app.clone(), app.tasks.clone());
                tasks.spawn(async move {
                    match connection.hello().await {
                        Ok(greeting) => hold_session(app, greeting).await,
                        Err(_) => events::session_refused("no valid greeting"),
                    }
                });
            }
            Err(_) => {
                events::session_refused("a connection of another user, or a failed accept");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }
}

async fn hold_session(app: App, greeting: Greeting) {
    let principal = match whose(&app, &greeting).await {
        Ok(principal) => principal,
        Err((reason, message)) => {
            events::session_refused(message);
            // A client that is gone cannot be told.
            let _ = greeting.refuse(reason, message.to_owned()).await;
            return;
        }
    };
    let relay = PeerProgram { name: "comms-relay".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
    let agent = principal.agent().clone();
    let Ok(session) = greeting.accept(relay, agent.clone()).await else { return };
    app.sessions.opened();
    let key = SessionKey(NEXT_SESSION.fetch_add(1, Ordering::Relaxed));
    let handler = Arc::new(Session { app: app.clone(), principal, key, leases: Mutex::default() });
    let (sender, receiver) = broadcast::channel(EVENT_BUFFER);
    let stop = app.stop.child_token();
    tokio::select! {
        _ = session.serve(Arc::clone(&handler), receiver, stop) => (),
        () = tell_changes(&app, &handler.principal, sender) => (),
    }
    app.live_calls.session_ended(key);
    for (agent, leases) in handler.held() {
        if let Err(problem) = inbox::release(&app, &agent, leases).await {
            // The leases run out by themselves.
            events::failed_inside("give back the leases of a session", &problem);
        }
    }
    app.sessions.closed();
}

/// Whose session this is: a token says so; without one it is the local user's, that is the default agent's.
async fn whose(app: &App, greeting: &Greeting) -> Result<Principal, (RefusalReason, &'static str)> {
    if app.sessions.get() >= MAX_SESSIONS {
        return Err((RefusalReason::TooManyConnections, "too many local sessions are open"));
    }
    let Some(token) = &greeting.hello.token else { return Ok(Principal::local_user()) };
    match identity::authenticate(&app.db, token, app.now()).await {
        Ok(Some(principal)) => Ok(principal),
        Ok(None) => Err((RefusalReason::BadToken, "the token is unknown, expired or revoked")),
        Err(problem) => {
            events::failed_inside("check a token", &problem);
            Err((RefusalReason::BadToken, "the token cannot be checked at the moment"))
        }
    }
}

/// Turns changes of the inbox into events, as long as the token is good. Never ends by itself.
async fn tell_changes(app: &App, principal: &Principal, sender: broadcast::Sender<Event>) {
    let agent = principal.agent();
    let mut changes = app.inboxes.of(agent).changes.subscribe();
    while changes.changed().await.is_ok() {
        if Box::pin(identity::still_good(app, principal)).await.is_err() {
            continue;
        }
        if let Ok(unread) = app.inboxes.unread(app, agent).await {
            // Nobody may have subscribed.
            let _ = sender.send(Event::InboxChanged { unread });
        }
    }
    std::future::pending().await
}

/// One connection's handler.
struct Session {
    app: App,
    principal: Principal,
    key: SessionKey,
    /// What was handed over and not confirmed, and whose it is: an admin may read for several agents.
    leases: Mutex<HashMap<LeaseId, AgentId>>,
}

impl Session {
    fn leases(&self) -> std::sync::MutexGuard<'_, HashMap<LeaseId, AgentId>> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self) -> HashMap<AgentId, Vec<LeaseId>> {
        let mut held: HashMap<_, Vec<_>> = HashMap::new();
        for (lease, agent) in self.leases().drain() {
            held.entry(agent).or_default().push(lease);
        }
        held
    }
}

impl Handler for Session {
    async fn handle(
        &self,
        request: Box<Request>,
        context: CallContext,
    ) -> (Result<Box<RawValue>, ApiError>, Option<Unread>) {
        let result = self.dispatch(request, &context).await;
        if result.as_ref().is_err_and(|problem| problem.code == ErrorCode::AuthRequired) {
            // Whose session it was is not told of the inbox any more.
            return (result, None);
        }
        let unread = Box::pin(self.app.inboxes.unread(&self.app, self.principal.agent())).await.ok();
        (result, unread.filter(|unread| !unread.is_empty()))
    }
}
