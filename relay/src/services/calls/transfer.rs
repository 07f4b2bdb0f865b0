//! Putting a live call through to another telephone.

mod other_side;
mod standing;

use std::sync::Arc;

use futures_util::FutureExt;
use relay_core::recipient::Address;
use relay_core::{sanitize, twiml};
use relay_providers::ProviderError;
use relay_store::call_logs::{self, CallLog};
use relay_store::call_transfers::{self, CallTransfer, TransferStatus};
use relay_store::contacts::{self, ContactKey};
use relay_store::usage_logs::UsageKind;
use shared::ids::MessageId;
use shared::model::{Channel, PhoneNumber, Timestamp};
use shared::protocol::{CallTransferred, ErrorCode, TransferCall, TransferMode};

use super::answer::{language, picked_up};
use crate::app::App;
use crate::observability::events;
use crate::services::approvals::{Question, words};
use crate::services::audit::{self, Act};
use crate::services::charges::{self, Outcome};
use crate::services::identity::Caller;
use crate::services::live_calls::{self, Transferring};
use crate::services::messages::not_provisioned;
use crate::services::outbox::CALLBACK_OVERRIDES;
use crate::services::policy::Departure;
use crate::services::{ServiceError, policy};

pub use other_side::{DialEnded, dial_ended, whisper};
pub(crate) use standing::put_through;
pub(super) use standing::{follow, is_asked};

const MAX_ANNOUNCEMENT_CHARACTERS: usize = 1_000;
/// The carrier's limit for instructions that come with the request (Twilio error 32018).
const MAX_INSTRUCTION_CHARACTERS: usize = 4_000;

/// What the carrier is asked to do.
struct Handover {
    row: CallLog,
    /// The name of what is reserved for it.
    id: MessageId,
    from: PhoneNumber,
    to: PhoneNumber,
    announcement: String,
    mode: TransferMode,
    /// How long the two may talk.
    seconds: i64,
}

/// Hands a call that the agent holds to another telephone. Gives its answer once the carrier has taken the call.
pub async fn transfer(
    app: &App,
    caller: &Caller,
    wanted: TransferCall,
) -> Result<CallTransferred, ServiceError> {
    let announcement = announcement(&wanted)?;
    let profile = app.agents.find(&caller.agent).ok_or(ServiceError::NotFound("agent"))?;
    let from = profile.number(Channel::Voice).ok_or_else(|| not_provisioned(Channel::Voice))?;
    let to = policy::resolve(app, Channel::Voice, &wanted.to)?;
    let transferring = live_calls::begin_transfer(app, caller, &wanted.call_sid).await?;
    let row =
        super::find(app, &caller.agent, &wanted.call_sid).await?.ok_or(ServiceError::NotFound("call"))?;
    let lasted = i64::try_from(transferring.elapsed().as_secs()).unwrap_or(i64::MAX);
    let handover = Handover {
        id: MessageId::generate(),
        from,
        to: not_in_the_call(&row, to)?,
        announcement,
        mode: wanted.mode.unwrap_or(TransferMode::Cold),
        seconds: row.max_duration_seconds.saturating_sub(lasted).max(1),
        row,
    };
    if handover.to_twiml(app).chars().count() > MAX_INSTRUCTION_CHARACTERS {
        return Err(announcement_too_long());
    }
    let departure = departure(app, caller, &wanted, &handover);
    // Its own task: a caller who goes away must not leave a call of which nobody knows where it is.
    let task = app.tasks.spawn(carry_out(app.clone(), transferring, handover, departure));
    task.await.unwrap_or_else(|_| Err(unclear()))
}

fn announcement(wanted: &TransferCall) -> Result<String, ServiceError> {
    let text = sanitize::clean(wanted.announcement_text.as_deref().unwrap_or("")).text;
    if text.chars().count() > MAX_ANNOUNCEMENT_CHARACTERS {
        return Err(announcement_too_long());
    }
    Ok(text.trim().to_owned())
}

fn announcement_too_long() -> ServiceError {
    let problem = format!(
        "it has {MAX_ANNOUNCEMENT_CHARACTERS} characters at the most, fewer with many & < > or quotes"
    );
    ServiceError::Invalid { field: "announcementText", problem }
}

fn not_in_the_call(row: &CallLog, to: Address) -> Result<PhoneNumber, ServiceError> {
    let invalid = |problem: &str| Err(ServiceError::Invalid { field: "to", problem: problem.to_owned() });
    match to {
        Address::Phone(number) if [&row.from_address, &row.to_address].contains(&&number.to_string()) => {
            invalid("that number is in the call")
        }
        Address::Phone(number) => Ok(number),
        Address::Email(_) => invalid("a call is transferred to a number"),
    }
}

fn departure(app: &App, caller: &Caller, wanted: &TransferCall, handover: &Handover) -> Departure {
    let Handover { id, from, to, seconds, .. } = handover;
    let address = Address::Phone(to.clone());
    let asked = (wanted, address.as_str());
    let question =
        Question::new(&caller.agent, "transfer_call", &asked, words::transfer(wanted, &address, *seconds));
    Departure {
        agent: caller.agent.clone(),
        from: from.to_string(),
        to: address,
        channel: Channel::Voice,
        kind: UsageKind::Transfer,
        id: id.to_string(),
        charge: app.rules.prices.transfer(to, *seconds),
        quantity: *seconds,
        approval: caller.approval.clone(),
        question,
    }
}

