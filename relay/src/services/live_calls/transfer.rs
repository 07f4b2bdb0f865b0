//! A held call that is put through to another telephone.
//!
//! From the moment that the carrier is asked, a socket that closes is no loss; once it has said yes, nobody talks in
//! the call for us. The carrier itself closes the socket: if we did, it could take that for the end of the call.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use relay_core::call::Event;
use shared::ids::{CallSid, MessageId, TurnId};
use shared::model::{CallTurn, Direction, Speaker, Timestamp};
use shared::protocol::ErrorCode;

use super::hold::{Attention, Found, find, past, transferred};
use super::{LiveCall, effects, lock};
use crate::app::App;
use crate::observability::events;
use crate::services::identity::Caller;
use crate::services::transcripts::Line;
use crate::services::{ServiceError, calls};

/// Where a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Course {
    Here,
    /// The carrier is asked to put it through, and has not answered.
    Asked,
    /// Its answer was lost. A socket that opens says that the call is here, one that stays away that it is not.
    Unclear,
    PutThrough,
}

/// A call for which the carrier is asked to put it through. Dropped, the call goes on as it was.
pub(crate) struct Transferring {
    call: Arc<LiveCall>,
    _attention: Attention,
}

/// Takes hold of an answered call as one who speaks does, for as long as the carrier is asked. Only one at a time.
pub(crate) async fn begin_transfer(
    app: &App,
    caller: &Caller,
    sid: &CallSid,
) -> Result<Transferring, ServiceError> {
    let call = match find(app, caller, sid).await? {
        Found::Live(call) => call,
        Found::Past(row) => return Err(past(&row)),
    };
    let attention = call.claim(app, caller).await?;
    {
        let mut state = call.state();
        match state.course {
            Course::PutThrough => return Err(transferred()),
            _ if state.status.is_final() || state.machine.is_over() => return Err(ServiceError::CallEnded),
            Course::Asked | Course::Unclear => return Err(asked_before()),
            Course::Here if state.opened.is_none() => return Err(still_ringing()),
            Course::Here => state.course = Course::Asked,
        }
    }
    Ok(Transferring { call, _attention: attention })
}

fn asked_before() -> ServiceError {
    ServiceError::refused(
        ErrorCode::OutcomeUnknown,
        "The carrier was asked before to transfer this call, and has not answered; it was not asked again.",
        "Listen with comms_get_messages and this callSid: while the other side talks to you, it is not transferred.",
    )
}

fn still_ringing() -> ServiceError {
    ServiceError::refused(
        ErrorCode::InvalidInput,
        "Nobody has answered the call yet; it was not transferred.",
        "Listen with comms_get_messages and this callSid, then transfer it.",
    )
}

impl Transferring {
    /// How long the call has lasted.
    pub(crate) fn elapsed(&self) -> Duration {
        self.call.state().elapsed()
    }

    /// The carrier has taken the call.
    pub(crate) async fn done(self, app: &App) {
        hand_over(app, &self.call).await;
    }

    /// The carrier's answer was lost. If it has taken the call, the socket closes; else the call goes on.
    pub(crate) fn unclear(self) {
        self.call.state().course = Course::Unclear;
    }
}

impl Drop for Transferring {
    fn drop(&mut self) {
        let mut state = self.call.state();
        if state.course == Course::Asked {
            state.course = Course::Here;
        }
    }
}

/// The call is the other telephone's: records it, lets the machine and every listener know, and says so in the
/// transcript.
pub(super) async fn hand_over(app: &App, call: &Arc<LiveCall>) {
    calls::put_through(app, &call.session_id).await;
    lock(&app.live_calls.calls).remove(&call.call_sid);
    call.take(app, Event::Closed).await;
    call.state().course = Course::PutThrough;
    let position = call.position.fetch_add(1, Ordering::Relaxed);
    let turn = notice("Transferred.", app.now());
    app.transcripts.write(Line::Turn { session: call.session_id.clone(), position, turn }).await;
    call.changed();
    if call.state().storing == 0 {
        effects::announce_voicemail(app, call).await;
    }
    events::call_transferred(&call.call_sid);
}

/// A turn of the relay's own, which nobody has heard.
pub(crate) fn notice(text: &str, at: Timestamp) -> CallTurn {
    CallTurn {
        id: MessageId::generate(),
        turn_id: TurnId::generate(),
        direction: Direction::Outbound,
        speaker: Speaker::Machine,
        text: text.to_owned(),
        heard_until: None,
        digits: None,
        at,
    }
}
