//! Calls: placing them, answering them, and what they leave behind.

mod answer;
mod place;
mod transfer;
mod voicemail;

use std::sync::Arc;

use futures_util::FutureExt;
use relay_core::delivery;
use relay_store::call_logs::{self, CallLog, CallStatusChange};
use relay_store::usage_logs::{UsageKind, UsageLog};
use relay_store::{Conn, webhook_events};
use shared::ids::{AgentId, CallSid, SessionId};
use shared::model::{CallStatus, Direction, Micros, Timestamp};

use super::audit::{self, Act};
use super::charges::{self, Outcome};
use super::policy::Rules;
use super::{ServiceError, live_calls, voice_messages};
use crate::app::App;
use crate::observability::events;

pub use answer::{CarrierCall, RelayEnded, answer, relay_ended};
pub use place::place;
pub(in crate::services) use place::{carry_out, earlier};
pub(crate) use transfer::put_through;
pub use transfer::{DialEnded, dial_ended, transfer, whisper};
pub(crate) use voicemail::{announce_unannounced, announce_voicemail, store_voicemail};

/// The first words of a call: who speaks, then the greeting.
pub(crate) fn greeting(app: &App, row: &CallLog) -> String {
    disclosed(app, row.greeting.as_deref().unwrap_or(&app.config.voice.greeting))
}

/// The notice of who speaks, where it is wanted, then the words.
pub(super) fn disclosed(app: &App, words: &str) -> String {
    let voice = &app.config.voice;
    if voice.disclosure { format!("{} {words}", voice.disclosure_text) } else { words.to_owned() }
}

/// A call by the carrier's name for it, if it is this agent's.
pub(crate) async fn find(app: &App, agent: &AgentId, sid: &CallSid) -> Result<Option<CallLog>, ServiceError> {
    let sid = sid.clone();
    let row = app
        .db
        .read::<_, ServiceError, _>(move |conn| {
            async move { Ok(call_logs::find_by_sid(conn, &sid).await?) }.boxed()
        })
        .await?;
    Ok(row.filter(|row| row.agent_id == *agent))
}

/// The carrier's news of a call.
#[derive(Clone, Debug)]
pub struct CallReport {
    pub call_sid: CallSid,
    pub status: CallStatus,
    pub session_id: Option<SessionId>,
    /// The carrier's own order of its callbacks.
    pub sequence: Option<i64>,
    pub duration_seconds: Option<i64>,
}

/// Takes the news in. Statuses move forward only; a final one ends the call for everybody.
pub async fn report_status(app: &App, agent: &AgentId, report: CallReport) -> Result<(), ServiceError> {
    let (now, rules) = (app.now(), Arc::clone(&app.rules));
    let owner = agent.clone();
    let told = report.clone();
    let moved = app
        .db
        .transaction::<_, ServiceError, _>(move |tx| {
            async move {
                audit::lock(tx).await?;
                let event = format!("{}:{}", told.call_sid, told.status);
                if !webhook_events::record(tx, "call-status", &event, now).await? {
                    return Ok(None);
                }
                let row = match (call_logs::find_by_sid(tx, &told.call_sid).await?, &told.session_id) {
                    (Some(row), _) => Some(row),
                    // News can overtake the answer to our own request.
                    (None, Some(session)) => {
                        call_logs::set_call_sid(tx, session, &told.call_sid, CallStatus::Queued).await?
                    }
                    (None, None) => None,
                };
                let Some(row) = row.filter(|row| row.agent_id == owner) else { return Ok(None) };
                let change = CallStatusChange {
                    from: delivery::call_may_follow(told.status),
                    to: told.status,
                    sequence: told.sequence,
                    duration_seconds: told.duration_seconds,
                    error_code: None,
                    now,
                };
                let moved = call_logs::set_status(tx, &row.session_id, &change).await?;
                if let Some(row) = &moved {
                    let detail = [("status", told.status.as_str())];
                    audit::append(tx, now, Act("carrier", "call.status", row.session_id.as_str()), &detail)
                        .await?;
                    follow(tx, &rules, row, now).await?;
                }
                Ok(moved)
            }
            .boxed()
        })
        .await?;
    if let Some(row) = moved {
        events::call_status(&row.session_id, row.status);
        if row.status.is_final() {
            charges::ended(app, row.session_id.as_str());
        }
    }
    if let Some(call) = app.live_calls.find(&report.call_sid) {
        if report.status.is_final() {
            live_calls::end(app, &call, report.status).await;
        } else {
            call.advance(report.status);
        }
    }
    Ok(())
}

