//! The outbox: intents become messages at the provider, once.
//!
//! `sending → accepted → … `, and before it `intended` for what waits for its time. A crash or a lost answer in
//! `sending` leads to `unknown`, and the provider is asked what it knows. Nothing whose outcome is unknown is ever
//! sent again.

mod parcel;
mod schedule;
mod settling;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use relay_core::{delivery, retry};
use relay_providers::{Accepted, ProviderError};
use relay_store::message_extras::MessageExtras;
use relay_store::messages::{self, Message, StatusChange};
use relay_store::usage_logs::UsageLog;
use shared::ids::MessageId;
use shared::model::{Channel, MessageStatus, Micros, Timestamp};
use shared::protocol::{ErrorCode, MessageSent};
use tokio::sync::oneshot;

use self::parcel::Parcel;
use super::ServiceError;
use super::audit::{self, Act};
use super::charges::{self, Outcome};
use crate::app::App;
use crate::observability::events;

pub(crate) use schedule::{send_when_due, wait_for};
pub use settling::recover;

/// How long a tool call waits for the provider's answer before it says that the message is on its way.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often the provider is tried while it surely has not acted.
const MAX_TRIES: u32 = 4;
/// A text that could not be sent for so long is not sent any more: nobody expects it by then.
const TOO_LATE: Duration = Duration::from_secs(3_600);
/// A provider's clock may be behind ours.
pub(super) const CLOCK_SLACK: Duration = Duration::from_secs(30);

/// Sends a message that stands at `sending`, and tells how far it came.
///
/// The provider's answer is told as soon as it is there: writing it down goes on behind it. Should the process die
/// between the two, the next start asks the provider and finds the same.
pub(super) async fn deliver_and_report(
    app: &App,
    row: Message,
    extras: Option<MessageExtras>,
) -> Result<MessageSent, ServiceError> {
    let (told, answer) = oneshot::channel();
    // The task goes on when the caller does not wait any more: an intent is always carried out.
    app.tasks.spawn(deliver(app.clone(), row.clone(), extras, told));
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(Ok(Ok(accepted))) => Ok(to_reply(after(row, accepted))),
        Ok(Ok(Err(problem))) => Err(ServiceError::Provider { source: problem, message_id: Some(row.id) }),
        Ok(Err(_)) | Err(_) => report(app, row.id).await,
    }
}

/// The row as it will be once the answer is written down.
fn after(row: Message, accepted: Accepted) -> Message {
    let (cost, currency) = accepted.cost.unzip();
    Message {
        status: accepted.status,
        external_id: Some(accepted.external_id),
        segments: accepted.segments.or(row.segments),
        cost_micros: cost.or(row.cost_micros),
        currency: currency.or_else(|| row.currency.clone()),
        ..row
    }
}

/// Waits until what providers have answered by now is written down, so that whoever was told of it reads it.
pub(super) async fn written_down(app: &App) {
    drop(app.recording.write().await);
}

/// What is known of a message now. A failure that was recorded is told again.
pub(super) async fn report(app: &App, id: MessageId) -> Result<MessageSent, ServiceError> {
    written_down(app).await;
    let row = find(app, id).await?;
    let refusal = |code, message: &str, hint: &str| {
        Err(ServiceError::refused(code, format!("{message} (message {})", row.id), hint))
    };
    match row.status {
        MessageStatus::Failed => refusal(
            ErrorCode::ProviderRejected,
            "The provider refused this message; it was not delivered.",
            "Sending the same again needs a fresh idempotencyKey, and may be refused again.",
        ),
        MessageStatus::Unknown => refusal(
            ErrorCode::OutcomeUnknown,
            "The provider may have sent this message, but its answer was lost.",
            "Do not send it again. The relay asks the provider; the message's status will tell.",
        ),
        MessageStatus::Intended
        | MessageStatus::Sending
        | MessageStatus::Accepted
        | MessageStatus::Sent
        | MessageStatus::Delivered
        | MessageStatus::Read
        | MessageStatus::Undelivered
        | MessageStatus::Received => Ok(to_reply(row)),
    }
}

