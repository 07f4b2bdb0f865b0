//! The agent's side of a call: listening and speaking.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use relay_core::call::{Event, Speech, Spoken, View};
use relay_core::sanitize;
use relay_store::call_logs::CallLog;
use relay_store::{call_turns, messages};
use shared::ids::{CallSid, TurnId};
use shared::model::{CallStatus, CallTurn};
use shared::protocol::{CallTurns, ErrorCode, Heard, ListenToCall, Speak};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::transfer::Course;
use super::{LiveCall, is_held};
use crate::app::App;
use crate::observability::events;
use crate::services::identity::Caller;
use crate::services::{ServiceError, calls};

/// The longest speech of one turn. A caller does not listen to more, and no speech provider takes much more.
const MAX_SPEECH_CHARACTERS: usize = 4_000;
/// A session that has listened within this time still holds its call.
const ATTENTION: Duration = Duration::from_secs(15);
const MAX_WAIT: Duration = Duration::from_secs(600);

pub(super) enum Found {
    Live(Arc<LiveCall>),
    /// Nobody talks in it for us, or not any more.
    Past(Box<CallLog>),
}

/// What a listener gets.
struct Hearing {
    view: View,
    status: CallStatus,
    is_over: bool,
}

/// Hears what the other side says. Claims the call if nobody has.
///
/// Here and in [`speak`] the short steps are boxed, so that a wait for words holds little memory.
pub async fn listen(
    app: &App,
    caller: &Caller,
    wanted: ListenToCall,
    cancelled: &CancellationToken,
) -> Result<CallTurns, ServiceError> {
    let call = match Box::pin(find(app, caller, &wanted.call_sid)).await? {
        Found::Live(call) => call,
        Found::Past(row) => return transcript(app, *row).await,
    };
    let attention = Box::pin(call.claim(app, caller)).await?;
    let Hearing { view, status, is_over } = call.hear(app, None, wait(wanted.wait_seconds), cancelled).await;
    drop(attention);
    Ok(CallTurns {
        turns: view.turns,
        heard_until: view.heard_until,
        turn_id: (!is_over).then_some(view.turn_id),
        silence_seconds: view.silence.as_secs(),
        call_status: status,
    })
}

/// Says something, then hears the next turn.
pub async fn speak(
    app: &App,
    caller: &Caller,
    wanted: Speak,
    cancelled: &CancellationToken,
) -> Result<Heard, ServiceError> {
    let speech = to_speech(&wanted)?;
    let call = match Box::pin(find(app, caller, &wanted.call_sid)).await? {
        Found::Live(call) => call,
        Found::Past(row) => return Err(past(&row)),
    };
    let attention = Box::pin(call.claim(app, caller)).await?;
    let patience = wait(wanted.wait_seconds);
    let started = Instant::now();
    let silent = speech.text.is_empty() && speech.digits.is_none() && !speech.end_call;
    let spoken =
        if silent { None } else { Some(Box::pin(call.say(app, speech, patience, cancelled)).await?) };
    let left = patience.saturating_sub(started.elapsed());
    let Hearing { view, status, .. } = call.hear(app, wanted.turn_id.as_ref(), left, cancelled).await;
    drop(attention);
    Ok(Heard {
        spoken: spoken == Some(Spoken::Yes),
        heard: view.turns,
        heard_until: view.heard_until,
        turn_id: view.turn_id,
        silence_seconds: view.silence.as_secs(),
        call_status: status,
        warnings: spoken.and_then(warning).into_iter().map(str::to_owned).collect(),
    })
}

fn warning(spoken: Spoken) -> Option<&'static str> {
    match spoken {
        Spoken::Yes | Spoken::Over => None,
        Spoken::AlreadyAnswered => Some("This turn was answered before; the words were not spoken again."),
        Spoken::Passed => Some(
            "Too late for this turn: the answering machine took it. Speak with the new turnId to take the call back.",
        ),
    }
}

fn wait(seconds: Option<u64>) -> Duration {
    Duration::from_secs(seconds.unwrap_or(0)).min(MAX_WAIT)
}

fn to_speech(wanted: &Speak) -> Result<Speech, ServiceError> {
    if wanted.body.chars().count() > MAX_SPEECH_CHARACTERS {
        let problem = format!("one turn has {MAX_SPEECH_CHARACTERS} characters at the most; say it in parts");
        return Err(ServiceError::Invalid { field: "body", problem });
    }
    let digits = wanted.digits.as_deref().map(str::parse).transpose();
    let digits = digits.map_err(|_| ServiceError::Invalid {
        field: "digits",
        problem: "it must be of 0-9, *, # and w".to_owned(),
    })?;
    Ok(Speech {
        turn_id: wanted.turn_id.clone(),
        text: sanitize::clean(&wanted.body).text,
        digits,
        end_call: wanted.end_call,
    })
}

/// A call of this agent. For a foreign and for an absent one the answer is the same.
pub(super) async fn find(app: &App, caller: &Caller, sid: &CallSid) -> Result<Found, ServiceError> {
    if let Some(call) = app.live_calls.find(sid).filter(|call| call.agent_id == caller.agent) {
        return Ok(Found::Live(call));
    }
    let row = calls::find(app, &caller.agent, sid).await?.ok_or(ServiceError::NotFound("call"))?;
    if !is_held(&row) {
        return Ok(Found::Past(Box::new(row)));
    }
    Ok(Found::Live(app.live_calls.ensure(app, &row, sid)))
}

