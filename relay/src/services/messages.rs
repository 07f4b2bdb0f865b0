//! Sending messages, and the carrier's news of them.

use futures_util::FutureExt;
use relay_core::{delivery, sanitize, sms};
use relay_store::contacts::{self, ContactKey};
use relay_store::messages::{self, Message, StatusChange};
use relay_store::{StoreError, webhook_events};
use shared::ids::{AgentId, ExternalId, MessageId};
use shared::model::{
    Channel, Direction, Media, MessageKind, MessageStatus, PhoneNumber, Standing, Timestamp,
};
use shared::protocol::{ErrorCode, MessageSent, SendMessage};
use url::Url;

use super::audit::{self, Act};
use super::{ServiceError, outbox, policy};
use crate::app::App;
use crate::observability::events;

/// The carrier's limit for one text (Twilio error 21617).
const MAX_TEXT_CHARACTERS: usize = 1_600;
/// The carrier's limit for one message (Twilio error 21623).
const MAX_MEDIA: usize = 10;

/// Sends a text. Gives what is known of it after a few seconds at the most.
pub async fn send(app: &App, agent: &AgentId, wanted: SendMessage) -> Result<MessageSent, ServiceError> {
    check_channel(wanted.channel)?;
    let cleaned = sanitize::clean(&wanted.body);
    let wanted = SendMessage { body: cleaned.text, ..wanted };
    check_content(&wanted)?;
    let profile = app.agents.find(agent).ok_or(ServiceError::NotFound("agent"))?;
    let from = profile.number(Channel::Sms).ok_or_else(no_number)?;
    let to = policy::allow_recipient(&profile, &from, &wanted.to)?;
    let fingerprint = fingerprint(&wanted);
    if let Some(earlier) = earlier(app, agent, wanted.idempotency_key.as_deref(), &fingerprint).await? {
        return outbox::report(app, earlier).await;
    }
    let row = intent(agent, &wanted, Route { from, to }, fingerprint, app.now());
    let row = Message { removed_characters: cleaned.removed, ..row };
    let id = row.id.clone();
    match record_intent(app, row).await {
        // The same key at the same moment: the other one sends it.
        Err(ServiceError::Store(StoreError::Conflict(_))) => {
            let key = wanted.idempotency_key.as_deref();
            let fingerprint = self::fingerprint(&wanted);
            let other = earlier(app, agent, key, &fingerprint).await?;
            outbox::report(app, other.ok_or(ServiceError::NotFound("message"))?).await
        }
        Err(problem) => Err(problem),
        Ok(()) => outbox::deliver_and_report(app, id).await,
    }
}

fn check_channel(channel: Channel) -> Result<(), ServiceError> {
    match channel {
        Channel::Sms => Ok(()),
        Channel::Voice => Err(ServiceError::Invalid {
            field: "callSid",
            problem: "words for the channel voice need the callSid of a live call".to_owned(),
        }),
        Channel::Whatsapp | Channel::Email => Err(ServiceError::refused(
            ErrorCode::ChannelNotProvisioned,
            format!("The channel {channel} is not set up; nothing was sent."),
            "Use the channel sms.",
        )),
    }
}

pub(super) fn no_number() -> ServiceError {
    ServiceError::refused(
        ErrorCode::ChannelNotProvisioned,
        "This agent has no phone number; nothing was sent.",
        "The person who runs the relay must give it one: set TWILIO_PHONE_NUMBER to a number of the account.",
    )
}

fn check_content(wanted: &SendMessage) -> Result<(), ServiceError> {
    let invalid = |field, problem: String| Err(ServiceError::Invalid { field, problem });
    if (!wanted.body.is_empty() || wanted.media_urls.is_empty())
        && let Err(problem) = sanitize::check_body(&wanted.body, MAX_TEXT_CHARACTERS)
    {
        return invalid("body", problem.to_string());
    }
    if wanted.media_urls.len() > MAX_MEDIA {
        return invalid("mediaUrls", format!("a message carries {MAX_MEDIA} at the most"));
    }
    if wanted.media_urls.iter().any(|url| Url::parse(url).map_or(true, |url| url.scheme() != "https")) {
        return invalid("mediaUrls", "each must be an https address".to_owned());
    }
    check_key(wanted.idempotency_key.as_deref())
}

pub(super) fn check_key(key: Option<&str>) -> Result<(), ServiceError> {
    match key {
        Some(key) if key.is_empty() || key.len() > 256 => Err(ServiceError::Invalid {
            field: "idempotencyKey",
            problem: "it must have 1 to 256 characters".to_owned(),
        }),
        _ => Ok(()),
    }
}

/// What the key stands for: the same key with another request is a mistake, not a repetition.
fn fingerprint(wanted: &SendMessage) -> String {
    let text =
        serde_json::to_string(&(&wanted.to, &wanted.body, wanted.channel.as_str(), &wanted.media_urls))
            .expect("texts are always valid JSON");
    digest(&text)
}

pub(super) fn digest(text: &str) -> String {
    data_encoding::HEXLOWER.encode(ring::digest::digest(&ring::digest::SHA256, text.as_bytes()).as_ref())
}

