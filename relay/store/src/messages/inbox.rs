//! What waits in an agent's inbox: unread rows of `messages`, who has taken them, and when they became read.

use shared::ids::{AgentId, CallSid, LeaseId, MessageId};
use shared::model::{Channel, Timestamp, Unread};

use super::Message;
use crate::value::params;
use crate::{Conn, Result};

/// Which unread inbound messages are meant. `since` is included, `before` is not.
#[derive(Clone, Debug, PartialEq)]
pub struct UnreadFilter {
    pub agent_id: AgentId,
    pub channel: Option<Channel>,
    pub contact: Option<String>,
    pub since: Option<Timestamp>,
    pub before: Option<Timestamp>,
    pub limit: i64,
}

/// A reader's claim on what it takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Lease {
    pub id: LeaseId,
    pub now: Timestamp,
    /// From then on, what was not confirmed is free again.
    pub until: Timestamp,
}

/// The condition of [`UnreadFilter`], as $1 to $5.
macro_rules! unread {
    () => {
        "agent_id = $1 AND direction = 'inbound' AND read_at IS NULL
         AND (CAST($2 AS TEXT) IS NULL OR channel = $2)
         AND (CAST($3 AS TEXT) IS NULL OR contact_address = $3)
         AND (CAST($4 AS BIGINT) IS NULL OR created_at >= $4)
         AND (CAST($5 AS BIGINT) IS NULL OR created_at < $5)"
    };
}

