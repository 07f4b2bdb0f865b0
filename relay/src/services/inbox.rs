//! The inbox: what came in, and its handing over.
//!
//! A message is stored first. A reader leases it, and it counts as read only once the reader has confirmed that
//! its host got the answer. Without that, the lease ends and the message is handed over again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use relay_core::sanitize;
use relay_store::contacts::{self, ContactKey};
use relay_store::messages::{self, Lease, ListFilter, Message, UnreadFilter};
use relay_store::{Conn, webhook_events};
use ring::rand::{SecureRandom, SystemRandom};
use shared::ids::{AgentId, CallSid, ExternalId, LeaseId, MessageId};
use shared::model::{
    Channel, Contact, Direction, Media, MessageKind, MessageStatus, Missed, Standing, Timestamp, Trust,
    Unread,
};
use shared::protocol::{GetMessages, MessagePage};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::ServiceError;
use super::audit::{self, Act};
use crate::app::App;
use crate::observability::events;

/// How long a reader may take to confirm. Sessions that end give their leases back at once; this is for the rest.
const LEASE: Duration = Duration::from_secs(120);
const DEFAULT_LIMIT: i64 = 50;
const MAX_LIMIT: i64 = 200;

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
    let contact = contacts::record_inbound(tx, &key, inbound.sender_name.as_deref(), now).await?;
    let cleaned = sanitize::clean(&inbound.body);
    let detail = [("agent", key.agent_id.as_str()), ("external_id", inbound.external_id.as_str())];
    let seq = audit::append(tx, now, Act("carrier", "message.received", id.as_str()), &detail).await?;
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
    let contact = match entry_of.kind {
        MessageKind::Call => Some(contacts::record_inbound(tx, &key, None, now).await?),
        _ => contacts::find(tx, &key).await?,
    };
    let detail = [("agent", key.agent_id.as_str()), ("call", entry_of.call_sid.as_str())];
    let action = if entry_of.kind == MessageKind::Call { "call.received" } else { "voicemail.received" };
    let seq = audit::append(tx, now, Act("carrier", action, entry_of.id.as_str()), &detail).await?;
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

/// Hands over what fits the question, waiting for it if that was asked.
pub async fn get(
    app: &App,
    agent: &AgentId,
    question: GetMessages,
    cancelled: &CancellationToken,
) -> Result<MessagePage, ServiceError> {
    let limit = question.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(ServiceError::Invalid {
            field: "limit",
            problem: format!("it must be 1 to {MAX_LIMIT}"),
        });
    }
    if wants_history(&question) {
        return history(app, agent, question, limit).await;
    }
    let inbox = app.inboxes.of(agent);
    let mut changes = inbox.changes.subscribe();
    let deadline =
        tokio::time::Instant::now() + Duration::from_secs(question.wait_seconds.unwrap_or(0).min(600));
    loop {
        changes.mark_unchanged();
        let page = take_unread(app, agent, &question, limit).await?;
        if !page.messages.is_empty() {
            return Ok(page);
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return Ok(page) },
            () = tokio::time::sleep_until(deadline) => return Ok(page),
            () = cancelled.cancelled() => return Ok(page),
            () = app.stop.cancelled() => return Ok(page),
        }
    }
}

/// Without `unread`, a question that looks back is one for history, and any other for what waits.
fn wants_history(question: &GetMessages) -> bool {
    let looks_back = question.direction == Some(Direction::Outbound)
        || question.cursor.is_some()
        || question.since.is_some()
        || question.before.is_some();
    !question.unread.unwrap_or(!looks_back)
}

async fn take_unread(
    app: &App,
    agent: &AgentId,
    question: &GetMessages,
    limit: i64,
) -> Result<MessagePage, ServiceError> {
    let now = app.now();
    let filter = UnreadFilter {
        agent_id: agent.clone(),
        channel: question.channel,
        contact: question.contact.clone(),
        since: question.since,
        before: question.before,
        limit,
    };
    let keep_unread = question.mark_read == Some(false);
    let lease = Lease { id: LeaseId::generate(), now, until: now.plus(LEASE) };
    let lease_id = lease.id.clone();
    let agent_id = agent.clone();
    // An empty inbox costs a read and no sync: waiting readers ask here at every change.
    let nothing = app.inboxes.unread(app, agent).await?.is_empty();
    let (rows, unread) = if nothing {
        (Vec::new(), Unread::default())
    } else if keep_unread {
        app.db
            .read::<_, ServiceError, _>(move |conn| {
                async move {
                    let rows = messages::peek_unread(conn, &filter).await?;
                    Ok((rows, messages::count_unread(conn, &agent_id).await?))
                }
                .boxed()
            })
            .await?
    } else {
        app.db
            .transaction::<_, ServiceError, _>(move |tx| {
                async move {
                    let rows = messages::lease_unread(tx, &filter, &lease).await?;
                    Ok((rows, messages::count_unread(tx, &agent_id).await?))
                }
                .boxed()
            })
            .await?
    };
    let handed = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    let leased = (!keep_unread && !rows.is_empty()).then_some(lease_id);
    Ok(MessagePage {
        missed: Missed { voicemails: unread.voicemails, calls: unread.calls, messages: unread.messages },
        total: unread.total(),
        unread_remaining: if keep_unread { unread.total() } else { (unread.total() - handed).max(0) },
        messages: rows.into_iter().map(hand_over).collect(),
        next_cursor: None,
        lease: leased,
    })
}

