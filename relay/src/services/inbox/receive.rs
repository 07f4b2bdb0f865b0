//! What comes in: stored first, then whoever waits is woken.

use futures_util::FutureExt;
use relay_core::sanitize;
use relay_store::contacts::{self, ContactKey};
use relay_store::messages::{self, Message};
use relay_store::{Conn, webhook_events};
use shared::ids::{AgentId, CallSid, ExternalId, MessageId};
use shared::model::{Channel, Direction, Media, MessageKind, MessageStatus, Standing, Timestamp};

use crate::app::App;
use crate::observability::events;
use crate::services::ServiceError;
use crate::services::audit::{self, Act};

/// A message from outside, as a carrier's webhook brings it.
#[derive(Clone, Debug)]
pub struct InboundMessage {
    pub channel: Channel,
    pub external_id: ExternalId,
    pub from: String,
    pub to: String,
    pub sender_name: Option<String>,
    pub body: String,
    pub media: Vec<Media>,
}

/// Stores a message and wakes who waits for it. The same event again changes nothing.
pub async fn receive(app: &App, agent: &AgentId, inbound: InboundMessage) -> Result<(), ServiceError> {
    let now = app.now();
    let owner = agent.clone();
    let first = app
        .db
        .transaction::<_, ServiceError, _>(move |tx| {
            async move {
                if !webhook_events::record(tx, "message", inbound.external_id.as_str(), now).await? {
                    return Ok(false);
                }
                insert_inbound(tx, owner, inbound, now).await?;
                Ok(true)
            }
            .boxed()
        })
        .await?;
    if first {
        app.inboxes.changed(agent);
        events::message_received(agent);
    }
    Ok(())
}

async fn insert_inbound(
    tx: &mut Conn,
    agent_id: AgentId,
    inbound: InboundMessage,
    now: Timestamp,
) -> Result<(), ServiceError> {
    let id = MessageId::generate();
    let key = ContactKey { agent_id, channel: inbound.channel, address: inbound.from };
    let cleaned = sanitize::clean(&inbound.body);
    let detail = [("agent", key.agent_id.as_str()), ("external_id", inbound.external_id.as_str())];
    let seq = audit::append(tx, now, Act("carrier", "message.received", id.as_str()), &detail).await?;
    let contact = contacts::record_inbound(tx, &key, inbound.sender_name.as_deref(), now).await?;
    let message = Message {
        standing: standing(&contact),
        contact_name: contact.name,
        to_address: inbound.to,
        body: cleaned.text,
        removed_characters: cleaned.removed,
        media: inbound.media,
        external_id: Some(inbound.external_id),
        ..entry(id, seq, key, now)
    };
    messages::insert(tx, &message).await?;
    Ok(())
}

fn standing(contact: &contacts::Contact) -> Standing {
    match contact {
        contact if contact.blocked => Standing::Blocked,
        contact if contact.outbound_count == 0 && contact.inbound_count <= 1 => Standing::New,
        _ => Standing::Known,
    }
}

/// Puts a call that rings, or a voicemail, into the inbox. `contact` is the other side.
pub(crate) async fn insert_call_entry(
    tx: &mut Conn,
    entry_of: CallEntry,
    now: Timestamp,
) -> Result<(), ServiceError> {
    let key = ContactKey { agent_id: entry_of.agent_id, channel: Channel::Voice, address: entry_of.from };
    let detail = [("agent", key.agent_id.as_str()), ("call", entry_of.call_sid.as_str())];
    let action = if entry_of.kind == MessageKind::Call { "call.received" } else { "voicemail.received" };
    let seq = audit::append(tx, now, Act("carrier", action, entry_of.id.as_str()), &detail).await?;
    let contact = match entry_of.kind {
        MessageKind::Call => Some(contacts::record_inbound(tx, &key, None, now).await?),
        _ => contacts::find(tx, &key).await?,
    };
    let message = Message {
        kind: entry_of.kind,
        standing: contact.as_ref().map_or(Standing::New, standing),
        contact_name: contact.and_then(|contact| contact.name),
        to_address: entry_of.to,
        body: entry_of.text,
        call_sid: Some(entry_of.call_sid),
        ..entry(entry_of.id, seq, key, now)
    };
    messages::insert(tx, &message).await?;
    Ok(())
}

/// What [`insert_call_entry`] stores.
pub(crate) struct CallEntry {
    pub id: MessageId,
    pub kind: MessageKind,
    pub agent_id: AgentId,
    pub call_sid: CallSid,
    pub from: String,
    pub to: String,
    pub text: String,
}

/// An unread inbound row with nothing in it.
fn entry(id: MessageId, seq: i64, key: ContactKey, now: Timestamp) -> Message {
    Message {
        id,
        seq,
        agent_id: key.agent_id,
        kind: MessageKind::Message,
        channel: key.channel,
        direction: Direction::Inbound,
        from_address: key.address.clone(),
        to_address: String::new(),
        contact_address: key.address,
        contact_name: None,
        standing: Standing::New,
        subject: None,
        body: String::new(),
        media: Vec::new(),
        call_sid: None,
        status: MessageStatus::Received,
        external_id: None,
        error_code: None,
        attempt: 0,
        lease_id: None,
        lease_until: Timestamp::from_millis(0),
        read_at: None,
        removed_characters: 0,
        segments: None,
        cost_micros: None,
        currency: None,
        idempotency_key: None,
        request_hash: None,
        created_at: now,
        updated_at: now,
    }
}