async fn earlier(
    app: &App,
    agent: &AgentId,
    key: Option<&str>,
    fingerprint: &str,
) -> Result<Option<MessageId>, ServiceError> {
    let Some(key) = key.map(str::to_owned) else { return Ok(None) };
    let agent = agent.clone();
    let found = app
        .db
        .read::<_, ServiceError, _>(move |conn| {
            async move { Ok(messages::find_by_idempotency_key(conn, &agent, &key).await?) }.boxed()
        })
        .await?;
    match found {
        Some(row) if row.request_hash.as_deref() != Some(fingerprint) => Err(key_reused()),
        found => Ok(found.map(|row| row.id)),
    }
}

pub(super) fn key_reused() -> ServiceError {
    ServiceError::Invalid {
        field: "idempotencyKey",
        problem: "it was used for another request; take a fresh one".to_owned(),
    }
}

struct Route {
    from: PhoneNumber,
    to: PhoneNumber,
}

fn intent(agent: &AgentId, wanted: &SendMessage, route: Route, hash: String, now: Timestamp) -> Message {
    let media = wanted.media_urls.iter().map(|url| Media {
        url: url.clone(),
        content_type: "application/octet-stream".to_owned(),
        size_bytes: None,
    });
    Message {
        id: MessageId::generate(),
        seq: 0,
        agent_id: agent.clone(),
        kind: MessageKind::Message,
        channel: wanted.channel,
        direction: Direction::Outbound,
        from_address: route.from.to_string(),
        to_address: route.to.to_string(),
        contact_address: route.to.to_string(),
        contact_name: None,
        standing: Standing::Known,
        subject: None,
        body: wanted.body.clone(),
        media: media.collect(),
        call_sid: None,
        status: MessageStatus::Intended,
        external_id: None,
        error_code: None,
        attempt: 0,
        lease_id: None,
        lease_until: Timestamp::from_millis(0),
        read_at: Some(now),
        removed_characters: 0,
        segments: Some(sms::segments(&wanted.body)),
        cost_micros: None,
        currency: None,
        idempotency_key: wanted.idempotency_key.clone(),
        request_hash: wanted.idempotency_key.is_some().then_some(hash),
        created_at: now,
        updated_at: now,
    }
}

/// From here on the message will be sent, refused or `unknown`, whatever happens to this process.
async fn record_intent(app: &App, mut row: Message) -> Result<(), ServiceError> {
    app.db
        .transaction::<_, ServiceError, _>(move |tx| {
            async move {
                let key = ContactKey {
                    agent_id: row.agent_id.clone(),
                    channel: row.channel,
                    address: row.contact_address.clone(),
                };
                let contact = contacts::record_outbound(tx, &key, row.created_at).await?;
                row.contact_name = contact.name;
                let detail = [("agent", row.agent_id.as_str()), ("channel", row.channel.as_str())];
                let actor = format!("agent:{}", row.agent_id);
                row.seq = audit::append(
                    tx,
                    row.created_at,
                    Act(&actor, "message.intended", row.id.as_str()),
                    &detail,
                )
                .await?;
                messages::insert(tx, &row).await?;
                Ok(())
            }
            .boxed()
        })
        .await
}

/// The carrier's news of a message that was sent.
#[derive(Clone, Debug)]
pub struct DeliveryReport {
    /// Our own id, from the query of the callback's address.
    pub message_id: Option<MessageId>,
    pub external_id: ExternalId,
    pub status: MessageStatus,
    pub error_code: Option<String>,
}

/// Takes the news in. Statuses move forward only, so duplicates and late ones change nothing.
pub async fn report_delivery(app: &App, agent: &AgentId, report: DeliveryReport) -> Result<(), ServiceError> {
    let now = app.now();
    let agent = agent.clone();
    let moved = app
        .db
        .transaction::<_, ServiceError, _>(move |tx| {
            async move {
                let event = format!("{}:{}", report.external_id, report.status);
                if !webhook_events::record(tx, "delivery", &event, now).await? {
                    return Ok(None);
                }
                let named = match &report.message_id {
                    Some(id) => messages::find(tx, &agent, id).await?,
                    None => messages::find_by_external_id(tx, &report.external_id).await?,
                };
                let Some(row) = named.filter(|row| row.agent_id == agent) else { return Ok(None) };
                let change = StatusChange {
                    from: delivery::may_follow(report.status),
                    to: report.status,
                    external_id: Some(report.external_id.clone()),
                    error_code: report.error_code.clone(),
                    cost: None,
                    segments: None,
                    now,
                };
                let moved = messages::set_status(tx, &row.id, &change).await?;
                if moved.is_some() {
                    let detail = [
                        ("status", report.status.as_str()),
                        ("error_code", report.error_code.as_deref().unwrap_or("")),
                    ];
                    audit::append(tx, now, Act("carrier", "message.status", row.id.as_str()), &detail)
                        .await?;
                }
                Ok(moved)
            }
            .boxed()
        })
        .await?;
    if let Some(row) = moved {
        events::message_status(&row.id, row.status);
    }
    Ok(())
}