async fn history(
    app: &App,
    agent: &AgentId,
    question: GetMessages,
    limit: i64,
) -> Result<MessagePage, ServiceError> {
    let before_seq = question.cursor.map(|cursor| cursor.parse::<i64>()).transpose().map_err(|_| {
        ServiceError::Invalid { field: "cursor", problem: "it is not one that an answer gave".to_owned() }
    })?;
    let filter = ListFilter {
        agent_id: agent.clone(),
        channel: question.channel,
        direction: question.direction,
        contact: question.contact,
        since: question.since,
        before: question.before,
        before_seq,
        limit,
    };
    let (rows, total) = app
        .db
        .read::<_, ServiceError, _>(move |conn| {
            async move {
                let rows = messages::list(conn, &filter).await?;
                let total = messages::count(conn, &ListFilter { before_seq: None, ..filter }).await?;
                Ok((rows, total))
            }
            .boxed()
        })
        .await?;
    let full = i64::try_from(rows.len()).is_ok_and(|count| count == limit);
    let unread = app.inboxes.unread(app, agent).await?;
    Ok(MessagePage {
        next_cursor: rows.last().filter(|_| full).map(|row| row.seq.to_string()),
        messages: rows.into_iter().map(hand_over).collect(),
        total,
        unread_remaining: unread.total(),
        missed: Missed { voicemails: unread.voicemails, calls: unread.calls, messages: unread.messages },
        lease: None,
    })
}

/// The form in which an agent gets a row: words from outside are fenced and marked as such.
fn hand_over(row: Message) -> shared::model::Message {
    let inbound = row.direction == Direction::Inbound;
    let text = if inbound { sanitize::fence(&row.body, &random_mark()) } else { row.body };
    shared::model::Message {
        id: row.id,
        kind: row.kind,
        channel: row.channel,
        direction: row.direction,
        from: row.from_address,
        to: row.to_address,
        contact: Contact { address: row.contact_address, name: row.contact_name, standing: row.standing },
        subject: row.subject,
        text,
        media: row.media,
        call_sid: row.call_sid,
        status: row.status,
        attempt: row.attempt,
        received_at: row.created_at,
        trust: if inbound { Trust::External } else { Trust::Own },
        removed_characters: row.removed_characters,
    }
}

fn random_mark() -> String {
    let mut random = [0; 8];
    SystemRandom::new().fill(&mut random).expect("the operating system gives random bytes");
    data_encoding::HEXLOWER.encode(&random)
}

/// The host has the answer: what it held is read.
pub async fn confirm(app: &App, agent: &AgentId, lease: LeaseId) -> Result<(), ServiceError> {
    let now = app.now();
    let owner = agent.clone();
    let read = app
        .db
        .transaction::<_, ServiceError, _>(move |tx| {
            async move {
                let read = messages::confirm_lease(tx, &lease, now).await?;
                if read > 0 {
                    let detail = [("agent", owner.as_str()), ("count", &read.to_string())];
                    audit::append(tx, now, Act("agent", "messages.read", lease.as_str()), &detail).await?;
                }
                Ok(read)
            }
            .boxed()
        })
        .await?;
    if read > 0 {
        app.inboxes.changed(agent);
    }
    Ok(())
}

/// Nobody will confirm these: their messages are free for the next reader.
pub async fn release(app: &App, agent: &AgentId, leases: Vec<LeaseId>) -> Result<(), ServiceError> {
    if leases.is_empty() {
        return Ok(());
    }
    let freed = app
        .db
        .transaction::<_, ServiceError, _>(move |tx| {
            async move {
                let mut freed = 0;
                for lease in &leases {
                    freed += messages::release_lease(tx, lease).await?;
                }
                Ok(freed)
            }
            .boxed()
        })
        .await?;
    if freed > 0 {
        app.inboxes.changed(agent);
    }
    Ok(())
}

/// At the start of the relay: nobody will confirm what a dead process handed out.
pub async fn release_all(app: &App) -> Result<(), ServiceError> {
    app.db
        .transaction(|tx| async move { messages::release_all_leases(tx).await.map(|_| ()) }.boxed())
        .await
        .map_err(|problem: relay_store::StoreError| problem.into())
}

/// Wakes waiting readers, and knows how much is unread without asking the database each time.
#[derive(Debug, Default)]
pub struct Inboxes(Mutex<HashMap<AgentId, Arc<Inbox>>>);

#[derive(Debug)]
pub(crate) struct Inbox {
    /// Counts changes; its value means nothing else.
    pub(crate) changes: watch::Sender<u64>,
    /// What is unread as of which change.
    counted: Mutex<Option<(u64, Unread)>>,
}

impl Inboxes {
    pub(crate) fn of(&self, agent: &AgentId) -> Arc<Inbox> {
        let mut inboxes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(inbox) = inboxes.get(agent) {
            return Arc::clone(inbox);
        }
        let inbox = Arc::new(Inbox { changes: watch::Sender::new(0), counted: Mutex::default() });
        inboxes.insert(agent.clone(), Arc::clone(&inbox));
        inbox
    }

    /// Something was committed that an agent's readers should see.
    pub(crate) fn changed(&self, agent: &AgentId) {
        self.of(agent).changes.send_modify(|count| *count += 1);
    }

    /// How much is unread; asks the database only after a change.
    pub(crate) async fn unread(&self, app: &App, agent: &AgentId) -> Result<Unread, ServiceError> {
        let inbox = self.of(agent);
        let change = *inbox.changes.borrow();
        let known = *inbox.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, unread)) = known.filter(|(at, _)| *at == change) {
            return Ok(unread);
        }
        let agent = agent.clone();
        let unread = app
            .db
            .read::<_, ServiceError, _>(move |conn| {
                async move { Ok(messages::count_unread(conn, &agent).await?) }.boxed()
            })
            .await?;
        *inbox.counted.lock().unwrap_or_else(PoisonError::into_inner) = Some((change, unread));
        Ok(unread)
    }
}
