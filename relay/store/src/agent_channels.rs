//! The `agent_channels` table: the addresses that an agent has.

use shared::ids::AgentId;
use shared::model::{Channel, Timestamp};

use crate::agents::AgentStatus;
use crate::value::{from_row, params};
use crate::{Conn, Result, directory_version};

/// A row of `agent_channels`.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentChannel {
    pub agent_id: AgentId,
    pub channel: Channel,
    pub address: String,
    pub provider: String,
    pub status: AgentStatus,
    pub created_at: Timestamp,
}

from_row!(AgentChannel { agent_id, channel, address, provider, status, created_at });

/// Gives the agent this address on the channel, instead of the one it has. A conflict if another agent has it.
pub async fn upsert(conn: &mut Conn, row: &AgentChannel) -> Result<()> {
    conn.execute(
        "INSERT INTO agent_channels (agent_id, channel, address, provider, status, created_at)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (agent_id, channel) DO UPDATE SET
           address = excluded.address, provider = excluded.provider, status = excluded.status",
        params![row.agent_id, row.channel, row.address, row.provider, row.status, row.created_at],
    )
    .await?;
    directory_version::bump(conn).await
}

/// Takes the address away. Gives false if the agent has none on this channel.
pub async fn delete(conn: &mut Conn, agent_id: &AgentId, channel: Channel) -> Result<bool> {
    let sql = "DELETE FROM agent_channels WHERE agent_id = $1 AND channel = $2";
    let deleted = conn.execute(sql, params![agent_id, channel]).await?;
    directory_version::bump_if(conn, deleted).await
}

/// What the agent has on this channel.
pub async fn find(conn: &mut Conn, agent_id: &AgentId, channel: Channel) -> Result<Option<AgentChannel>> {
    let sql = "SELECT * FROM agent_channels WHERE agent_id = $1 AND channel = $2";
    conn.find(sql, params![agent_id, channel]).await
}

/// All that the agent has, by channel.
pub async fn list(conn: &mut Conn, agent_id: &AgentId) -> Result<Vec<AgentChannel>> {
    conn.list("SELECT * FROM agent_channels WHERE agent_id = $1 ORDER BY channel", params![agent_id]).await
}

/// Whose address it is.
pub async fn find_by_address(
    conn: &mut Conn,
    channel: Channel,
    address: &str,
) -> Result<Option<AgentChannel>> {
    let sql = "SELECT * FROM agent_channels WHERE channel = $1 AND address = $2";
    conn.find(sql, params![channel, address]).await
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use rstest::rstest;

    use super::*;
    use crate::testing::{agent, at, open};
    use crate::{Backend, StoreError};

    fn row(agent_id: AgentId, channel: Channel, address: &str) -> AgentChannel {
        AgentChannel {
            agent_id,
            channel,
            address: address.to_owned(),
            provider: "twilio".to_owned(),
            status: AgentStatus::Active,
            created_at: at(5),
        }
    }

    #[rstest]
    #[tokio::test]
    async fn an_address_on_a_channel_replaces_the_one_before(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let first = row(agent(), Channel::Sms, "+14155550100");
        let second =
            AgentChannel { status: AgentStatus::Blocked, ..row(agent(), Channel::Sms, "+14155550101") };
        let email = row(agent(), Channel::Email, "a@example.com");
        let expected =
            (Some(second.clone()), None, Some(second.clone()), None, vec![email.clone(), second.clone()]);
        let found = db
            .run(move |tx| {
                async move {
                    for row in [&first, &email, &second] {
                        upsert(tx, row).await?;
                    }
                    Ok((
                        find(tx, &agent(), Channel::Sms).await?,
                        find(tx, &agent(), Channel::Voice).await?,
                        find_by_address(tx, Channel::Sms, "+14155550101").await?,
                        find_by_address(tx, Channel::Sms, "+14155550100").await?,
                        list(tx, &agent()).await?,
                    ))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, expected);
    }

    #[rstest]
    #[tokio::test]
    async fn an_address_belongs_to_one_agent(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
        let Some(db) = open(backend).await else { return };
        let taken: Result<()> = db
            .db
            .transaction(move |tx| {
                async move {
                    upsert(tx, &row(agent(), Channel::Sms, "+14155550100")).await?;
                    upsert(tx, &row("other".parse().unwrap(), Channel::Sms, "+14155550100")).await
                }
                .boxed()
            })
            .await;
        assert!(matches!(taken, Err(StoreError::Conflict(_))), "{taken:?}");
    }

    #[rstest]
    #[tokio::test]
    async fn an_address_that_is_given_up_is_free(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let first = row(agent(), Channel::Sms, "+14155550100");
        let heir = row("other".parse().unwrap(), Channel::Sms, "+14155550100");
        let expected = ([true, false], Some(heir.clone()));
        let found = db
            .run(move |tx| {
                async move {
                    upsert(tx, &first).await?;
                    let deleted = [
                        delete(tx, &agent(), Channel::Sms).await?,
                        delete(tx, &agent(), Channel::Sms).await?,
                    ];
                    upsert(tx, &heir).await?;
                    Ok((deleted, find_by_address(tx, Channel::Sms, "+14155550100").await?))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, expected);
    }
}
