//! Calls that ring or are held: the machine of each, who holds it, and what is waiting to be said.
//!
//! The socket (`voice`) brings events and takes frames; sessions (`ipc`) listen and speak. The rules are
//! `relay_core::call`; this module performs their effects.

mod hold;
mod line;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use relay_core::call::{Call, CallPlan, Effect, Event, FirstResponder, Moment, Voicemail, Words};
use relay_core::delivery;
use relay_core::relay_frame::Outgoing;
use relay_store::call_logs::CallLog;
use shared::ids::{AgentId, CallSid, SessionId};
use shared::model::{CallStatus, Direction, Responder};
use tokio::sync::watch;
use tokio::time::Instant;

use super::calls;
use super::transcripts::Line as TranscriptLine;
use crate::app::App;
use crate::observability::events;

pub use hold::{confirm, listen, speak};
pub use line::{OpenProblem, Socket, open};

/// Frames that wait for a socket. One that does not read this many is given up.
const FRAME_QUEUE: usize = 64;
/// A socket that was lost may come back within this time; then the call is over.
const LOST_AFTER: Duration = Duration::from_secs(15);

/// The time between the answer of a call and its socket, and then some.
const OPENED_WITHIN: Duration = Duration::from_secs(60);

/// One session of an agent: a connection on the local socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionKey(pub u64);

/// Who asks: an agent, by one of its sessions.
#[derive(Clone, Debug)]
pub struct Caller {
    pub agent: AgentId,
    pub session: SessionKey,
}

/// The calls that are not over.
#[derive(Default)]
pub struct LiveCalls {
    calls: Mutex<HashMap<CallSid, Arc<LiveCall>>>,
    /// Calls that a session has placed and that the carrier has not named yet.
    placed: Mutex<HashMap<SessionId, SessionKey>>,
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
    state: Mutex<State>,
}

struct State {
    status: CallStatus,
    machine: Call,
    /// When the first socket came; its clock runs from here.
    opened: Option<Instant>,
    /// The socket's end of the queue, while there is a socket.
    frames: Option<tokio::sync::mpsc::Sender<Outgoing>>,
    /// Counts sockets, so that a late close does not end its successor.
    sockets: u64,
    owner: Option<SessionKey>,
    listening: usize,
    listened_at: Option<Instant>,
    /// To be stored one after the other: a later one has all that an earlier one has.
    voicemails: VecDeque<Voicemail>,
}

impl State {
    fn moment(&self, app: &App) -> Moment {
        let elapsed = self.opened.map_or(Duration::ZERO, |opened| opened.elapsed());
        Moment { at: app.now(), elapsed }
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
            words: Arc::new(Words::default()),
            greeting: calls::greeting(app, row),
        };
        Self {
            agent_id: row.agent_id.clone(),
            session_id: row.session_id.clone(),
            call_sid,
            from: row.from_address.clone(),
            changes: watch::Sender::new(0),
            timer: watch::Sender::new(None),
            position: AtomicI64::new(0),
            reconnects: AtomicI64::new(0),
            state: Mutex::new(State {
                status: row.status,
                machine: Call::new(plan),
                opened: None,
                frames: None,
                sockets: 0,
                owner,
                listening: 0,
                listened_at: None,
                voicemails: VecDeque::new(),
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Lets the machine take an event, and performs what follows from it.
    pub(crate) async fn take(self: &Arc<Self>, app: &App, event: Event) {
        let effects = {
            let mut state = self.state();
            let moment = state.moment(app);
            state.machine.handle(event, &moment)
        };
        self.perform(app, effects).await;
    }

    async fn perform(self: &Arc<Self>, app: &App, effects: Vec<Effect>) {
        // Frames first: the caller waits for these.
        let (frames, rest): (Vec<_>, Vec<_>) =
            effects.into_iter().partition(|effect| matches!(effect, Effect::Send(_) | Effect::HangUp));
        for effect in frames {
            match effect {
                Effect::Send(frame) => self.send(frame),
                _ => self.send(Outgoing::End { handoff_data: None }),
            }
        }
        for effect in rest {
            self.perform_aside(app, effect).await;
        }
    }

    async fn perform_aside(self: &Arc<Self>, app: &App, effect: Effect) {
        match effect {
            Effect::Send(_) | Effect::HangUp => (),
            Effect::Record(turn) => {
                let position = self.position.fetch_add(1, Ordering::Relaxed);
                let session = self.session_id.clone();
                app.transcripts.write(TranscriptLine::Turn { session, position, turn }).await;
            }
            Effect::CutShort { id, heard_until } => {
                app.transcripts.write(TranscriptLine::CutShort { turn: id, heard_until }).await;
            }
            Effect::WakeAgent => self.changed(),
            Effect::WakeAt(at) => {
                let opened = self.state().opened;
                self.timer.send_replace(at.zip(opened).map(|(at, opened)| opened + at));
            }
            Effect::StoreVoicemail(voicemail) => {
                let is_first = {
                    let mut state = self.state();
                    state.voicemails.push_back(voicemail);
                    state.voicemails.len() == 1
                };
                if is_first {
                    app.tasks.spawn(store_voicemails(app.clone(), Arc::clone(self)));
                }
            }
        }
    }

    /// Hands a frame to the socket. A socket that does not read is given up.
    fn send(&self, frame: Outgoing) {
        let mut state = self.state();
        if let Some(frames) = &state.frames
            && frames.try_send(frame).is_err()
        {
            state.frames = None;
        }
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

    /// How often the caller was connected again, this time included.
    pub(crate) fn count_reconnect(&self) -> i64 {
        self.reconnects.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// Stores what waits, in order, and tells the machine of each. Boxed, because that leads back here.
fn store_voicemails(app: App, call: Arc<LiveCall>) -> futures_util::future::BoxFuture<'static, ()> {
    Box::pin(async move {
        let mut next = call.state().voicemails.front().cloned();
        while let Some(voicemail) = next {
            let stored = calls::store_voicemail(&app, &call, voicemail).await;
            if let Err(problem) = &stored {
                events::failed_inside("store a voicemail", problem);
            }
            call.take(&app, Event::VoicemailStored { ok: stored.is_ok() }).await;
            // Taken out only here, so that what comes meanwhile waits for this task instead of starting another.
            let mut state = call.state();
            state.voicemails.pop_front();
            next = state.voicemails.front().cloned();
        }
        let is_over = call.state().status.is_final();
        if is_over {
            announce_voicemail(&app, &call).await;
        }
    })
}

async fn announce_voicemail(app: &App, call: &LiveCall) {
    if let Err(problem) = calls::announce_voicemail(app, &call.session_id).await {
        // The row is there; the next start of the relay announces it.
        events::failed_inside("announce a voicemail", &problem);
    }
}

/// A caller may hang up before the socket opens, and the carrier's word of it may be lost.
async fn end_unless_opened(app: App, call: Arc<LiveCall>) {
    let patience = Duration::from_secs(app.config.voice.ring_seconds.into()) + OPENED_WITHIN;
    tokio::select! {
        () = tokio::time::sleep(patience) => (),
        () = app.stop.cancelled() => return,
    }
    let opened = {
        let state = call.state();
        state.opened.is_some() || state.status.is_final()
    };
    if !opened {
        calls::finish(&app, &call.session_id, CallStatus::NoAnswer, None).await;
        end(&app, &call, CallStatus::NoAnswer).await;
    }
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
    announce_voicemail(app, call).await;
    events::call_ended(&call.call_sid, status);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
