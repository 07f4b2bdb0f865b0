//! The `limit_hits` table: how often a limit kept an agent from something, by day.

use shared::ids::AgentId;
use shared::model::Timestamp;

use crate::value::params;
use crate::{Conn, Result};

/// Counts one more on that day, and gives how many it has been.
pub async fn record(conn: &mut Conn, agent_id: &AgentId, name: &str, day_start: Timestamp) -> Result<i64> {
    let sql = "INSERT INTO limit_hits (agent_id, name, day_start, n) VALUES ($1, $2, $3, 1)
               ON CONFLICT (agent_id, name, day_start) DO UPDATE SET n = limit_hits.n + 1
               RETURNING n";
    conn.number(sql, params![agent_id, name, day_start]).await
}

/// How often it was, for one agent or all, on the days that began then or later.
pub async fn count(conn: &mut Conn, agent_id: Option<&AgentId>, since: Timestamp) -> Result<i64> {
    let sql = "SELECT CAST(COALESCE(SUM(n), 0) AS BIGINT) AS n FROM limit_hits
               WHERE (CAST($1 AS TEXT) IS NULL OR agent_id = $1) AND day_start >= $2";
    conn.number(sql, params![agent_id, since]).await
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use rstest::rstest;

    use super::*;
    use crate::Backend;
    use crate::testing::{agent, at, open};

    fn other() -> AgentId {
        "other".parse().unwrap()
    }

    #[rstest]
    #[tokio::test]
    async fn hits_are_counted_by_agent_and_day(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let found = db
            .run(move |tx| {
                async move {
                    Ok([
                        record(tx, &agent(), "maxActionsPerDay", at(1)).await?,
                        record(tx, &agent(), "maxActionsPerDay", at(1)).await?,
                        record(tx, &agent(), "maxSpendPerDay", at(2)).await?,
                        record(tx, &other(), "maxActionsPerDay", at(2)).await?,
                        count(tx, Some(&agent()), at(0)).await?,
                        count(tx, Some(&agent()), at(2)).await?,
                        count(tx, Some(&agent()), at(3)).await?,
                        count(tx, None, at(1)).await?,
                    ])
                }
                .boxed()
            })
            .await;
        assert_eq!(found, [1, 2, 1, 1, 3, 1, 0, 4]);
    }
}
