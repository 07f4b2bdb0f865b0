//! The `billing_config` table: which set of limits an agent has, and what it is billed.

use shared::ids::AgentId;
use shared::model::{Tier, Timestamp};

use crate::value::{from_row, params};
use crate::{Conn, Result};

/// A row of `billing_config`.
#[derive(Clone, Debug, PartialEq)]
pub struct BillingConfig {
    pub agent_id: AgentId,
    pub tier: Option<Tier>,
    /// What is added to the providers' prices.
    pub markup_percent: i64,
    pub billing_email: Option<String>,
    pub updated_at: Timestamp,
}

from_row!(BillingConfig { agent_id, tier, markup_percent, billing_email, updated_at });

/// Replaces what was there.
pub async fn upsert(conn: &mut Conn, row: &BillingConfig) -> Result<()> {
    conn.execute(
        "INSERT INTO billing_config (agent_id, tier, markup_percent, billing_email, updated_at)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (agent_id) DO UPDATE SET
           tier = excluded.tier, markup_percent = excluded.markup_percent,
           billing_email = excluded.billing_email, updated_at = excluded.updated_at",
        params![row.agent_id, row.tier, row.markup_percent, row.billing_email, row.updated_at],
    )
    .await
    .map(drop)
}

/// The agent's, if it was ever given any.
pub async fn find(conn: &mut Conn, agent_id: &AgentId) -> Result<Option<BillingConfig>> {
    conn.find("SELECT * FROM billing_config WHERE agent_id = $1", params![agent_id]).await
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use rstest::rstest;

    use super::*;
    use crate::Backend;
    use crate::testing::{agent, at, open};

    #[rstest]
    #[tokio::test]
    async fn what_is_billed_is_replaced_as_a_whole(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let first = BillingConfig {
            agent_id: agent(),
            tier: Some(Tier::Pro),
            markup_percent: 20,
            billing_email: Some("ann@example.org".to_owned()),
            updated_at: at(1),
        };
        let second = BillingConfig {
            tier: None,
            markup_percent: 0,
            billing_email: None,
            updated_at: at(2),
            ..first.clone()
        };
        let expected = (None, Some(first.clone()), Some(second.clone()));
        let found = db
            .run(move |tx| {
                async move {
                    let before = find(tx, &agent()).await?;
                    upsert(tx, &first).await?;
                    let stored = find(tx, &agent()).await?;
                    upsert(tx, &second).await?;
                    Ok((before, stored, find(tx, &agent()).await?))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, expected);
    }
}
