//! Calls that ring or are held: the machine of each, who holds it, and what is waiting to be said.
//!
//! The socket (`voice`) brings events and takes frames; sessions (`ipc`) listen and speak. The rules are
//! `relay_core::call`; this module performs their effects.

mod effects;
mod hold;
mod line;
mod transfer;

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use relay_core::call::{Call, CallPlan, Event, FirstResponder, Moment, Words};
use relay_core::delivery;
use relay_core::relay_frame::Outgoing;
use relay_store::call_logs::CallLog;
use shared::ids::{AgentId, CallSid, SessionId};
use shared::model::{CallStatus, Direction, Responder};
use tokio::sync::watch;
use tokio::time::Instant;

use super::calls;
use crate::app::App;
use crate::observability::events;

pub use hold::{confirm, listen, speak};
pub use line::{OpenProblem, Socket, open};
use transfer::Course;
pub(crate) use transfer::{Transferring, begin_transfer, notice};

/// Frames that wait for a socket. One that does not read this many is given up.
const FRAME_QUEUE: usize = 64;
/// A socket that was lost may come back within this time; then the call is over.
const LOST_AFTER: Duration = Duration::from_secs(15);

/// The time between the answer of a call and its socket, and then some.
const OPENED_WITHIN: Duration = Duration::from_secs(60);

/// Boxed, because a channel keeps room for 32 at once, and most calls have none waiting.
type FrameSender = tokio::sync::mpsc::Sender<Box<Outgoing>>;

/// One session of an agent: a connection on the local socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionKey(pub u64);

/// The calls that are not over.
#[derive(Default)]
pub struct LiveCalls {
    calls: Mutex<HashMap<CallSid, Arc<LiveCall>>>,
    /// Calls that a session has placed and that the carrier has not named yet.
    placed: Mutex<HashMap<SessionId, SessionKey>>,
    words: Arc<Words>,
}

/// Somebody talks in this call for us: it is not over, was not put through, and is none that only says a message.
pub(crate) fn is_held(row: &CallLog) -> bool {
    !row.status.is_final() && row.say.is_none()
}

/// A call that is not over.
pub struct LiveCall {
    pub(crate) agent_id: AgentId,
    pub(crate) session_id: SessionId,
    pub(crate) call_sid: CallSid,
    pub(crate) from: String,
    /// Counts what a listener should look at; its value means nothing else.
    changes: watch::Sender<u64>,
    /// When the machine wants to be woken.
    timer: watch::Sender<Option<Instant>>,
    position: AtomicI64,
    reconnects: AtomicI64,
    /// What the voicemail of this call had when this process first stored it.
    voicemail_before: OnceLock<String>,
    state: Mutex<State>,
}

struct State {
    status: CallStatus,
    course: Course,
    machine: Call,
    /// When the first socket came; its clock runs from here.
    opened: Option<Instant>,
    /// The socket's end of the queue, while there is a socket.
    frames: Option<FrameSender>,
    /// What no socket has taken.
    unsent: Vec<Outgoing>,
    /// Counts sockets, so that a late close does not end its successor.
    sockets: u64,
    owner: Option<SessionKey>,
    listening: usize,
    listened_at: Option<Instant>,
    /// Voicemails on their way to the database.
    storing: usize,
}

impl State {
    fn moment(&self, app: &App) -> Moment {
        Moment { at: app.now(), elapsed: self.elapsed() }
    }

    fn elapsed(&self) -> Duration {
        self.opened.map_or(Duration::ZERO, |opened| opened.elapsed())
    }

    /// Nothing more can come for us.
    fn is_over(&self) -> bool {
        self.status.is_final() || self.course == Course::PutThrough
    }
}

impl LiveCalls {
    /// The call of this row, which is not over.
    pub(crate) fn ensure(&self, app: &App, row: &CallLog, sid: &CallSid) -> Arc<LiveCall> {
        let mut calls = lock(&self.calls);
        if let Some(call) = calls.get(sid) {
            return Arc::clone(call);
        }
        let owner = lock(&self.placed).remove(&row.session_id);
        let call = Arc::new(LiveCall::new(app, row, sid.clone(), owner));
        calls.insert(sid.clone(), Arc::clone(&call));
        app.tasks.spawn(end_unless_opened(app.clone(), Arc::clone(&call)));
        call
    }

    pub(crate) fn find(&self, sid: &CallSid) -> Option<Arc<LiveCall>> {
        lock(&self.calls).get(sid).cloned()
    }

    pub(crate) fn count(&self) -> usize {
        lock(&self.calls).len()
    }

