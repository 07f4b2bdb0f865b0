//! What the carrier asks and tells of a call that was put through: what the other telephone hears alone, and how it
//! went there.

use std::sync::Arc;

use futures_util::FutureExt;
use relay_core::twiml;
use relay_store::call_logs::{self, CallLog};
use relay_store::call_transfers::{self, TransferStatus};
use relay_store::{Conn, call_turns, webhook_events};
use shared::ids::{AgentId, MessageId, SessionId};
use shared::model::Timestamp;

use super::standing::{outcome, record_put_through};
use crate::app::App;
use crate::services::audit::{self, Act};
use crate::services::calls::answer::language;
use crate::services::charges;
use crate::services::{ServiceError, live_calls};

const NOT_ANSWERED: &str = "I am sorry, nobody answers there. Goodbye.";

/// What whoever picks up the other telephone hears alone, as TwiML. That the carrier asks says that it has the call.
pub async fn whisper(app: &App, agent: &AgentId, session: SessionId) -> Result<String, ServiceError> {
    let (agent, now) = (agent.clone(), app.now());
    let (row, transfer) = app
        .db
        .transaction::<_, ServiceError, _>(move |tx| {
            async move {
                let row = find_call(tx, &agent, &session).await?;
                let transfer = record_put_through(tx, &session, now).await?;
                Ok((row, transfer.ok_or(ServiceError::NotFound("call"))?))
            }
            .boxed()
        })
        .await?;
    Ok(twiml::say(&transfer.announcement, Some(language(app, &row))))
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
                audit::lock(tx).await?;
                let row = find_call(tx, &agent, &told.session_id).await?;
                let id = &told.transfer;
                let transfer = call_transfers::find(tx, id).await?;
                let transfer = transfer.filter(|transfer| transfer.session_id == told.session_id);
                let transfer = transfer.ok_or(ServiceError::NotFound("call"))?;
                if webhook_events::record(tx, "dial-ended", id.as_str(), now).await? {
                    record_dial(tx, &told, now).await?;
                    call_logs::set_announcement(tx, &told.session_id, &transfer.announcement).await?;
                    let step = (transfer.status, TransferStatus::Ended);
                    call_transfers::set_status(tx, id, step).await?;
                    let outcome = outcome(&rules, &transfer, told.seconds);
                    charges::settle(tx, &rules, (id.as_str(), outcome), now).await?;
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

async fn find_call(conn: &mut Conn, agent: &AgentId, session: &SessionId) -> Result<CallLog, ServiceError> {
    let row = call_logs::find(conn, session).await?;
    row.filter(|row| row.agent_id == *agent).ok_or(ServiceError::NotFound("call"))
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
