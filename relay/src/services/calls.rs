//! Calls: placing them, answering them, and what they leave behind.

mod answer;
mod place;
mod voicemail;

use futures_util::FutureExt;
use relay_core::delivery;
use relay_store::call_logs::{self, CallLog, CallStatusChange};
use relay_store::webhook_events;
use shared::ids::{AgentId, CallSid, SessionId};
use shared::model::CallStatus;

use super::ServiceError;
use super::audit::{self, Act};
use super::live_calls;
use crate::app::App;
use crate::observability::events;

pub use answer::{CarrierCall, RelayEnded, answer, relay_ended};
pub use place::place;
pub(crate) use voicemail::{announce_unannounced, announce_voicemail, store_voicemail};

/// The first words of a call: who speaks, then the greeting.
pub(crate) fn greeting(app: &App, row: &CallLog) -> String {
    let voice = &app.config.voice;
    let greeting = row.greeting.as_deref().unwrap_or(&voice.greeting);
    if voice.disclosure { format!("{} {greeting}", voice.disclosure_text) } else { greeting.to_owned() }
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
    let now = app.now();
    let owner = agent.clone();
    let told = report.clone();
    let moved = app
        .db
        .transaction::<_, ServiceError, _>(move |tx| {
            async move {
                let event = format!("{}:{}", told.call_sid, told.status);
                if !webhook_events::record(tx, "call-status", &event, now).await? {
                    return Ok(None);
                }
                let row = match (call_logs::find_by_sid(tx, &told.call_sid).await?, &told.session_id) {
                    (Some(row), _) => Some(row),
                    // News can overtake the answer to our own request.
                    (None, Some(session)) => {
                        call_logs::set_call_sid(tx, session, &told.call_sid, told.status).await?
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
                if moved.is_some() {
                    let detail = [("status", told.status.as_str())];
                    audit::append(tx, now, Act("carrier", "call.status", row.session_id.as_str()), &detail)
                        .await?;
                }
                Ok(moved)
            }
            .boxed()
        })
        .await?;
    if let Some(row) = moved {
        events::call_status(&row.session_id, row.status);
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

/// Records that a call is over, where the carrier has not told so. Logs its own failure: nobody waits for it.
pub(crate) async fn finish(app: &App, session: &SessionId, status: CallStatus, error_code: Option<String>) {
    let now = app.now();
    let session = session.clone();
    let done = app
        .db
        .transaction::<_, ServiceError, _>(move |tx| {
            async move {
                let change = CallStatusChange {
                    from: delivery::call_may_follow(status),
                    to: status,
                    sequence: None,
                    duration_seconds: None,
                    error_code,
                    now,
                };
                if call_logs::set_status(tx, &session, &change).await?.is_some() {
                    let detail = [("status", status.as_str())];
                    audit::append(tx, now, Act("relay", "call.status", session.as_str()), &detail).await?;
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
