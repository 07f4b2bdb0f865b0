//! The `directory_version` table: one number, raised by every write to `agents` and `agent_channels`, so that
//! whoever keeps a copy of them in memory sees with one cheap read that it is stale.
//!
//! Raising it holds the row until the transaction ends: as with any row, the audit entry is appended first.

use crate::{Conn, Result};

/// Says that the directory has changed.
pub async fn bump(conn: &mut Conn) -> Result<()> {
    conn.execute("UPDATE directory_version SET n = n + 1 WHERE id = 1", &[]).await.map(drop)
}

/// The number; a higher one than before means a change.
pub async fn get(conn: &mut Conn) -> Result<i64> {
    conn.number("SELECT n FROM directory_version WHERE id = 1", &[]).await
}

/// Says so if a statement touched any row, and whether it did.
pub(crate) async fn bump_if(conn: &mut Conn, touched: u64) -> Result<bool> {
    if touched > 0 {
        bump(conn).await?;
    }
    Ok(touched > 0)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use rstest::rstest;
    use shared::ids::AgentId;
    use shared::model::{Channel, RecipientPolicy, Responder};

    use super::*;
    use crate::agent_channels::{self, AgentChannel};
    use crate::agents::{self, Agent, AgentStatus};
    use crate::testing::{agent, at, open};
    use crate::{Backend, Conn};

    async fn insert(tx: &mut Conn) -> Result<()> {
        let row = Agent {
            id: agent(),
            name: "Reception".to_owned(),
            greeting: None,
            system_prompt: None,
            voice: None,
            language: None,
            responder: Responder::Auto,
            status: AgentStatus::Active,
            created_at: at(1),
            time_zone: None,
            recipients: None,
        };
        agents::insert_if_absent(tx, &row).await.map(drop)
    }

    async fn attach(tx: &mut Conn) -> Result<()> {
        let row = AgentChannel {
            agent_id: agent(),
            channel: Channel::Sms,
            address: "+14155550100".to_owned(),
            provider: "twilio".to_owned(),
            status: AgentStatus::Active,
            created_at: at(1),
        };
        agent_channels::upsert(tx, &row).await
    }

    #[rstest]
    #[tokio::test]
    async fn every_write_to_the_directory_raises_the_number_and_nothing_else_does(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let found = db
            .run(move |tx| {
                async move {
                    let nobody: AgentId = "nobody".parse().expect("it has the form");
                    let policy = Some(RecipientPolicy::Open);
                    let mut numbers = vec![get(tx).await?];
                    insert(tx).await?;
                    numbers.push(get(tx).await?);
                    insert(tx).await?;
                    numbers.push(get(tx).await?);
                    agents::set_status(tx, &agent(), AgentStatus::Blocked).await?;
                    numbers.push(get(tx).await?);
                    agents::set_status(tx, &nobody, AgentStatus::Blocked).await?;
                    numbers.push(get(tx).await?);
                    agents::set_recipients(tx, &agent(), policy).await?;
                    numbers.push(get(tx).await?);
                    agents::set_time_zone(tx, &agent(), Some("Europe/Berlin")).await?;
                    numbers.push(get(tx).await?);
                    attach(tx).await?;
                    numbers.push(get(tx).await?);
                    agent_channels::delete(tx, &agent(), Channel::Sms).await?;
                    numbers.push(get(tx).await?);
                    agent_channels::delete(tx, &agent(), Channel::Sms).await?;
                    numbers.push(get(tx).await?);
                    Ok(numbers)
                }
                .boxed()
            })
            .await;
        assert_eq!(found, [0, 1, 1, 2, 2, 3, 4, 5, 6, 6]);
    }
}
