//! The inbox: what came in, and its handing over.
//!
//! A message is stored first. A reader leases it, and it counts as read only once the reader has confirmed that
//! its host got the answer. Without that, the lease ends and the message is handed over again.

mod changes;
mod receive;

use std::time::Duration;

use futures_util::FutureExt;
use relay_core::sanitize;
use relay_store::messages::{self, Lease, ListFilter, Message, UnreadFilter};
use shared::ids::{AgentId, LeaseId};
use shared::model::{Contact, Direction, Missed, Trust, Unread};
use shared::protocol::{GetMessages, MessagePage};
use tokio_util::sync::CancellationToken;

use super::audit::{self, Act};
use super::{ServiceError, outbox};
use crate::app::App;
use crate::random;

pub use changes::Inboxes;
pub(crate) use receive::{CallEntry, insert_call_entry};
pub use receive::{InboundMessage, receive};

/// How long a reader may take to confirm. Sessions that end give their leases back at once; this is for the rest.
const LEASE: Duration = Duration::from_secs(120);
const DEFAULT_LIMIT: i64 = 50;
const MAX_LIMIT: i64 = 200;

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
        outbox::written_down(app).await;
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
    let text = if inbound { sanitize::fence(&row.body, &random::hex::<8>()) } else { row.body };
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
