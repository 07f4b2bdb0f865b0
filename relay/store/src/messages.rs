//! The `messages` table: everything that came in and everything that goes out. Which status may follow which is
//! decided by the caller.

mod inbox;

pub use inbox::{
    Lease, UnreadFilter, amend, confirm_lease, count_unread, lease_unread, mark_calls_read, peek_unread,
    release_all_leases, release_lease,
};

use shared::ids::{AgentId, CallSid, ExternalId, LeaseId, MessageId};
use shared::model::{Channel, Direction, Media, MessageKind, MessageStatus, Micros, Standing, Timestamp};

use crate::value::{from_row, params};
use crate::{Conn, Result};

/// A row of `messages`.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    pub id: MessageId,
    /// The number of the audit entry that was written with it.
    pub seq: i64,
    pub agent_id: AgentId,
    pub kind: MessageKind,
    pub channel: Channel,
    pub direction: Direction,
    pub from_address: String,
    pub to_address: String,
    pub contact_address: String,
    pub contact_name: Option<String>,
    pub standing: Standing,
    pub subject: Option<String>,
    pub body: String,
    pub media: Vec<Media>,
    pub call_sid: Option<CallSid>,
    pub status: MessageStatus,
    pub external_id: Option<ExternalId>,
    pub error_code: Option<String>,
    /// How often it was handed over.
    pub attempt: i64,
    pub lease_id: Option<LeaseId>,
    /// Until then it belongs to the lease; the epoch if nobody has it.
    pub lease_until: Timestamp,
    pub read_at: Option<Timestamp>,
    pub removed_characters: i64,
    pub segments: Option<i64>,
    pub cost_micros: Option<Micros>,
    pub currency: Option<String>,
    pub idempotency_key: Option<String>,
    pub request_hash: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

from_row!(Message {
    id,
    seq,
    agent_id,
    kind,
    channel,
    direction,
    from_address,
    to_address,
    contact_address,
    contact_name,
    standing,
    subject,
    body,
    media,
    call_sid,
    status,
    external_id,
    error_code,
    attempt,
    lease_id,
    lease_until,
    read_at,
    removed_characters,
    segments,
    cost_micros,
    currency,
    idempotency_key,
    request_hash,
    created_at,
    updated_at,
});

/// The messages of one agent that are alike in this.
#[derive(Clone, Debug, PartialEq)]
pub struct MessageCount {
    pub agent_id: AgentId,
    pub channel: Channel,
    pub direction: Direction,
    pub kind: MessageKind,
    pub n: i64,
}

from_row!(MessageCount { agent_id, channel, direction, kind, n });

/// Which messages are meant. `since` is included, `before` and `before_seq` are not.
#[derive(Clone, Debug, PartialEq)]
pub struct ListFilter {
    pub agent_id: AgentId,
    pub channel: Option<Channel>,
    pub direction: Option<Direction>,
    pub contact: Option<String>,
    pub since: Option<Timestamp>,
    pub before: Option<Timestamp>,
    pub before_seq: Option<i64>,
    pub limit: i64,
}

/// A step of a message. What is `None` stays as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct StatusChange<'a> {
    /// The statuses from which the step is allowed.
    pub from: &'a [MessageStatus],
    pub to: MessageStatus,
    pub external_id: Option<ExternalId>,
    pub error_code: Option<String>,
    /// The amount and its currency.
    pub cost: Option<(Micros, String)>,
    pub segments: Option<i64>,
    pub now: Timestamp,
}

/// The condition of [`ListFilter`], as $1 to $7.
macro_rules! listed {
    () => {
        "agent_id = $1
         AND (CAST($2 AS TEXT) IS NULL OR channel = $2)
         AND (CAST($3 AS TEXT) IS NULL OR direction = $3)
         AND (CAST($4 AS TEXT) IS NULL OR contact_address = $4)
         AND (CAST($5 AS BIGINT) IS NULL OR created_at >= $5)
         AND (CAST($6 AS BIGINT) IS NULL OR created_at < $6)
         AND (CAST($7 AS BIGINT) IS NULL OR seq < $7)"
    };
}