/// What hangs on a call's status: the money that was reserved for it and its transfers, and the voice message that
/// it carries.
async fn follow(tx: &mut Conn, rules: &Rules, row: &CallLog, now: Timestamp) -> Result<(), ServiceError> {
    voice_messages::follow(tx, row, now).await?;
    if !row.status.is_final() {
        return Ok(());
    }
    transfer::follow(tx, rules, row, now).await?;
    if row.direction == Direction::Inbound {
        return Ok(());
    }
    let seconds = row.duration_seconds.or_else(|| {
        let talked = row.answered_at?.as_millis()..row.ended_at.unwrap_or(now).as_millis();
        let seconds = (talked.end - talked.start).max(0).unsigned_abs().div_ceil(1_000).cast_signed();
        // The carrier ends a call in time, also while nobody here is there to see it.
        Some(seconds.min(row.max_duration_seconds))
    });
    let outcome = match (seconds, row.to_address.parse()) {
        (Some(seconds), Ok(number)) if row.status == CallStatus::Completed => {
            Outcome::Charged { charge: rules.prices.call(&number, seconds), quantity: seconds }
        }
        _ => Outcome::Released,
    };
    charges::settle(tx, rules, (row.session_id.as_str(), outcome), now).await
}

/// What the provider took for a call, if it tells already, and what its speech costs beside.
pub(super) async fn price(app: &App, usage: &UsageLog) -> Result<Option<(Micros, String)>, ServiceError> {
    let Ok(session) = usage.id.parse::<SessionId>() else { return Ok(None) };
    let row = app
        .db
        .read::<_, ServiceError, _>(move |conn| {
            async move { Ok(call_logs::find(conn, &session).await?) }.boxed()
        })
        .await?;
    let Some(row) = row.filter(|row| row.status.is_final()) else { return Ok(None) };
    let Some(sid) = row.call_sid else { return Ok(None) };
    let price = app.providers().voice.price(&sid).await;
    let price = price.map_err(|source| ServiceError::Provider { source, message_id: None })?;
    // The carrier's price of a call is that of the line alone.
    let speech = match usage.kind {
        UsageKind::Call => app.rules.prices.speech(usage.quantity),
        UsageKind::VoiceMessage | UsageKind::Message | UsageKind::Transfer => Micros(0),
    };
    Ok(price.map(|(Micros(line), currency)| (Micros(line + speech.0), currency)))
}

/// Records that a call is over, where the carrier has not told so. Logs its own failure: nobody waits for it.
pub(crate) async fn finish(app: &App, session: &SessionId, status: CallStatus, error_code: Option<String>) {
    let (now, rules) = (app.now(), Arc::clone(&app.rules));
    let session = session.clone();
    let done = app
        .db
        .transaction::<_, ServiceError, _>(move |tx| {
            async move {
                audit::lock(tx).await?;
                let change = CallStatusChange {
                    from: delivery::call_may_follow(status),
                    to: status,
                    sequence: None,
                    duration_seconds: None,
                    error_code,
                    now,
                };
                if let Some(row) = call_logs::set_status(tx, &session, &change).await? {
                    let detail = [("status", status.as_str())];
                    audit::append(tx, now, Act("relay", "call.status", session.as_str()), &detail).await?;
                    follow(tx, &rules, &row, now).await?;
                }
                Ok(())
            }
            .boxed()
        })
        .await;
    if let Err(problem) = done {
        events::failed_inside("record the end of a call", &problem);
    }
}

/// At the start of the relay: calls of a dead process that the carrier never named can no longer be told apart.
pub async fn recover(app: &App) -> Result<(), ServiceError> {
    announce_unannounced(app).await?;
    let unfinished = app
        .db
        .read::<_, ServiceError, _>(|conn| async move { Ok(call_logs::list_unfinished(conn).await?) }.boxed())
        .await?;
    for row in unfinished {
        let too_old = app.now().since(row.created_at) > std::time::Duration::from_secs(6 * 3_600);
        if too_old || row.call_sid.is_none() {
            place::settle_interrupted(app, row).await;
        }
    }
    Ok(())
}
