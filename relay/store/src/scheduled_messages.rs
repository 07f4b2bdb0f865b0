//! The `scheduled_messages` table: messages that wait for their time. Whoever removes a row is the one that sends.

use shared::ids::{AgentId, MessageId};
use shared::model::Timestamp;

use crate::value::params;
use crate::{Conn, Result};

/// A conflict if the message waits already.
pub async fn insert(conn: &mut Conn, message_id: &MessageId, send_at: Timestamp) -> Result<()> {
    let sql = "INSERT INTO scheduled_messages (message_id, send_at) VALUES ($1, $2)";
    conn.execute(sql, params![message_id, send_at]).await.map(drop)
}

/// Gives false if the message does not wait, and to all but one of those who try.
pub async fn remove(conn: &mut Conn, message_id: &MessageId) -> Result<bool> {
    let sql = "DELETE FROM scheduled_messages WHERE message_id = $1";
    Ok(conn.execute(sql, params![message_id]).await? == 1)
}

/// The time that a message waits for.
pub async fn find(conn: &mut Conn, message_id: &MessageId) -> Result<Option<Timestamp>> {
    let sql = "SELECT send_at FROM scheduled_messages WHERE message_id = $1";
    conn.query_opt(sql, params![message_id]).await?.map(|row| row.get("send_at")).transpose()
}

/// Lets it wait for another time.
pub async fn set(conn: &mut Conn, message_id: &MessageId, send_at: Timestamp) -> Result<bool> {
    let sql = "UPDATE scheduled_messages SET send_at = $2 WHERE message_id = $1";
    Ok(conn.execute(sql, params![message_id, send_at]).await? == 1)
}

/// How many messages of an agent wait.
pub async fn count(conn: &mut Conn, agent_id: &AgentId) -> Result<i64> {
    let sql = "SELECT COUNT(*) AS n FROM scheduled_messages s JOIN messages m ON m.id = s.message_id
               WHERE m.agent_id = $1";
    conn.number(sql, params![agent_id]).await
}

/// The messages whose time has come, the longest overdue first.
pub async fn list_due(conn: &mut Conn, now: Timestamp, limit: i64) -> Result<Vec<MessageId>> {
    let sql = "SELECT message_id FROM scheduled_messages WHERE send_at <= $1
               ORDER BY send_at, message_id LIMIT $2";
    let rows = conn.query(sql, params![now, limit]).await?;
    rows.iter().map(|row| row.get("message_id")).collect()
}

/// When the next message's time comes.
pub async fn next_at(conn: &mut Conn) -> Result<Option<Timestamp>> {
    conn.number("SELECT MIN(send_at) AS n FROM scheduled_messages", &[]).await
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use rstest::rstest;

    use super::*;
    use crate::testing::{at, open};
    use crate::{Backend, StoreError};

    #[rstest]
    #[tokio::test]
    async fn messages_are_due_in_the_order_of_their_times(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let ids: [MessageId; 4] = std::array::from_fn(|_| MessageId::generate());
        let due = vec![ids[1].clone(), ids[0].clone()];
        let expected = (None, due, vec![ids[1].clone()], Some(at(1)));
        let found = db
            .run(move |tx| {
                async move {
                    let before = next_at(tx).await?;
                    for (id, millis) in ids.iter().zip([3, 1, 4, 9]) {
                        insert(tx, id, at(millis)).await?;
                    }
                    Ok((
                        before,
                        list_due(tx, at(3), 9).await?,
                        list_due(tx, at(9), 1).await?,
                        next_at(tx).await?,
                    ))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, expected);
    }

    #[rstest]
    #[tokio::test]
    async fn a_message_waits_until_somebody_removes_it(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let id = MessageId::generate();
        let found = db
            .run(move |tx| {
                async move {
                    insert(tx, &id, at(1)).await?;
                    let waits = (find(tx, &id).await?, set(tx, &id, at(2)).await?, find(tx, &id).await?);
                    let removed = (remove(tx, &id).await?, remove(tx, &id).await?);
                    Ok((waits, removed, find(tx, &id).await?, list_due(tx, at(9), 9).await?))
                }
                .boxed()
            })
            .await;
        let waits = (Some(at(1)), true, Some(at(2)));
        assert_eq!(found, (waits, (true, false), None, vec![]));
    }

    #[rstest]
    #[tokio::test]
    async fn a_message_waits_for_one_time(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
        let Some(db) = open(backend).await else { return };
        let id = MessageId::generate();
        let taken: Result<()> = db
            .db
            .transaction(move |tx| {
                async move {
                    insert(tx, &id, at(1)).await?;
                    insert(tx, &id, at(2)).await
                }
                .boxed()
            })
            .await;
        assert!(matches!(taken, Err(StoreError::Conflict(_))), "{taken:?}");
    }
}