/// A conflict if the message or the agent's idempotency key is there already.
pub async fn insert(conn: &mut Conn, message: &Message) -> Result<()> {
    conn.execute(
        "INSERT INTO messages
           (id, seq, agent_id, kind, channel, direction, from_address, to_address, contact_address, contact_name,
            standing, subject, body, media, call_sid, status, external_id, error_code, attempt, lease_id,
            lease_until, read_at, removed_characters, segments, cost_micros, currency, idempotency_key,
            request_hash, created_at, updated_at)
         VALUES
           ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22,
            $23, $24, $25, $26, $27, $28, $29, $30)",
        params![
            message.id,
            message.seq,
            message.agent_id,
            message.kind,
            message.channel,
            message.direction,
            message.from_address,
            message.to_address,
            message.contact_address,
            message.contact_name,
            message.standing,
            message.subject,
            message.body,
            message.media,
            message.call_sid,
            message.status,
            message.external_id,
            message.error_code,
            message.attempt,
            message.lease_id,
            message.lease_until,
            message.read_at,
            message.removed_characters,
            message.segments,
            message.cost_micros,
            message.currency,
            message.idempotency_key,
            message.request_hash,
            message.created_at,
            message.updated_at,
        ],
    )
    .await
    .map(drop)
}

/// The agent's message with this id.
pub async fn find(conn: &mut Conn, agent_id: &AgentId, id: &MessageId) -> Result<Option<Message>> {
    conn.find("SELECT * FROM messages WHERE id = $1 AND agent_id = $2", params![id, agent_id]).await
}

/// Any agent's message with this id.
pub async fn find_any(conn: &mut Conn, id: &MessageId) -> Result<Option<Message>> {
    conn.find("SELECT * FROM messages WHERE id = $1", params![id]).await
}

/// The message that the agent sent with this key.
pub async fn find_by_idempotency_key(
    conn: &mut Conn,
    agent_id: &AgentId,
    key: &str,
) -> Result<Option<Message>> {
    let sql = "SELECT * FROM messages WHERE agent_id = $1 AND idempotency_key = $2";
    conn.find(sql, params![agent_id, key]).await
}

/// The outbound message with the provider's name for it.
pub async fn find_by_external_id(conn: &mut Conn, external_id: &ExternalId) -> Result<Option<Message>> {
    let sql = "SELECT * FROM messages WHERE external_id = $1 AND direction = 'outbound'";
    conn.find(sql, params![external_id]).await
}

/// Newest first.
pub async fn list(conn: &mut Conn, filter: &ListFilter) -> Result<Vec<Message>> {
    conn.list(
        concat!("SELECT * FROM messages WHERE ", listed!(), " ORDER BY seq DESC LIMIT $8"),
        params![
            filter.agent_id,
            filter.channel,
            filter.direction,
            filter.contact,
            filter.since,
            filter.before,
            filter.before_seq,
            filter.limit,
        ],
    )
    .await
}

/// How many messages [`list`] would give if it had no limit.
pub async fn count(conn: &mut Conn, filter: &ListFilter) -> Result<i64> {
    conn.number(
        concat!("SELECT COUNT(*) AS n FROM messages WHERE ", listed!()),
        params![
            filter.agent_id,
            filter.channel,
            filter.direction,
            filter.contact,
            filter.since,
            filter.before,
            filter.before_seq,
        ],
    )
    .await
}

/// The messages of one agent or of all since then.
pub async fn counts(
    conn: &mut Conn,
    agent_id: Option<&AgentId>,
    since: Timestamp,
) -> Result<Vec<MessageCount>> {
    let sql = "SELECT agent_id, channel, direction, kind, COUNT(*) AS n
               FROM messages WHERE (CAST($1 AS TEXT) IS NULL OR agent_id = $1) AND created_at >= $2
               GROUP BY agent_id, channel, direction, kind ORDER BY agent_id, channel, direction, kind";
    conn.list(sql, params![agent_id, since]).await
}

/// How the last things that the agent sent on this channel fared, newest first.
pub async fn last_outbound(
    conn: &mut Conn,
    agent_id: &AgentId,
    channel: Channel,
    limit: i64,
) -> Result<Vec<MessageStatus>> {
    let sql = "SELECT status FROM messages WHERE agent_id = $1 AND channel = $2 AND direction = 'outbound'
               ORDER BY seq DESC LIMIT $3";
    let rows = conn.query(sql, params![agent_id, channel, limit]).await?;
    rows.iter().map(|row| row.get("status")).collect()
}