/// Why nothing can be done in a call that nobody holds.
pub(super) fn past(row: &CallLog) -> ServiceError {
    if row.status.is_final() {
        return ServiceError::CallEnded;
    }
    match row.message_id {
        Some(_) => ServiceError::refused(
            ErrorCode::InvalidInput,
            "This call only says a voice message; nobody can talk in it.",
            "Place a call with comms_make_call to talk.",
        ),
        None => transferred(),
    }
}

pub(super) fn transferred() -> ServiceError {
    ServiceError::refused(
        ErrorCode::CallEnded,
        "The call was transferred; nobody talks in it for you any more.",
        "Read its transcript with comms_get_messages and the same callSid.",
    )
}

async fn transcript(app: &App, row: CallLog) -> Result<CallTurns, ServiceError> {
    let turns: Vec<CallTurn> = app
        .db
        .read::<_, ServiceError, _>(move |conn| {
            async move { Ok(call_turns::list(conn, &row.session_id).await?) }.boxed()
        })
        .await?;
    Ok(CallTurns { turns, heard_until: None, turn_id: None, silence_seconds: 0, call_status: row.status })
}

/// While it lives, somebody listens.
pub(super) struct Attention(Arc<LiveCall>);

impl Drop for Attention {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.listening = state.listening.saturating_sub(1);
        state.listened_at = Some(Instant::now());
    }
}

impl LiveCall {
    /// A call belongs to the session that placed or claimed it, as long as that one pays attention.
    pub(super) async fn claim(
        self: &Arc<Self>,
        app: &App,
        caller: &Caller,
    ) -> Result<Attention, ServiceError> {
        let first = {
            let mut state = self.state();
            let attentive =
                state.listening > 0 || state.listened_at.is_some_and(|at| at.elapsed() < ATTENTION);
            let held = state.owner.is_some_and(|owner| owner != caller.session);
            if held && attentive {
                return Err(ServiceError::refused(
                    ErrorCode::Forbidden,
                    "Another session of this agent holds this call.",
                    "Leave the call to it, or try again when it has stopped listening.",
                ));
            }
            let first = state.owner != Some(caller.session);
            state.owner = Some(caller.session);
            state.listening += 1;
            first
        };
        let attention = Attention(Arc::clone(self));
        self.take(app, Event::AgentAttached).await;
        if first {
            let (app, call) = (app.clone(), Arc::clone(self));
            let tasks = app.tasks.clone();
            tasks.spawn(async move { mark_answered(&app, &call).await });
        }
        Ok(attention)
    }

    /// Speaks, once the call has been answered.
    async fn say(
        self: &Arc<Self>,
        app: &App,
        speech: Speech,
        patience: Duration,
        cancelled: &CancellationToken,
    ) -> Result<Spoken, ServiceError> {
        let mut changes = self.changes.subscribe();
        let deadline = Instant::now() + patience;
        loop {
            changes.mark_unchanged();
            match self.try_to_say(app, &speech) {
                Some((Spoken::Over, _)) => return Err(self.ended()),
                Some((spoken, aside)) => {
                    self.perform_aside(app, aside).await;
                    return Ok(spoken);
                }
                None if self.state().is_over() => return Err(self.ended()),
                None => (),
            }
            tokio::select! {
                _ = changes.changed() => (),
                () = tokio::time::sleep_until(deadline) => return Err(still_ringing()),
                () = cancelled.cancelled() => return Err(still_ringing()),
            }
        }
    }

    /// What the other side has said after `after`, waiting for it.
    async fn hear(
        self: &Arc<Self>,
        app: &App,
        after: Option<&TurnId>,
        patience: Duration,
        cancelled: &CancellationToken,
    ) -> Hearing {
        let mut changes = self.changes.subscribe();
        let deadline = Instant::now() + patience;
        loop {
            changes.mark_unchanged();
            let hearing = self.hearing(app, after);
            if !hearing.view.turns.is_empty() || hearing.is_over {
                return hearing;
            }
            tokio::select! {
                _ = changes.changed() => (),
                () = tokio::time::sleep_until(deadline) => return hearing,
                () = cancelled.cancelled() => return hearing,
                () = app.stop.cancelled() => return hearing,
            }
        }
    }

    fn ended(&self) -> ServiceError {
        if self.state().course == Course::PutThrough { transferred() } else { ServiceError::CallEnded }
    }

    fn hearing(&self, app: &App, after: Option<&TurnId>) -> Hearing {
        let state = self.state();
        let view = state.machine.heard(after, &state.moment(app));
        Hearing { view, status: state.status, is_over: state.is_over() }
    }
}

fn still_ringing() -> ServiceError {
    ServiceError::refused(
        ErrorCode::InvalidInput,
        "Nobody has answered the call yet; nothing was spoken.",
        "Listen with comms_get_messages and this callSid, then speak.",
    )
}

/// An answered call is no missed one.
async fn mark_answered(app: &App, call: &LiveCall) {
    let (agent, sid, now) = (call.agent_id.clone(), call.call_sid.clone(), app.now());
    let marked = app
        .db
        .transaction::<_, ServiceError, _>(move |tx| {
            async move { Ok(messages::mark_calls_read(tx, &agent, &sid, now).await?) }.boxed()
        })
        .await;
    match marked {
        Ok(0) => (),
        Ok(_) => app.inboxes.changed(&call.agent_id),
        Err(problem) => events::failed_inside("mark a call as answered", &problem),
    }
}

/// The host has these turns.
pub fn confirm(app: &App, caller: &Caller, sid: &CallSid, until: &TurnId) {
    if let Some(call) = app.live_calls.find(sid).filter(|call| call.agent_id == caller.agent) {
        call.state().machine.confirm(until);
    }
}
