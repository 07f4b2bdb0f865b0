//! The `spending_limits` table: the limits that an agent has of its own. What holds where it has none is decided
//! by the caller.

use shared::ids::AgentId;
use shared::model::{LimitsPatch, Timestamp};

use crate::value::{from_row, params};
use crate::{Conn, Result};

from_row!(LimitsPatch {
    max_actions_per_minute,
    max_actions_per_hour,
    max_actions_per_day,
    max_spend_per_day: "max_spend_per_day_micros",
    max_spend_per_month: "max_spend_per_month_micros",
    max_call_duration_minutes,
    max_calls_per_day_to_same_number,
});

/// Gives the agent exactly these limits: what is `None` is none of its own any more.
pub async fn upsert(conn: &mut Conn, agent_id: &AgentId, limits: &LimitsPatch, now: Timestamp) -> Result<()> {
    conn.execute(
        "INSERT INTO spending_limits
           (agent_id, max_actions_per_minute, max_actions_per_hour, max_actions_per_day,
            max_spend_per_day_micros, max_spend_per_month_micros, max_call_duration_minutes,
            max_calls_per_day_to_same_number, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (agent_id) DO UPDATE SET
           max_actions_per_minute = excluded.max_actions_per_minute,
           max_actions_per_hour = excluded.max_actions_per_hour,
           max_actions_per_day = excluded.max_actions_per_day,
           max_spend_per_day_micros = excluded.max_spend_per_day_micros,
           max_spend_per_month_micros = excluded.max_spend_per_month_micros,
           max_call_duration_minutes = excluded.max_call_duration_minutes,
           max_calls_per_day_to_same_number = excluded.max_calls_per_day_to_same_number,
           updated_at = excluded.updated_at",
        params![
            agent_id,
            limits.max_actions_per_minute,
            limits.max_actions_per_hour,
            limits.max_actions_per_day,
            limits.max_spend_per_day,
            limits.max_spend_per_month,
            limits.max_call_duration_minutes,
            limits.max_calls_per_day_to_same_number,
            now,
        ],
    )
    .await
    .map(drop)
}

/// The agent's own limits, if it was ever given any.
pub async fn find(conn: &mut Conn, agent_id: &AgentId) -> Result<Option<LimitsPatch>> {
    conn.find("SELECT * FROM spending_limits WHERE agent_id = $1", params![agent_id]).await
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use rstest::rstest;
    use shared::model::Micros;

    use super::*;
    use crate::Backend;
    use crate::testing::{agent, at, open};

    fn limits() -> LimitsPatch {
        LimitsPatch {
            max_actions_per_minute: Some(1),
            max_actions_per_hour: Some(2),
            max_actions_per_day: Some(3),
            max_spend_per_day: Some(Micros(4)),
            max_spend_per_month: Some(Micros(5)),
            max_call_duration_minutes: Some(6),
            max_calls_per_day_to_same_number: Some(0),
        }
    }

    #[rstest]
    #[tokio::test]
    async fn limits_are_replaced_as_a_whole(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
        let Some(db) = open(backend).await else { return };
        let fewer = LimitsPatch { max_actions_per_day: Some(9), ..LimitsPatch::default() };
        let found = db
            .run(move |tx| {
                async move {
                    let before = find(tx, &agent()).await?;
                    upsert(tx, &agent(), &limits(), at(1)).await?;
                    let first = find(tx, &agent()).await?;
                    upsert(tx, &agent(), &fewer, at(2)).await?;
                    Ok((before, first, find(tx, &agent()).await?, find(tx, &"other".parse().unwrap()).await?))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, (None, Some(limits()), Some(fewer), None));
    }
}
