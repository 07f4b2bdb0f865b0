//! Sending messages, and the carrier's news of them.

mod content;

use std::sync::Arc;

use futures_util::FutureExt;
use relay_core::recipient::Address;
use relay_core::{delivery, sanitize, sms};
use relay_store::contacts::{self, ContactKey};
use relay_store::message_extras::{self, MessageExtras};
use relay_store::messages::{self, Message, StatusChange};
use relay_store::usage_logs::UsageKind;
use relay_store::{StoreError, webhook_events};
use shared::ids::{AgentId, ExternalId, MessageId};
use shared::model::{Channel, Direction, Media, MessageKind, MessageStatus, Micros, Standing, Timestamp};
use shared::protocol::{ErrorCode, MessageSent, SendMessage};

use super::approvals::{Question, words};
use super::audit::{self, Act};
use super::charges::{self, Outcome};
use super::identity::Caller;
use super::policy::{self, CURRENCY, Departure};
use super::{ServiceError, outbox};
use crate::app::App;
use crate::observability::events;

pub(super) use content::check_key;

/// Sends a message, or takes it for later. Gives what is known of it after a few seconds at the most.
pub async fn send(app: &App, caller: &Caller, wanted: SendMessage) -> Result<MessageSent, ServiceError> {
    let cleaned = sanitize::clean(&wanted.body);
    let wanted = SendMessage { body: cleaned.text, ..wanted };
    content::check(app, &wanted)?;
    let agent = &caller.agent;
    let profile = app.agents.find(agent).ok_or(ServiceError::NotFound("agent"))?;
    let from = profile.address(wanted.channel).ok_or_else(|| not_provisioned(wanted.channel))?.to_owned();
    let to = policy::resolve(app, wanted.channel, &wanted.to)?;
    let fingerprint = digest(&serde_json::to_string(&wanted).expect("what travels as JSON is JSON"));
    let key = wanted.idempotency_key.clone();
    if let Some(earlier) = earlier(app, agent, key.as_deref(), &fingerprint).await? {
        return outbox::report(app, earlier).await;
    }
    let route = Route { from, to };
    let row = intent(app, agent, &wanted, (&route, &fingerprint));
    let intent = Intent {
        row: Message { removed_characters: cleaned.removed, ..row },
        departure: departure(app, caller, &wanted, route),
        extras: extras(&wanted),
        schedule_at: wanted.schedule_at,
    };
    match record_intent(app, intent).await {
        Ok(Recorded { row, extras }) if row.status == MessageStatus::Sending => {
            outbox::deliver_and_report(app, row, extras).await
        }
        Ok(Recorded { row, .. }) => {
            app.due.notify_one();
            outbox::report(app, row.id).await
        }
        // The same key at the same moment: the other one sends it.
        Err(ServiceError::Store(StoreError::Conflict(_))) => {
            let other = earlier(app, agent, key.as_deref(), &fingerprint).await?;
            outbox::report(app, other.ok_or(ServiceError::NotFound("message"))?).await
        }
        Err(problem) => Err(policy::refused(app, problem).await),
    }
}

/// The agent has no address on a channel.
pub(super) fn not_provisioned(channel: Channel) -> ServiceError {
    let (what, remedy) = match channel {
        Channel::Sms | Channel::Voice => (
            "no phone number",
            "The person who runs the relay must give it one: TWILIO_PHONE_NUMBER or comms_provision_channels.",
        ),
        Channel::Whatsapp => (
            "no WhatsApp sender",
            "The person who runs the relay must give it one: TWILIO_WHATSAPP_NUMBER or comms_provision_channels.",
        ),
        Channel::Email => (
            "no e-mail address",
            "The person who runs the relay must give it one with comms_provision_channels.",
        ),
    };
    ServiceError::refused(
        ErrorCode::ChannelNotProvisioned,
        format!("This agent has {what}; nothing was sent."),
        remedy,
    )
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
    from: String,
    to: Address,
}

/// Everything that is recorded of a message before it leaves.
struct Intent {
    row: Message,
    departure: Departure,
    extras: Option<MessageExtras>,
    schedule_at: Option<Timestamp>,
}

struct Recorded {
    row: Message,
    extras: Option<MessageExtras>,
}