fn to_reply(row: Message) -> MessageSent {
    let mut warnings = Vec::new();
    if row.status == MessageStatus::Intended {
        warnings.push("The message is stored and will be sent when its time comes.".to_owned());
    }
    if row.status == MessageStatus::Sending {
        warnings.push("The provider has not answered yet; do not send the message again.".to_owned());
    }
    if row.removed_characters > 0 {
        let count = row.removed_characters;
        warnings
            .push(format!("{count} invisible or direction-changing characters were left out of the text."));
    }
    if row.status == MessageStatus::Undelivered {
        warnings.push("The provider could not deliver this message.".to_owned());
    }
    MessageSent {
        message_id: row.id,
        external_id: row.external_id,
        status: row.status,
        cost: row.cost_micros,
        currency: row.currency,
        channel: row.channel,
        from: row.from_address,
        to: row.to_address,
        segments: row.segments,
        warnings,
    }
}

async fn find(app: &App, id: MessageId) -> Result<Message, ServiceError> {
    app.db
        .read::<_, ServiceError, _>(move |conn| {
            async move { messages::find_any(conn, &id).await?.ok_or(ServiceError::NotFound("message")) }
                .boxed()
        })
        .await
}

/// Sends a message that stands at `sending`, tells who waits, and records what became of it.
async fn deliver(
    app: App,
    row: Message,
    extras: Option<MessageExtras>,
    told: oneshot::Sender<Result<Accepted, ProviderError>>,
) {
    let outcome = match parcel::pack(&app, &row, extras) {
        Some(parcel) => try_to_send(&app, &parcel).await,
        None => Err(ProviderError::Malformed),
    };
    let step = match &outcome {
        Ok(accepted) => Step::accepted(accepted),
        Err(ProviderError::Unknown(_) | ProviderError::Malformed) => Step::to(MessageStatus::Unknown),
        Err(problem) => Step { error_code: Some(code_of(problem)), ..Step::to(MessageStatus::Failed) },
    };
    let unknown = step.to == MessageStatus::Unknown;
    let _recording = app.recording.clone().read_owned().await;
    // Nobody may wait any more.
    let _ = told.send(outcome);
    if let Err(problem) = move_to(&app, &row.id, step).await {
        // The row stays `sending`, which the next start takes for `unknown`: it is never sent blindly again.
        events::failed_inside("record what became of a message", &problem);
    }
    if unknown {
        app.tasks.spawn(settling::settle(app.clone(), row));
    }
}

/// Tries again only while the provider surely has not acted.
async fn try_to_send(app: &App, parcel: &Parcel) -> Result<Accepted, ProviderError> {
    let mut tries = 1;
    loop {
        let sent = parcel.send(&app.providers()).await;
        let problem = match sent {
            Ok(accepted) => return Ok(accepted),
            Err(problem) => problem,
        };
        let asked_for = match &problem {
            ProviderError::RateLimited { retry_after } => *retry_after,
            ProviderError::Unavailable(_) => None,
            _ => return Err(problem),
        };
        if tries == MAX_TRIES {
            return Err(problem);
        }
        let pause = retry::delay(tries, asked_for, jitter());
        tokio::select! {
            () = tokio::time::sleep(pause) => tries += 1,
            () = app.stop.cancelled() => return Err(problem),
        }
    }
}

fn jitter() -> f64 {
    let mut random = [0_u8; 1];
    // Without randomness every relay would retry at the same moment, which is bearable.
    let _ = ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut random);
    f64::from(random[0]) / 256.0
}

/// What the provider took for a message, if it tells already.
pub(super) async fn price(app: &App, row: &UsageLog) -> Result<Option<(Micros, String)>, ServiceError> {
    let Ok(id) = row.id.parse() else { return Ok(None) };
    let message = find(app, id).await?;
    let Some(external_id) = message.external_id.filter(|_| message.channel != Channel::Email) else {
        return Ok(None);
    };
    let price = app.providers().messages.price(&external_id).await;
    price.map_err(|source| ServiceError::Provider { source, message_id: Some(message.id) })
}

