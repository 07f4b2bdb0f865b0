//! The `agent_pool` table: the agents that were made on request, of which there may be only so many.

use shared::ids::AgentId;
use shared::model::Timestamp;

use crate::value::{from_row, params, text_enum};
use crate::{Conn, Result};

/// A row of `agent_pool`.
#[derive(Clone, Debug, PartialEq)]
pub struct PooledAgent {
    pub agent_id: AgentId,
    pub status: PoolStatus,
    pub created_at: Timestamp,
}

from_row!(PooledAgent { agent_id, status, created_at });

text_enum!(
    /// How far the agent has come. It has a place from the first to the last.
    PoolStatus { Reserved = "reserved", Active = "active", Releasing = "releasing" }
);

/// Gives the agent a place if fewer than `max` are taken. False if all are, or if it has one.
pub async fn reserve(conn: &mut Conn, agent_id: &AgentId, max: i64, now: Timestamp) -> Result<bool> {
    // Two transactions on Postgres would each count without the other.
    conn.lock("agent_pool").await?;
    let sql = "INSERT INTO agent_pool (agent_id, status, created_at)
               SELECT CAST($1 AS TEXT), 'reserved', CAST($2 AS BIGINT)
               WHERE (SELECT COUNT(*) FROM agent_pool) < $3
               ON CONFLICT (agent_id) DO NOTHING";
    Ok(conn.execute(sql, params![agent_id, now, max]).await? == 1)
}

/// Gives false if the agent has no place.
pub async fn set_status(conn: &mut Conn, agent_id: &AgentId, status: PoolStatus) -> Result<bool> {
    let sql = "UPDATE agent_pool SET status = $2 WHERE agent_id = $1";
    Ok(conn.execute(sql, params![agent_id, status]).await? == 1)
}

/// Makes its place free. Gives false if the agent has none.
pub async fn remove(conn: &mut Conn, agent_id: &AgentId) -> Result<bool> {
    Ok(conn.execute("DELETE FROM agent_pool WHERE agent_id = $1", params![agent_id]).await? == 1)
}

/// How many places are taken.
pub async fn count(conn: &mut Conn) -> Result<i64> {
    conn.number("SELECT COUNT(*) AS n FROM agent_pool", &[]).await
}

/// The agent's place.
pub async fn find(conn: &mut Conn, agent_id: &AgentId) -> Result<Option<PooledAgent>> {
    conn.find("SELECT * FROM agent_pool WHERE agent_id = $1", params![agent_id]).await
}

/// All that are taken, oldest first.
pub async fn list(conn: &mut Conn) -> Result<Vec<PooledAgent>> {
    conn.list("SELECT * FROM agent_pool ORDER BY created_at, agent_id", &[]).await
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use rstest::rstest;
    use tokio::task::JoinSet;

    use super::*;
    use crate::testing::{agent, at, open};
    use crate::{Backend, Database};

    fn other() -> AgentId {
        "other".parse().unwrap()
    }

    #[rstest]
    #[tokio::test]
    async fn an_agent_has_one_place_until_it_is_removed(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let reserved = PooledAgent { agent_id: agent(), status: PoolStatus::Reserved, created_at: at(1) };
        let active = PooledAgent { status: PoolStatus::Active, ..reserved.clone() };
        let second = PooledAgent { agent_id: other(), created_at: at(2), ..reserved.clone() };
        let expected = (
            [true, false, true],
            Some(reserved),
            [true, false],
            vec![active, second.clone()],
            [true, false],
            (1, vec![second]),
        );
        let found = db
            .run(move |tx| {
                async move {
                    let places = [
                        reserve(tx, &agent(), 9, at(1)).await?,
                        reserve(tx, &agent(), 9, at(5)).await?,
                        reserve(tx, &other(), 9, at(2)).await?,
                    ];
                    let place = find(tx, &agent()).await?;
                    let stepped = [
                        set_status(tx, &agent(), PoolStatus::Active).await?,
                        set_status(tx, &"nobody".parse().unwrap(), PoolStatus::Active).await?,
                    ];
                    let both = list(tx).await?;
                    let removed = [remove(tx, &agent()).await?, remove(tx, &agent()).await?];
                    Ok((places, place, stepped, both, removed, (count(tx).await?, list(tx).await?)))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, expected);
    }

    #[rstest]
    #[tokio::test]
    async fn a_place_that_is_given_back_can_be_taken(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let found = db
            .run(move |tx| {
                async move {
                    let full =
                        (reserve(tx, &agent(), 1, at(1)).await?, reserve(tx, &other(), 1, at(2)).await?);
                    remove(tx, &agent()).await?;
                    Ok((full, reserve(tx, &other(), 1, at(3)).await?))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, ((true, false), true));
    }

    async fn reserve_one(db: Database, n: i64) -> Result<bool> {
        let id: AgentId = format!("agent-{n}").parse().expect("it has the form");
        db.transaction(move |tx| async move { reserve(tx, &id, 3, at(n)).await }.boxed()).await
    }

    #[rstest]
    #[tokio::test(flavor = "multi_thread")]
    async fn no_more_places_are_given_than_there_are_whoever_races_for_them(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let other = db.open_again().await.unwrap();
        let handles = [&db.db, &other].into_iter().cycle();
        let tasks: JoinSet<_> = handles.zip(0..24).map(|(db, n)| reserve_one(db.clone(), n)).collect();
        let given: Vec<bool> = tasks.join_all().await.into_iter().collect::<Result<_>>().unwrap();
        assert_eq!(given.into_iter().filter(|given| *given).count(), 3);
    }
}