/// Takes unread messages that nobody else holds, and gives them oldest first. Two callers never both get one.
pub async fn lease_unread(conn: &mut Conn, filter: &UnreadFilter, lease: &Lease) -> Result<Vec<Message>> {
    // Without it, two readers on Postgres would wait for each other row by row, and the slower one would go away
    // with nothing although more was there.
    conn.lock(filter.agent_id.as_str()).await?;
    let mut leased: Vec<Message> = conn
        .list(
            concat!(
                "UPDATE messages SET lease_id = $8, lease_until = $9, attempt = attempt + 1
                 WHERE id IN (SELECT id FROM messages WHERE ",
                unread!(),
                " AND lease_until <= $7 ORDER BY seq LIMIT $6) AND read_at IS NULL AND lease_until <= $7
                 RETURNING *"
            ),
            params![
                filter.agent_id,
                filter.channel,
                filter.contact,
                filter.since,
                filter.before,
                filter.limit,
                lease.now,
                lease.id,
                lease.until,
            ],
        )
        .await?;
    leased.sort_by_key(|message| message.seq);
    Ok(leased)
}

/// Unread messages, oldest first, whether somebody holds them or not.
pub async fn peek_unread(conn: &mut Conn, filter: &UnreadFilter) -> Result<Vec<Message>> {
    conn.list(
        concat!("SELECT * FROM messages WHERE ", unread!(), " ORDER BY seq LIMIT $6"),
        params![filter.agent_id, filter.channel, filter.contact, filter.since, filter.before, filter.limit,],
    )
    .await
}

/// Makes what the lease still holds read, and gives the number of messages.
pub async fn confirm_lease(conn: &mut Conn, lease: &LeaseId, now: Timestamp) -> Result<u64> {
    let sql = "UPDATE messages SET read_at = $2, updated_at = $2, lease_id = NULL, lease_until = 0
               WHERE lease_id = $1 AND read_at IS NULL";
    conn.execute(sql, params![lease, now]).await
}

/// Makes what the lease still holds free at once.
pub async fn release_lease(conn: &mut Conn, lease: &LeaseId) -> Result<u64> {
    let sql = "UPDATE messages SET lease_id = NULL, lease_until = 0 WHERE lease_id = $1";
    conn.execute(sql, params![lease]).await
}

/// Makes everything free: for the start, when the holders of all leases are gone.
pub async fn release_all_leases(conn: &mut Conn) -> Result<u64> {
    conn.execute("UPDATE messages SET lease_id = NULL, lease_until = 0 WHERE lease_id IS NOT NULL", &[]).await
}

/// Gives an entry another text and makes it unread, whoever holds it, if that changes anything.
pub async fn amend(conn: &mut Conn, id: &MessageId, body: &str, now: Timestamp) -> Result<bool> {
    let sql =
        "UPDATE messages SET body = $2, updated_at = $3, read_at = NULL, lease_id = NULL, lease_until = 0
               WHERE id = $1 AND body <> $2";
    Ok(conn.execute(sql, params![id, body, now]).await? > 0)
}

/// What waits for the agent, whether somebody holds it or not.
pub async fn count_unread(conn: &mut Conn, agent_id: &AgentId) -> Result<Unread> {
    let counts = conn
        .get(
            "SELECT COUNT(CASE WHEN kind NOT IN ('call', 'voicemail') THEN 1 END) AS messages,
                    COUNT(CASE WHEN kind = 'voicemail' THEN 1 END) AS voicemails,
                    COUNT(CASE WHEN kind = 'call' THEN 1 END) AS calls
             FROM messages WHERE agent_id = $1 AND direction = 'inbound' AND read_at IS NULL",
            params![agent_id],
        )
        .await?;
    Ok(Unread {
        messages: counts.get("messages")?,
        voicemails: counts.get("voicemails")?,
        calls: counts.get("calls")?,
    })
}

/// Makes the inbox's entries on a call read, once somebody takes it.
pub async fn mark_calls_read(
    conn: &mut Conn,
    agent_id: &AgentId,
    call_sid: &CallSid,
    now: Timestamp,
) -> Result<u64> {
    let sql = "UPDATE messages SET read_at = $3, updated_at = $3, lease_id = NULL, lease_until = 0
               WHERE agent_id = $1 AND direction = 'inbound' AND read_at IS NULL
               AND kind = 'call' AND call_sid = $2";
    conn.execute(sql, params![agent_id, call_sid, now]).await
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use futures_util::FutureExt;
    use rstest::rstest;
    use shared::model::MessageKind;
    use tokio::task::JoinSet;

    use super::*;
    use crate::messages::tests::{inbound, insert_all, outbound, seqs, varied};
    use crate::messages::{find_any, insert};
    use crate::testing::{TestDatabase, agent, at, open};
    use crate::{Backend, Database, StoreError};

    fn unread(limit: i64) -> UnreadFilter {
        UnreadFilter { agent_id: agent(), channel: None, contact: None, since: None, before: None, limit }
    }

    fn lease(now: i64, until: i64) -> Lease {
        Lease { id: LeaseId::generate(), now: at(now), until: at(until) }
    }

    #[rstest]
    #[case::all(unread(100), &[1, 2, 3])]
    #[case::limit(unread(2), &[1, 2])]
    #[case::channel(UnreadFilter { channel: Some(Channel::Email), ..unread(100) }, &[2])]
    #[case::contact(UnreadFilter { contact: Some("+14155550199".to_owned()), ..unread(100) }, &[3])]
    #[case::since(UnreadFilter { since: Some(at(20)), ..unread(100) }, &[2, 3])]
    #[case::before(UnreadFilter { before: Some(at(20)), ..unread(100) }, &[1])]
    #[tokio::test]
    async fn unread_messages_are_filtered(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
        #[case] filter: UnreadFilter,
        #[case] expected: &[i64],
    ) {
        let Some(db) = open(backend).await else { return };
        let found = db
            .run(move |tx| {
                async move {
                    insert_all(tx, &varied()).await?;
                    let peeked = peek_unread(tx, &filter).await?;
                    Ok((seqs(peeked), seqs(lease_unread(tx, &filter, &lease(0, 9)).await?)))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, (expected.to_vec(), expected.to_vec()));
    }

    #[rstest]
    #[tokio::test]
    async fn an_entry_with_another_text_is_unread_again(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let message = inbound(1);
        let first = lease(0, 100);
        let expected = Message { body: "more".to_owned(), updated_at: at(60), attempt: 1, ..message.clone() };
        let found = db
            .run(move |tx| {
                async move {
                    insert(tx, &message).await?;
                    lease_unread(tx, &unread(9), &first).await?;
                    let unchanged = amend(tx, &message.id, &message.body, at(50)).await?;
                    let changed = amend(tx, &message.id, "more", at(60)).await?;
                    let confirmed = confirm_lease(tx, &first.id, at(70)).await?;
                    Ok((unchanged, changed, confirmed, find_any(tx, &message.id).await?))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, (false, true, 0, Some(expected)));
    }

    #[rstest]
    #[tokio::test]
    async fn a_leased_message_is_handed_over_again_only_when_the_lease_has_run_out(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let message = inbound(1);
        let (first, second) = (lease(0, 100), lease(100, 200));
        let handed_over = |lease: &Lease, attempt| Message {
            lease_id: Some(lease.id.clone()),
            lease_until: lease.until,
            attempt,
            ..message.clone()
        };
        let expected = (vec![handed_over(&first, 1)], vec![], vec![handed_over(&second, 2)], 0, 1);
        let found = db
            .run(move |tx| {
                async move {
                    insert(tx, &message).await?;
                    Ok((
                        lease_unread(tx, &unread(9), &first).await?,
                        lease_unread(tx, &unread(9), &lease(99, 300)).await?,
                        lease_unread(tx, &unread(9), &second).await?,
                        confirm_lease(tx, &first.id, at(150)).await?,
                        confirm_lease(tx, &second.id, at(150)).await?,
                    ))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, expected);
    }

    #[rstest]
    #[tokio::test]
    async fn a_confirmed_message_is_read(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
        let Some(db) = open(backend).await else { return };
        let message = inbound(1);
        let read = Message { read_at: Some(at(5)), updated_at: at(5), attempt: 1, ..message.clone() };
        let found = db
            .run(move |tx| {
                async move {
                    insert(tx, &message).await?;
                    let lease = lease(0, 100);
                    lease_unread(tx, &unread(9), &lease).await?;
                    confirm_lease(tx, &lease.id, at(5)).await?;
                    Ok((find_any(tx, &message.id).await?, peek_unread(tx, &unread(9)).await?))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, (Some(read), vec![]));
    }

    #[rstest]
    #[tokio::test]
    async fn a_released_message_is_free_at_once_and_keeps_its_attempts(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let found = db
            .run(move |tx| {
                async move {
                    insert_all(tx, &[inbound(1), inbound(2)]).await?;
                    let (one, other) = (lease(0, 100), lease(0, 100));
                    lease_unread(tx, &unread(1), &one).await?;
                    lease_unread(tx, &unread(1), &other).await?;
                    let held = seqs(lease_unread(tx, &unread(9), &lease(0, 100)).await?);
                    let released = release_lease(tx, &one.id).await?;
                    let free = seqs(lease_unread(tx, &unread(9), &lease(0, 100)).await?);
                    let others = release_all_leases(tx).await?;
                    let all = lease_unread(tx, &unread(9), &lease(0, 100)).await?;
                    let attempts = all.iter().map(|message| message.attempt).collect::<Vec<_>>();
                    Ok((held, released, free, others, attempts))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, (vec![], 1, vec![1], 2, vec![3, 2]));
    }

    async fn take(db: &Database, limit: i64) -> Vec<i64> {
        let taken = db.transaction::<_, StoreError, _>(move |tx| {
            async move { lease_unread(tx, &unread(limit), &lease(0, 100)).await }.boxed()
        });
        seqs(taken.await.unwrap())
    }

    async fn take_all(db: Database) -> Vec<i64> {
        let mut mine = Vec::new();
        loop {
            let taken = take(&db, 3).await;
            if taken.is_empty() {
                return mine;
            }
            mine.extend(taken);
        }
    }

    async fn with_a_hundred(backend: Backend) -> Option<TestDatabase> {
        let db = open(backend).await?;
        let messages: Vec<_> = (1..=100).map(inbound).collect();
        db.run(move |tx| async move { insert_all(tx, &messages).await }.boxed()).await;
        Some(db)
    }

    #[rstest]
    #[tokio::test(flavor = "multi_thread")]
    async fn forty_readers_lease_each_of_a_hundred_messages_once(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = with_a_hundred(backend).await else { return };
        let readers: JoinSet<_> = (0..40).map(|_| take_all(db.db.clone())).collect();
        let taken = readers.join_all().await.concat();
        assert_eq!((taken.len(), BTreeSet::from_iter(taken)), (100, (1..=100).collect()));
    }

    #[rstest]
    #[tokio::test(flavor = "multi_thread")]
    async fn no_reader_goes_away_with_nothing_while_messages_are_free(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = with_a_hundred(backend).await else { return };
        let one = |db: Database| async move { take(&db, 1).await.len() };
        let readers: JoinSet<_> = (0..100).map(|_| one(db.db.clone())).collect();
        assert_eq!(readers.join_all().await, [1; 100]);
    }

    #[rstest]
    #[tokio::test]
    async fn unread_entries_are_counted_by_kind_whether_leased_or_not(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let of_kind = |seq, kind| Message { kind, ..inbound(seq) };
        let rows = [
            inbound(1),
            of_kind(2, MessageKind::Receipt),
            of_kind(3, MessageKind::Question),
            of_kind(4, MessageKind::Voicemail),
            of_kind(5, MessageKind::Voicemail),
            of_kind(6, MessageKind::Call),
            Message { read_at: Some(at(9)), ..inbound(7) },
            outbound(8),
        ];
        let found = db
            .run(move |tx| {
                async move {
                    insert_all(tx, &rows).await?;
                    lease_unread(tx, &unread(2), &lease(0, 100)).await?;
                    Ok([
                        count_unread(tx, &agent()).await?,
                        count_unread(tx, &"nobody".parse().unwrap()).await?,
                    ])
                }
                .boxed()
            })
            .await;
        assert_eq!(found, [Unread { messages: 3, voicemails: 2, calls: 1 }, Unread::default()]);
    }

    #[rstest]
    #[tokio::test]
    async fn entries_on_a_call_are_read_once_it_is_taken(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let of_call =
            |seq, kind, sid: &str| Message { kind, call_sid: Some(sid.parse().unwrap()), ..inbound(seq) };
        let rows = [
            of_call(1, MessageKind::Call, "CA01"),
            of_call(2, MessageKind::Voicemail, "CA01"),
            of_call(3, MessageKind::Call, "CA02"),
        ];
        let found = db
            .run(move |tx| {
                async move {
                    insert_all(tx, &rows).await?;
                    let sid = "CA01".parse().unwrap();
                    Ok((
                        mark_calls_read(tx, &agent(), &sid, at(99)).await?,
                        mark_calls_read(tx, &agent(), &sid, at(99)).await?,
                        seqs(peek_unread(tx, &unread(9)).await?),
                    ))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, (1, 0, vec![2, 3]));
    }
}
