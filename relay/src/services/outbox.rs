//! The outbox: intents become messages at the provider, once.
//!
//! `intended → sending → accepted → … `. A crash or a lost answer in `sending` leads to `unknown`, and the provider
//! is asked what it knows. Nothing whose outcome is unknown is ever sent again.

use std::time::Duration;

use futures_util::FutureExt;
use relay_core::{delivery, retry};
use relay_providers::{Accepted, OutboundMessage, ProviderError};
use relay_store::messages::{self, Message, StatusChange};
use shared::ids::MessageId;
use shared::model::{MessageStatus, PhoneNumber, Timestamp};
use shared::protocol::{ErrorCode, MessageSent};

use super::ServiceError;
use super::audit::{self, Act};
use crate::app::App;
use crate::observability::events;

/// How long a tool call waits for the provider's answer before it says that the message is on its way.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often the provider is tried while it surely has not acted.
const MAX_TRIES: u32 = 4;
/// When the provider is asked about an unknown outcome.
const ASK_AFTER: [Duration; 3] = [Duration::from_secs(2), Duration::from_secs(15), Duration::from_secs(60)];
/// A text that could not be sent for so long is not sent any more: nobody expects it by then.
const TOO_LATE: Duration = Duration::from_secs(3_600);
/// A provider's clock may be behind ours.
pub(super) const CLOCK_SLACK: Duration = Duration::from_secs(30);

/// Sends an intended message, and tells how far it came.
pub(super) async fn deliver_and_report(app: &App, id: MessageId) -> Result<MessageSent, ServiceError> {
    // The task goes on when the caller does not wait any more: an intent is always carried out.
    let task = app.tasks.spawn(deliver(app.clone(), id.clone()));
    match tokio::time::timeout(PATIENCE, task).await {
        Ok(Ok(Err(problem))) => Err(ServiceError::Provider { source: problem, message_id: Some(id) }),
        Ok(_) | Err(_) => report(app, id).await,
    }
}

/// What is known of a message now. A failure that was recorded is told again.
pub(super) async fn report(app: &App, id: MessageId) -> Result<MessageSent, ServiceError> {
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
    if matches!(row.status, MessageStatus::Intended | MessageStatus::Sending) {
        warnings
            .push("The provider has not answered yet; the message is stored and will be sent.".to_owned());
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

/// Carries an intent out. An error is the provider's, and has been recorded.
async fn deliver(app: App, id: MessageId) -> Result<(), ProviderError> {
    let claimed = move_to(&app, &id, Step::to(MessageStatus::Sending)).await;
    let row = match claimed {
        Ok(Some(row)) => row,
        // Somebody else sends it.
        Ok(None) => return Ok(()),
        Err(problem) => {
            // The row stays `intended`: the next start sends it.
            events::failed_inside("claim a message for sending", &problem);
            return Ok(());
        }
    };
    let Some(message) = to_outbound(&app, &row) else { return Ok(()) };
    let outcome = try_to_send(&app, &message).await;
    let step = match &outcome {
        Ok(accepted) => Step::accepted(accepted),
        Err(ProviderError::Unknown(_) | ProviderError::Malformed) => Step::to(MessageStatus::Unknown),
        Err(problem) => Step { error_code: Some(code_of(problem)), ..Step::to(MessageStatus::Failed) },
    };
    let unknown = step.to == MessageStatus::Unknown;
    if let Err(problem) = move_to(&app, &id, step).await {
        // The row stays `sending`, which the next start takes for `unknown`: it is never sent blindly again.
        events::failed_inside("record what became of a message", &problem);
    }
    if unknown {
        app.tasks.spawn(settle(app.clone(), row));
    }
    outcome.map(|_| ())
}

/// Tries again only while the provider surely has not acted.
async fn try_to_send(app: &App, message: &OutboundMessage) -> Result<Accepted, ProviderError> {
    let mut tries = 1;
    loop {
        let problem = match app.providers.messages.send(message).await {
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

/// Asks the provider what became of a message whose answer was lost.
async fn settle(app: App, row: Message) {
    let Some(message) = to_outbound(&app, &row) else { return };
    let not_before = row.updated_at.minus(CLOCK_SLACK);
    for pause in ASK_AFTER {
        tokio::select! {
            () = tokio::time::sleep(pause) => (),
            () = app.stop.cancelled() => return,
        }
        match app.providers.messages.find_sent(&message, not_before).await {
            Ok(Some(accepted)) => {
                if let Err(problem) = settle_as(&app, &row.id, &accepted).await {
                    events::failed_inside("settle a message", &problem);
                }
                return;
            }
            Ok(None) => (),
            Err(problem) => events::provider_failed("find_sent", &problem),
        }
    }
    events::message_unsettled(&row.id);
}

async fn settle_as(app: &App, id: &MessageId, accepted: &Accepted) -> Result<(), ServiceError> {
    let external_id = accepted.external_id.clone();
    let other = app
        .db
        .read::<_, ServiceError, _>(move |conn| {
            async move { Ok(messages::find_by_external_id(conn, &external_id).await?) }.boxed()
        })
        .await?;
    // Two equal texts to one person: what the provider found may be the other one.
    if other.is_none_or(|other| other.id == *id) {
        move_to(app, id, Step::accepted(accepted)).await?;
    }
    Ok(())
}

/// At the start of the relay: what a dead process left. Runs before anything new can be sent.
pub async fn recover(app: &App) -> Result<(), ServiceError> {
    const AT_ONCE: i64 = 1_000;
    let (interrupted, unknown, intended) = app
        .db
        .read::<_, ServiceError, _>(|conn| {
            async move {
                Ok((
                    messages::list_by_status(conn, MessageStatus::Sending, AT_ONCE).await?,
                    messages::list_by_status(conn, MessageStatus::Unknown, AT_ONCE).await?,
                    messages::list_by_status(conn, MessageStatus::Intended, AT_ONCE).await?,
                ))
            }
            .boxed()
        })
        .await?;
    for row in &interrupted {
        move_to(app, &row.id, Step::to(MessageStatus::Unknown)).await?;
    }
    for row in interrupted.into_iter().chain(unknown) {
        app.tasks.spawn(settle(app.clone(), row));
    }
    for row in intended {
        if app.now().since(row.created_at) > TOO_LATE {
            let expired = Step { error_code: Some("expired".to_owned()), ..Step::to(MessageStatus::Failed) };
            move_to(app, &row.id, expired).await?;
        } else {
            app.tasks.spawn(deliver(app.clone(), row.id));
        }
    }
    Ok(())
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
    let now: Timestamp = app.now();
    let id = id.clone();
    let moved = app
        .db
        .transaction::<_, ServiceError, _>(move |tx| {
            async move {
                let accepted = step.accepted;
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

fn to_outbound(app: &App, row: &Message) -> Option<OutboundMessage> {
    let number = |text: &str| text.parse::<PhoneNumber>().ok();
    let callback = app.webhook_url(&row.agent_id, &format!("call-status?message={}", row.id));
    Some(OutboundMessage {
        from: number(&row.from_address)?,
        to: number(&row.to_address)?,
        body: row.body.clone(),
        media_urls: row.media.iter().map(|media| media.url.clone()).collect(),
        status_callback: app.can_be_called().then(|| format!("{callback}{CALLBACK_OVERRIDES}")),
    })
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
