//! The `whatsapp_pool` table: WhatsApp senders that a person has registered, and that agents are given one of.

use shared::ids::AgentId;
use shared::model::Timestamp;

use crate::value::{from_row, params};
use crate::{Conn, Result};

/// A row of `whatsapp_pool`.
#[derive(Clone, Debug, PartialEq)]
pub struct PooledSender {
    pub address: String,
    pub provider: String,
    pub agent_id: Option<AgentId>,
    pub assigned_at: Option<Timestamp>,
}

from_row!(PooledSender { address, provider, agent_id, assigned_at });

/// Gives false if the sender is there already, and leaves it as it is.
pub async fn add_if_absent(conn: &mut Conn, address: &str, provider: &str) -> Result<bool> {
    let sql =
        "INSERT INTO whatsapp_pool (address, provider) VALUES ($1, $2) ON CONFLICT (address) DO NOTHING";
    Ok(conn.execute(sql, params![address, provider]).await? == 1)
}

/// Gives the agent the sender that it has already, or else a free one. `None` if there is none.
pub async fn take(
    conn: &mut Conn,
    agent_id: &AgentId,
    provider: &str,
    now: Timestamp,
) -> Result<Option<String>> {
    // Two transactions on Postgres would want the same free one, and the slower would go away with nothing.
    conn.lock("whatsapp_pool").await?;
    let sql = "UPDATE whatsapp_pool SET agent_id = $1, assigned_at = COALESCE(assigned_at, $3)
               WHERE address = (
                 SELECT address FROM whatsapp_pool WHERE provider = $2 AND (agent_id IS NULL OR agent_id = $1)
                 ORDER BY agent_id NULLS LAST, address LIMIT 1)
               RETURNING address";
    let taken = conn.query_opt(sql, params![agent_id, provider, now]).await?;
    taken.map(|row| row.get("address")).transpose()
}

/// Makes the agent's senders free, and gives their number.
pub async fn give_back(conn: &mut Conn, agent_id: &AgentId) -> Result<u64> {
    let sql = "UPDATE whatsapp_pool SET agent_id = NULL, assigned_at = NULL WHERE agent_id = $1";
    conn.execute(sql, params![agent_id]).await
}

/// All senders, by address.
pub async fn list(conn: &mut Conn) -> Result<Vec<PooledSender>> {
    conn.list("SELECT * FROM whatsapp_pool ORDER BY address", &[]).await
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

    fn sender(address: &str, holder: Option<(AgentId, i64)>) -> PooledSender {
        let (agent_id, assigned_at) = holder.map(|(agent_id, millis)| (agent_id, at(millis))).unzip();
        PooledSender { address: address.to_owned(), provider: "twilio".to_owned(), agent_id, assigned_at }
    }

    async fn add(tx: &mut Conn, addresses: &[&str]) -> Result<()> {
        for address in addresses {
            add_if_absent(tx, address, "twilio").await?;
        }
        Ok(())
    }

    #[rstest]
    #[tokio::test]
    async fn an_agent_keeps_the_sender_that_it_has_until_it_gives_it_back(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let (one, two) = ("+14155550101", "+14155550102");
        let found = db
            .run(move |tx| {
                async move {
                    add(tx, &[one, two]).await?;
                    let taken = [
                        take(tx, &other(), "twilio", at(1)).await?,
                        take(tx, &agent(), "twilio", at(2)).await?,
                        take(tx, &agent(), "twilio", at(3)).await?,
                        take(tx, &"third".parse().unwrap(), "twilio", at(4)).await?,
                    ];
                    let held = list(tx).await?;
                    let given_back = [give_back(tx, &other()).await?, give_back(tx, &other()).await?];
                    Ok((taken, held, given_back, list(tx).await?))
                }
                .boxed()
            })
            .await;
        let (first, second) = (Some(one.to_owned()), Some(two.to_owned()));
        let held = sender(two, Some((agent(), 2)));
        let expected = (
            [first, second.clone(), second, None],
            vec![sender(one, Some((other(), 1))), held.clone()],
            [1, 0],
            vec![sender(one, None), held],
        );
        assert_eq!(found, expected);
    }

    #[rstest]
    #[tokio::test]
    async fn a_sender_is_there_once_and_serves_its_provider_only(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let found = db
            .run(move |tx| {
                async move {
                    let added = [
                        add_if_absent(tx, "+14155550101", "twilio").await?,
                        add_if_absent(tx, "+14155550101", "simulated").await?,
                    ];
                    Ok((added, take(tx, &agent(), "simulated", at(1)).await?, list(tx).await?))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, ([true, false], None, vec![sender("+14155550101", None)]));
    }

    async fn take_one(db: Database, n: i64) -> Result<Option<String>> {
        let id: AgentId = format!("agent-{n}").parse().expect("it has the form");
        db.transaction(move |tx| async move { take(tx, &id, "twilio", at(n)).await }.boxed()).await
    }

    #[rstest]
    #[tokio::test(flavor = "multi_thread")]
    async fn each_sender_is_given_to_one_of_those_who_race_for_them(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let senders = ["+14155550101", "+14155550102", "+14155550103"];
        db.run(move |tx| async move { add(tx, &senders).await }.boxed()).await;
        let other = db.open_again().await.unwrap();
        let handles = [&db.db, &other].into_iter().cycle();
        let tasks: JoinSet<_> = handles.zip(0..16).map(|(db, n)| take_one(db.clone(), n)).collect();
        let taken: Vec<Option<String>> = tasks.join_all().await.into_iter().collect::<Result<_>>().unwrap();
        let mut given: Vec<_> = taken.into_iter().flatten().collect();
        given.sort();
        assert_eq!(given, senders);
    }
}
