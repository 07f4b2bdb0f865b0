//! What the carrier asks and tells of a call that was put through: what the other telephone hears alone, and how it
//! went there.

use std::sync::Arc;

use futures_util::FutureExt;
use relay_core::twiml;
use relay_store::call_logs::{self, CallLog};
use relay_store::usage_logs::{self, UsageKind, UsageLog};
use relay_store::{Conn, call_turns, webhook_events};
use shared::ids::{AgentId, MessageId, SessionId};
use shared::model::{Micros, Timestamp};

use crate::app::App;
use crate::services::audit::{self, Act};
use crate::services::calls::answer::language;
use crate::services::charges::{self, Outcome};
use crate::services::{ServiceError, live_calls};

const NOT_ANSWERED: &str = "I am sorry, nobody answers there. Goodbye.";

/// What whoever picks up the other telephone hears alone, as TwiML.
pub async fn whisper(app: &App, agent: &AgentId, session: SessionId) -> Result<String, ServiceError> {
    let agent = agent.clone();
    let (row, announcement) = app
        .db
        .read::<_, ServiceError, _>(move |conn| {
            async move { find_transferred(conn, &agent, &session).await }.boxed()
        })
        .await?;
    Ok(twiml::say(&announcement, Some(language(app, &row))))
}

/// The carrier's word that the other telephone was not reached, or that the two have parted.
#[derive(Clone, Debug)]
pub struct DialEnded {
    pub session_id: SessionId,
    /// The transfer that we named in the address.
    pub transfer: MessageId,
    /// How long the two have talked; `None` if nobody picked up.
    pub seconds: Option<i64>,
}

/// Takes that in, and gives as TwiML how the call ends. The same word gets the same answer.
pub async fn dial_ended(app: &App, agent: &AgentId, ended: DialEnded) -> Result<String, ServiceError> {
    let (agent, now, rules) = (agent.clone(), app.now(), Arc::clone(&app.rules));
    let told = ended.clone();
    let row = app
        .db
        .transaction::<_, ServiceError, _>(move |tx| {
            async move {
                let (row, _) = find_transferred(tx, &agent, &told.session_id).await?;
                let usage = usage_logs::find(tx, told.transfer.as_str()).await?;
                let usage =
                    usage.filter(|usage| usage.agent_id == agent && usage.kind == UsageKind::Transfer);
                let usage = usage.ok_or(ServiceError::NotFound("call"))?;
                if webhook_events::record(tx, "dial-ended", &usage.id, now).await? {
                    record_dial(tx, &told, now).await?;
                    charges::settle(tx, &rules, (&usage.id, outcome(&usage, told.seconds)), now).await?;
                }
                Ok(row)
            }
            .boxed()
        })
        .await?;
    Ok(match ended.seconds {
        Some(_) => twiml::empty(),
        None => twiml::say_and_hang_up(NOT_ANSWERED, Some(language(app, &row)), None),
    })
}

/// A call of this agent that was put through.
async fn find_transferred(
    conn: &mut Conn,
    agent: &AgentId,
    session: &SessionId,
) -> Result<(CallLog, String), ServiceError> {
    let row = call_logs::find(conn, session).await?;
    let row = row.filter(|row| row.agent_id == *agent && row.message_id.is_none());
    let mut row = row.ok_or(ServiceError::NotFound("call"))?;
    let announcement = row.say.take().ok_or(ServiceError::NotFound("call"))?;
    Ok((row, announcement))
}

async fn record_dial(tx: &mut Conn, ended: &DialEnded, now: Timestamp) -> Result<(), ServiceError> {
    let (answered, text) = match ended.seconds {
        Some(_) => ("yes", "The other telephone was answered."),
        None => ("no", "The other telephone was not answered."),
    };
    let session = &ended.session_id;
    let detail = [("transfer", ended.transfer.as_str()), ("answered", answered)];
    audit::append(tx, now, Act("carrier", "call.dial_ended", session.as_str()), &detail).await?;
    // Later than everything that was said before the transfer: positions count up from the time of the call.
    call_turns::insert(tx, session, now.as_millis(), &live_calls::notice(text, now)).await?;
    Ok(())
}

/// The part that was used of what is reserved, by begun minutes.
fn outcome(reserved: &UsageLog, seconds: Option<i64>) -> Outcome {
    let Some(seconds) = seconds else { return Outcome::Released };
    let minutes = |seconds: i64| seconds.max(1).saturating_add(59) / 60;
    let a_minute = reserved.charge.0 / minutes(reserved.quantity);
    Outcome::Charged { charge: Micros(a_minute.saturating_mul(minutes(seconds))), quantity: seconds }
}