/// Takes the step if the message stands where the step is allowed, and gives the row after it.
pub async fn set_status(
    conn: &mut Conn,
    id: &MessageId,
    change: &StatusChange<'_>,
) -> Result<Option<Message>> {
    let from = change.from.iter().map(|status| format!(",{status},")).collect::<String>();
    let (cost, currency) = change.cost.as_ref().map(|(amount, currency)| (amount, currency)).unzip();
    conn.find(
        "UPDATE messages SET
           status = $3,
           external_id = COALESCE($4, external_id),
           error_code = COALESCE($5, error_code),
           cost_micros = COALESCE($6, cost_micros),
           currency = COALESCE($7, currency),
           segments = COALESCE($8, segments),
           updated_at = $9
         WHERE id = $1 AND $2 LIKE '%,' || status || ',%'
         RETURNING *",
        params![
            id,
            from,
            change.to,
            change.external_id,
            change.error_code,
            cost,
            currency,
            change.segments,
            change.now,
        ],
    )
    .await
}

/// Outbound messages that stand at `status`, oldest first.
pub async fn list_by_status(conn: &mut Conn, status: MessageStatus, limit: i64) -> Result<Vec<Message>> {
    let sql = "SELECT * FROM messages WHERE direction = 'outbound' AND status = $1 ORDER BY seq LIMIT $2";
    conn.list(sql, params![status, limit]).await
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use rstest::rstest;

    use super::*;
    use crate::testing::{agent, at, open};
    use crate::{Backend, StoreError};

    pub(super) fn inbound(seq: i64) -> Message {
        Message {
            id: MessageId::generate(),
            seq,
            agent_id: agent(),
            kind: MessageKind::Message,
            channel: Channel::Sms,
            direction: Direction::Inbound,
            from_address: "+14155550123".to_owned(),
            to_address: "+14155550100".to_owned(),
            contact_address: "+14155550123".to_owned(),
            contact_name: None,
            standing: Standing::New,
            subject: None,
            body: "héllo $1 🙂".to_owned(),
            media: vec![],
            call_sid: None,
            status: MessageStatus::Received,
            external_id: Some("SM01".parse().unwrap()),
            error_code: None,
            attempt: 0,
            lease_id: None,
            lease_until: at(0),
            read_at: None,
            removed_characters: 0,
            segments: None,
            cost_micros: None,
            currency: None,
            idempotency_key: None,
            request_hash: None,
            created_at: at(seq * 10),
            updated_at: at(seq * 10),
        }
    }

    pub(super) fn outbound(seq: i64) -> Message {
        Message {
            direction: Direction::Outbound,
            status: MessageStatus::Intended,
            external_id: None,
            ..inbound(seq)
        }
    }

    fn all() -> ListFilter {
        ListFilter {
            agent_id: agent(),
            channel: None,
            direction: None,
            contact: None,
            since: None,
            before: None,
            before_seq: None,
            limit: 100,
        }
    }

    pub(super) fn seqs(messages: Vec<Message>) -> Vec<i64> {
        messages.into_iter().map(|message| message.seq).collect()
    }

    pub(super) async fn insert_all(tx: &mut Conn, messages: &[Message]) -> Result<()> {
        for message in messages {
            insert(tx, message).await?;
        }
        Ok(())
    }

    /// Messages that differ in each thing that a filter can ask for; `seq` tells them apart.
    pub(super) fn varied() -> [Message; 5] {
        [
            inbound(1),
            Message { channel: Channel::Email, ..inbound(2) },
            Message { contact_address: "+14155550199".to_owned(), ..inbound(3) },
            outbound(4),
            Message { agent_id: "other".parse().unwrap(), ..inbound(5) },
        ]
    }

    #[rstest]
    #[tokio::test]
    async fn every_column_comes_back_as_it_was(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let media = Media {
            url: "https://x.example/1".to_owned(),
            content_type: "image/png".to_owned(),
            size_bytes: Some(9),
        };
        let full = Message {
            contact_name: Some("Ann".to_owned()),
            subject: Some("Re: \"x\"".to_owned()),
            media: vec![media],
            call_sid: Some("CA01".parse().unwrap()),
            error_code: Some("30007".to_owned()),
            lease_id: Some(LeaseId::generate()),
            lease_until: at(7),
            read_at: Some(at(8)),
            segments: Some(2),
            cost_micros: Some(Micros(-7900)),
            currency: Some("USD".to_owned()),
            idempotency_key: Some("k".to_owned()),
            request_hash: Some("ab".to_owned()),
            ..outbound(1)
        };
        let bare = inbound(2);
        let expected = (Some(full.clone()), None, Some(bare.clone()), Some(full.clone()), None);
        let found = db
            .run(move |tx| {
                async move {
                    insert_all(tx, &[full.clone(), bare.clone()]).await?;
                    Ok((
                        find(tx, &agent(), &full.id).await?,
                        find(tx, &"other".parse().unwrap(), &full.id).await?,
                        find_any(tx, &bare.id).await?,
                        find_by_idempotency_key(tx, &agent(), "k").await?,
                        find_by_idempotency_key(tx, &"other".parse().unwrap(), "k").await?,
                    ))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, expected);
    }

    #[rstest]
    #[tokio::test]
    async fn an_idempotency_key_makes_one_message(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let keyed = |seq| Message { idempotency_key: Some("k".to_owned()), ..outbound(seq) };
        let rows =
            [outbound(1), outbound(2), keyed(3), Message { agent_id: "other".parse().unwrap(), ..keyed(4) }];
        db.run(move |tx| async move { insert_all(tx, &rows).await }.boxed()).await;
        let again = keyed(5);
        let taken: Result<()> =
            db.db.transaction(move |tx| async move { insert(tx, &again).await }.boxed()).await;
        assert!(matches!(taken, Err(StoreError::Conflict(_))), "{taken:?}");
    }

    #[rstest]
    #[tokio::test]
    async fn a_provider_s_name_finds_what_was_sent_only(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let sent = Message { external_id: Some("SM02".parse().unwrap()), ..outbound(2) };
        let expected = (Some(sent.clone()), None);
        let found = db
            .run(move |tx| {
                async move {
                    insert_all(tx, &[inbound(1), sent]).await?;
                    Ok((
                        find_by_external_id(tx, &"SM02".parse().unwrap()).await?,
                        find_by_external_id(tx, &"SM01".parse().unwrap()).await?,
                    ))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, expected);
    }

    #[rstest]
    #[case::all(all(), &[4, 3, 2, 1], 4)]
    #[case::limit(ListFilter { limit: 2, ..all() }, &[4, 3], 4)]
    #[case::channel(ListFilter { channel: Some(Channel::Email), ..all() }, &[2], 1)]
    #[case::direction(ListFilter { direction: Some(Direction::Outbound), ..all() }, &[4], 1)]
    #[case::contact(ListFilter { contact: Some("+14155550199".to_owned()), ..all() }, &[3], 1)]
    #[case::since(ListFilter { since: Some(at(20)), ..all() }, &[4, 3, 2], 3)]
    #[case::before(ListFilter { before: Some(at(20)), ..all() }, &[1], 1)]
    #[case::page(ListFilter { before_seq: Some(3), ..all() }, &[2, 1], 2)]
    #[tokio::test]
    async fn messages_are_listed_newest_first(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
        #[case] filter: ListFilter,
        #[case] expected: &[i64],
        #[case] expected_count: i64,
    ) {
        let Some(db) = open(backend).await else { return };
        let found = db
            .run(move |tx| {
                async move {
                    insert_all(tx, &varied()).await?;
                    Ok((seqs(list(tx, &filter).await?), count(tx, &filter).await?))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, (expected.to_vec(), expected_count));
    }

    #[rstest]
    #[tokio::test]
    async fn a_message_steps_only_from_where_it_may_and_keeps_what_is_known(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let message = outbound(1);
        let accepted = Message {
            status: MessageStatus::Accepted,
            external_id: Some("SM02".parse().unwrap()),
            segments: Some(2),
            cost_micros: Some(Micros(15_800)),
            currency: Some("USD".to_owned()),
            updated_at: at(50),
            ..message.clone()
        };
        let failed = Message {
            status: MessageStatus::Failed,
            error_code: Some("30007".to_owned()),
            updated_at: at(60),
            ..accepted.clone()
        };
        let (first, last) = (accepted.clone(), failed.clone());
        let found = db
            .run(move |tx| {
                async move {
                    insert(tx, &message).await?;
                    let accept = StatusChange {
                        from: &[MessageStatus::Intended, MessageStatus::Sending],
                        to: MessageStatus::Accepted,
                        external_id: accepted.external_id,
                        error_code: None,
                        cost: Some((Micros(15_800), "USD".to_owned())),
                        segments: Some(2),
                        now: at(50),
                    };
                    let fail = StatusChange {
                        from: &[MessageStatus::Accepted, MessageStatus::Sent],
                        to: MessageStatus::Failed,
                        external_id: None,
                        error_code: failed.error_code,
                        cost: None,
                        segments: None,
                        now: at(60),
                    };
                    Ok((
                        set_status(tx, &message.id, &fail).await?,
                        set_status(tx, &message.id, &accept).await?,
                        set_status(tx, &message.id, &accept).await?,
                        set_status(tx, &message.id, &fail).await?,
                        set_status(tx, &message.id, &StatusChange { from: &[], ..fail }).await?,
                    ))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, (None, Some(first), None, Some(last), None));
    }

    #[rstest]
    #[tokio::test]
    async fn what_was_sent_is_listed_by_status_oldest_first(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let rows = [
            outbound(3),
            outbound(2),
            Message { status: MessageStatus::Unknown, ..outbound(1) },
            Message { status: MessageStatus::Intended, ..inbound(4) },
            outbound(5),
        ];
        let found = db
            .run(move |tx| {
                async move {
                    insert_all(tx, &rows).await?;
                    Ok(seqs(list_by_status(tx, MessageStatus::Intended, 2).await?))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, [2, 3]);
    }

    #[rstest]
    #[tokio::test]
    async fn messages_are_counted_by_what_they_are(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let found = db
            .run(move |tx| {
                async move {
                    insert_all(tx, &varied()).await?;
                    insert(tx, &Message { kind: MessageKind::Voicemail, ..inbound(6) }).await?;
                    insert(tx, &inbound(7)).await?;
                    Ok((counts(tx, Some(&agent()), at(20)).await?, counts(tx, None, at(50)).await?))
                }
                .boxed()
            })
            .await;
        let count =
            |channel, direction, kind, n| MessageCount { agent_id: agent(), channel, direction, kind, n };
        let text = MessageKind::Message;
        let mine = vec![
            count(Channel::Email, Direction::Inbound, text, 1),
            count(Channel::Sms, Direction::Inbound, text, 2),
            count(Channel::Sms, Direction::Inbound, MessageKind::Voicemail, 1),
            count(Channel::Sms, Direction::Outbound, text, 1),
        ];
        let all = vec![
            count(Channel::Sms, Direction::Inbound, text, 1),
            count(Channel::Sms, Direction::Inbound, MessageKind::Voicemail, 1),
            MessageCount {
                agent_id: "other".parse().unwrap(),
                ..count(Channel::Sms, Direction::Inbound, text, 1)
            },
        ];
        assert_eq!(found, (mine, all));
    }

    #[rstest]
    #[tokio::test]
    async fn the_fate_of_what_was_sent_last_is_told_newest_first(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let sent = |seq, status| Message { status, ..outbound(seq) };
        let rows = [
            sent(1, MessageStatus::Delivered),
            sent(2, MessageStatus::Failed),
            sent(3, MessageStatus::Sent),
            Message { channel: Channel::Email, ..outbound(4) },
            inbound(5),
            Message { agent_id: "other".parse().unwrap(), ..outbound(6) },
        ];
        let found = db
            .run(move |tx| {
                async move {
                    insert_all(tx, &rows).await?;
                    last_outbound(tx, &agent(), Channel::Sms, 2).await
                }
                .boxed()
            })
            .await;
        assert_eq!(found, [MessageStatus::Sent, MessageStatus::Failed]);
    }
}