fn intent(app: &App, agent: &AgentId, wanted: &SendMessage, (route, hash): (&Route, &str)) -> Message {
    let now = app.now();
    let media = wanted.media_urls.iter().map(|url| Media {
        url: url.clone(),
        content_type: "application/octet-stream".to_owned(),
        size_bytes: None,
    });
    let (charge, segments) = charge(app, wanted, &route.to);
    Message {
        id: MessageId::generate(),
        seq: 0,
        agent_id: agent.clone(),
        kind: MessageKind::Message,
        channel: wanted.channel,
        direction: Direction::Outbound,
        from_address: route.from.clone(),
        to_address: route.to.to_string(),
        contact_address: route.to.to_string(),
        contact_name: None,
        standing: Standing::Known,
        subject: wanted.subject.clone(),
        body: wanted.body.clone(),
        media: media.collect(),
        call_sid: None,
        // What is sent at once needs no step between the record and the sending: one sync less to wait for.
        status: if wanted.schedule_at.is_some() { MessageStatus::Intended } else { MessageStatus::Sending },
        external_id: None,
        error_code: None,
        attempt: 0,
        lease_id: None,
        lease_until: Timestamp::from_millis(0),
        read_at: Some(now),
        removed_characters: 0,
        segments,
        cost_micros: Some(charge),
        currency: Some(CURRENCY.to_owned()),
        idempotency_key: wanted.idempotency_key.clone(),
        request_hash: wanted.idempotency_key.is_some().then(|| hash.to_owned()),
        created_at: now,
        updated_at: now,
    }
}

/// What it costs by our table, and its segments where it has any.
fn charge(app: &App, wanted: &SendMessage, to: &Address) -> (Micros, Option<i64>) {
    let prices = &app.rules.prices;
    match to {
        Address::Email(_) => (prices.email(), None),
        Address::Phone(number) => {
            let segments = sms::segments(&wanted.body);
            let has_media = !wanted.media_urls.is_empty();
            let counted = (wanted.channel == Channel::Sms).then_some(segments);
            (prices.text(wanted.channel, number, segments.max(1), has_media), counted)
        }
    }
}

fn departure(app: &App, caller: &Caller, wanted: &SendMessage, route: Route) -> Departure {
    let (charge, segments) = charge(app, wanted, &route.to);
    let asked = (wanted, route.to.as_str());
    let question = Question::new(&caller.agent, "send_message", &asked, words::message(wanted, &route.to));
    Departure {
        agent: caller.agent.clone(),
        from: route.from,
        to: route.to,
        channel: wanted.channel,
        kind: UsageKind::Message,
        id: String::new(),
        charge,
        quantity: segments.unwrap_or(1),
        approval: caller.approval.clone(),
        question,
    }
}

/// What only some messages have.
fn extras(wanted: &SendMessage) -> Option<MessageExtras> {
    let SendMessage { html, reply_to, template_id, template_vars, attachments, .. } = wanted;
    let any = html.is_some() || reply_to.is_some() || template_id.is_some() || !attachments.is_empty();
    any.then(|| MessageExtras {
        message_id: MessageId::generate(),
        html: html.clone(),
        reply_to: reply_to.clone(),
        template_id: template_id.clone(),
        template_vars: template_vars.clone(),
        attachments: attachments.clone(),
    })
}

/// From here on the message will be sent, refused or `unknown`, whatever happens to this process.
async fn record_intent(app: &App, mut intent: Intent) -> Result<Recorded, ServiceError> {
    let rules = Arc::clone(&app.rules);
    intent.departure.id = intent.row.id.to_string();
    app.db
        .transaction::<_, ServiceError, _>(move |tx| {
            async move {
                let Intent { mut row, departure, extras, schedule_at } = intent;
                let key = ContactKey {
                    agent_id: row.agent_id.clone(),
                    channel: row.channel,
                    address: row.contact_address.clone(),
                };
                let detail = [("agent", row.agent_id.as_str()), ("channel", row.channel.as_str())];
                let actor = format!("agent:{}", row.agent_id);
                let act = Act(&actor, "message.intended", row.id.as_str());
                row.seq = audit::append(tx, row.created_at, act, &detail).await?;
                row.contact_name = contacts::record_outbound(tx, &key, row.created_at).await?.name;
                match schedule_at {
                    None => policy::admit(tx, &rules, &departure, row.created_at).await?,
                    Some(at) => {
                        policy::allow(tx, &rules, &departure, row.created_at).await?;
                        outbox::wait_for(tx, &row, at).await?;
                    }
                }
                messages::insert(tx, &row).await?;
                let extras = extras.map(|extras| MessageExtras { message_id: row.id.clone(), ..extras });
                if let Some(extras) = &extras {
                    message_extras::insert(tx, extras).await?;
                }
                Ok(Recorded { row, extras })
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
    let (now, rules) = (app.now(), Arc::clone(&app.rules));
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
                if let Some(row) = &moved {
                    let detail = [
                        ("status", report.status.as_str()),
                        ("error_code", report.error_code.as_deref().unwrap_or("")),
                    ];
                    audit::append(tx, now, Act("carrier", "message.status", row.id.as_str()), &detail)
                        .await?;
                    if row.status == MessageStatus::Failed {
                        charges::settle(tx, &rules, (row.id.as_str(), Outcome::Released), now).await?;
                    }
                }
                Ok(moved)
            }
            .boxed()
        })
        .await?;
    if let Some(row) = moved {
        events::message_status(&row.id, row.status);
        if matches!(row.status, MessageStatus::Delivered | MessageStatus::Undelivered) {
            charges::ended(app, row.id.as_str());
        }
    }
    Ok(())
}