    /// The session holds this call from the moment that the carrier names it.
    pub(crate) fn place(&self, id: &SessionId, session: SessionKey) {
        lock(&self.placed).insert(id.clone(), session);
    }

    /// The carrier never took the call.
    pub(crate) fn unplace(&self, id: &SessionId) {
        lock(&self.placed).remove(id);
    }

    /// A session has ended: what it held is free.
    pub(crate) fn session_ended(&self, session: SessionKey) {
        lock(&self.placed).retain(|_, owner| *owner != session);
        let calls: Vec<_> = lock(&self.calls).values().cloned().collect();
        for call in calls {
            let mut state = lock(&call.state);
            if state.owner == Some(session) {
                state.owner = None;
            }
        }
    }
}

impl LiveCall {
    fn new(app: &App, row: &CallLog, call_sid: CallSid, owner: Option<SessionKey>) -> Self {
        let seconds = u64::try_from(row.max_duration_seconds).unwrap_or(0);
        let plan = CallPlan {
            direction: row.direction,
            responder: match row.responder {
                Responder::Auto | Responder::Agent => FirstResponder::Agent,
                // Not placed by `calls::place`, which refuses them; an old row's call still gets an answer.
                Responder::Assistant | Responder::Sampling => FirstResponder::Machine,
            },
            claimed: owner.is_some() || row.direction == Direction::Outbound,
            timing: app.config.voice.timing(Duration::from_secs(seconds)),
            words: Arc::clone(&app.live_calls.words),
            greeting: calls::greeting(app, row),
        };
        Self {
            agent_id: row.agent_id.clone(),
            session_id: row.session_id.clone(),
            call_sid,
            from: row.from_address.clone(),
            changes: watch::Sender::new(0),
            timer: watch::Sender::new(None),
            // A call that goes on after a restart of the relay goes on behind what was written before it.
            position: AtomicI64::new(app.now().as_millis()),
            reconnects: AtomicI64::new(0),
            voicemail_before: OnceLock::new(),
            state: Mutex::new(State {
                status: row.status,
                course: Course::Here,
                machine: Call::new(plan),
                opened: None,
                frames: None,
                unsent: Vec::new(),
                sockets: 0,
                owner,
                listening: 0,
                listened_at: None,
                storing: 0,
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// The carrier's news of a call that is not over.
    pub(crate) fn advance(&self, status: CallStatus) {
        {
            let mut state = self.state();
            if !delivery::call_may_follow(status).contains(&state.status) {
                return;
            }
            state.status = status;
        }
        self.changed();
    }

    /// What the caller had left before the relay was started again; `stored` is what the database has.
    pub(crate) fn voicemail_before(&self, stored: &str) -> &str {
        self.voicemail_before.get_or_init(|| stored.to_owned())
    }

    /// No socket has come for it, and it is not over.
    fn is_awaited(&self) -> bool {
        let state = self.state();
        state.opened.is_none() && !state.status.is_final()
    }

    /// How often the caller was connected again, this time included.
    pub(crate) fn count_reconnect(&self) -> i64 {
        self.reconnects.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// A caller may hang up before the socket opens, and the carrier's word of it may be lost.
async fn end_unless_opened(app: App, call: Arc<LiveCall>) {
    let patience = Duration::from_secs(app.config.voice.ring_seconds.into()) + OPENED_WITHIN;
    let mut changes = call.changes.subscribe();
    // Not `wait_for`: it would take the call's lock inside the channel's, and others do it the other way round.
    let opened = async { while call.is_awaited() && changes.changed().await.is_ok() {} };
    tokio::select! {
        () = opened => return,
        () = tokio::time::sleep(patience) => (),
        () = app.stop.cancelled() => return,
    }
    Box::pin(give_up(&app, &call, CallStatus::NoAnswer)).await;
}

/// The call is over, as far as we can tell without the carrier's word. Boxed by who waits for long before: most
/// calls end otherwise, and should not pay for it.
async fn give_up(app: &App, call: &Arc<LiveCall>, status: CallStatus) {
    calls::finish(app, &call.session_id, status, None).await;
    end(app, call, status).await;
}

/// The call is over: lets the machine and every listener know, and stores what it leaves behind.
pub(crate) async fn end(app: &App, call: &Arc<LiveCall>, status: CallStatus) {
    lock(&app.live_calls.calls).remove(&call.call_sid);
    {
        let mut state = call.state();
        state.status = status;
        state.frames = None;
    }
    call.take(app, Event::Closed).await;
    call.changed();
    let is_stored = call.state().storing == 0;
    if is_stored {
        effects::announce_voicemail(app, call).await;
    }
    events::call_ended(&call.call_sid, status);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