impl Handover {
    fn to_twiml(&self, app: &App) -> String {
        let row = &self.row;
        let url =
            |what: &str| app.webhook_url(&row.agent_id, &format!("voice?session={}&{what}", row.session_id));
        let said = Some(self.announcement.as_str()).filter(|text| !text.is_empty());
        let (to_caller, whisper_url) = match self.mode {
            TransferMode::Cold => (said, None),
            TransferMode::Warm => (None, said.map(|_| url("whisper=1"))),
        };
        twiml::transfer(&twiml::Transfer {
            announcement: to_caller,
            language: Some(language(app, row)),
            caller_id: self.from.as_str(),
            to: self.to.as_str(),
            time_limit_seconds: u32::try_from(self.seconds).unwrap_or(u32::MAX),
            ring_seconds: app.config.voice.ring_seconds,
            whisper_url: whisper_url.as_deref(),
            action: Some(&format!("{}{CALLBACK_OVERRIDES}", url(&format!("dialled={}", self.id)))),
        })
    }

    fn to_row(&self, now: Timestamp) -> CallTransfer {
        CallTransfer {
            id: self.id.clone(),
            session_id: self.row.session_id.clone(),
            agent_id: self.row.agent_id.clone(),
            to_address: self.to.to_string(),
            announcement: self.announcement.clone(),
            status: TransferStatus::Asked,
            created_at: now,
        }
    }

    fn agent_actor(&self) -> String {
        format!("agent:{}", self.row.agent_id)
    }
}

/// Records what is wanted, asks the carrier, and records what it said.
async fn carry_out(
    app: App,
    transferring: Transferring,
    handover: Handover,
    departure: Departure,
) -> Result<CallTransferred, ServiceError> {
    let handover = Arc::new(handover);
    if let Err(problem) = record_intent(&app, &handover, departure).await {
        return Err(policy::refused(&app, problem).await);
    }
    let Some(call_sid) = handover.row.call_sid.clone() else { return Err(ServiceError::NotFound("call")) };
    match app.providers().voice.redirect(&call_sid, &handover.to_twiml(&app)).await {
        Ok(()) => {
            transferring.done(&app).await;
            let to = handover.to.to_string();
            Ok(CallTransferred { status: "transferring".to_owned(), call_sid, to })
        }
        Err(problem @ (ProviderError::Unknown(_) | ProviderError::Malformed)) => {
            events::provider_failed("redirect", &problem);
            record_unknown(&app, &handover).await;
            transferring.unclear();
            Err(unclear())
        }
        Err(problem) => {
            take_back(&app, &handover).await;
            Err(ServiceError::Provider { source: problem, message_id: None })
        }
    }
}

fn unclear() -> ServiceError {
    ServiceError::refused(
        ErrorCode::OutcomeUnknown,
        "The carrier may have transferred the call, but its answer was lost.",
        "Do not transfer it again. Listen with comms_get_messages and this callSid: while the other side talks to \
         you, it is not transferred.",
    )
}

/// From here on the transfer is asked for, until somebody learns what the carrier has made of it.
async fn record_intent(
    app: &App,
    handover: &Arc<Handover>,
    departure: Departure,
) -> Result<(), ServiceError> {
    let (now, rules, handover) = (app.now(), Arc::clone(&app.rules), Arc::clone(handover));
    app.db
        .transaction::<_, ServiceError, _>(move |tx| {
            async move {
                let session = &handover.row.session_id;
                let detail = [("transfer", handover.id.as_str())];
                let act = Act(&handover.agent_actor(), "call.transferring", session.as_str());
                audit::append(tx, now, act, &detail).await?;
                let key = ContactKey {
                    agent_id: handover.row.agent_id.clone(),
                    channel: Channel::Voice,
                    address: handover.to.to_string(),
                };
                contacts::record_outbound(tx, &key, now).await?;
                policy::admit(tx, &rules, &departure, now).await?;
                // Nobody tells so of a call that came in.
                call_logs::set_status(tx, session, &picked_up(now)).await?;
                let call = call_logs::find(tx, session).await?;
                if call.is_none_or(|call| call.status.is_final()) {
                    return Err(ServiceError::CallEnded);
                }
                call_transfers::insert(tx, &handover.to_row(now)).await?;
                Ok(())
            }
            .boxed()
        })
        .await
}

/// Logs its own failure: the answer was lost, whatever the disk says.
async fn record_unknown(app: &App, handover: &Arc<Handover>) {
    let (now, handover) = (app.now(), Arc::clone(handover));
    let recorded = app
        .db
        .transaction::<_, ServiceError, _>(move |tx| {
            async move {
                let detail = [("transfer", handover.id.as_str())];
                let act = Act("relay", "call.transfer_unknown", handover.row.session_id.as_str());
                audit::append(tx, now, act, &detail).await?;
                Ok(())
            }
            .boxed()
        })
        .await;
    if let Err(problem) = recorded {
        events::failed_inside("record a transfer", &problem);
    }
}

/// The carrier has said no: the call is the agent's again. Logs its own failure: the caller is told of the carrier's.
async fn take_back(app: &App, handover: &Arc<Handover>) {
    let (now, rules, handover) = (app.now(), Arc::clone(&app.rules), Arc::clone(handover));
    let taken_back = app
        .db
        .transaction::<_, ServiceError, _>(move |tx| {
            async move {
                let id = &handover.id;
                let act = Act("relay", "call.transfer_failed", handover.row.session_id.as_str());
                audit::append(tx, now, act, &[("transfer", id.as_str())]).await?;
                call_transfers::set_status(tx, id, (TransferStatus::Asked, TransferStatus::Failed)).await?;
                charges::settle(tx, &rules, (id.as_str(), Outcome::Released), now).await
            }
            .boxed()
        })
        .await;
    if let Err(problem) = taken_back {
        events::failed_inside("take a transfer back", &problem);
    }
}