/// A status to move to, with what is learned on the way.
struct Step {
    to: MessageStatus,
    accepted: Option<Accepted>,
    error_code: Option<String>,
}

impl Step {
    fn to(to: MessageStatus) -> Self {
        Self { to, accepted: None, error_code: None }
    }

    fn accepted(accepted: &Accepted) -> Self {
        Self { to: accepted.status, accepted: Some(accepted.clone()), error_code: None }
    }
}

/// Moves a message forward, with its audit entry. `None`: it is past that already.
async fn move_to(app: &App, id: &MessageId, step: Step) -> Result<Option<Message>, ServiceError> {
    let (now, rules): (Timestamp, _) = (app.now(), Arc::clone(&app.rules));
    let id = id.clone();
    let moved = app
        .db
        .transaction::<_, ServiceError, _>(move |tx| {
            async move {
                audit::lock(tx).await?;
                let accepted = step.accepted;
                if let Some(accepted) = &accepted {
                    let other = messages::find_by_external_id(tx, &accepted.external_id).await?;
                    // Two equal texts to one person: what the provider found is the other one.
                    if other.is_some_and(|other| other.id != id) {
                        return Ok(None);
                    }
                }
                let change = StatusChange {
                    from: delivery::may_follow(step.to),
                    to: step.to,
                    external_id: accepted.as_ref().map(|accepted| accepted.external_id.clone()),
                    error_code: step.error_code,
                    segments: accepted.as_ref().and_then(|accepted| accepted.segments),
                    cost: accepted.and_then(|accepted| accepted.cost),
                    now,
                };
                let moved = messages::set_status(tx, &id, &change).await?;
                if moved.is_some() {
                    let detail = [("error_code", change.error_code.as_deref().unwrap_or(""))];
                    audit::append(tx, now, Act("relay", action_of(step.to), id.as_str()), &detail).await?;
                    if let Some(outcome) = outcome_of(&change) {
                        charges::settle(tx, &rules, (id.as_str(), outcome), now).await?;
                    }
                }
                Ok(moved)
            }
            .boxed()
        })
        .await?;
    if let Some(row) = &moved {
        events::message_status(&row.id, row.status);
    }
    Ok(moved)
}

/// What the audit log calls it.
fn action_of(status: MessageStatus) -> &'static str {
    match status {
        MessageStatus::Sending => "message.sending",
        MessageStatus::Failed => "message.failed",
        MessageStatus::Unknown => "message.unknown",
        MessageStatus::Intended
        | MessageStatus::Accepted
        | MessageStatus::Sent
        | MessageStatus::Delivered
        | MessageStatus::Read
        | MessageStatus::Undelivered
        | MessageStatus::Received => "message.accepted",
    }
}

/// What a step means for the money that was reserved. An answer without a price leaves the estimate.
fn outcome_of(change: &StatusChange<'_>) -> Option<Outcome> {
    match (&change.cost, change.to) {
        (_, MessageStatus::Failed) => Some(Outcome::Released),
        (Some((charge, currency)), _) if currency == super::policy::CURRENCY => {
            Some(Outcome::Settled { charge: *charge })
        }
        _ => None,
    }
}

/// Twilio retries a failed callback only if its address says so (its webhooks' connection overrides).
pub(super) const CALLBACK_OVERRIDES: &str = "#rc=2&rp=ct,rt,5xx";

fn code_of(problem: &ProviderError) -> String {
    match problem {
        ProviderError::Rejected { code: Some(code), .. } => code.clone(),
        ProviderError::Rejected { code: None, .. } => "rejected".to_owned(),
        ProviderError::Unauthorized { .. } => "unauthorized".to_owned(),
        ProviderError::RateLimited { .. } => "rate_limited".to_owned(),
        ProviderError::Unavailable(_) => "unavailable".to_owned(),
        ProviderError::Unknown(_) | ProviderError::Malformed => "unknown".to_owned(),
    }
}
