//! The `allowed_recipients` table: whom an agent may reach when it may reach nobody else.

use shared::ids::AgentId;
use shared::model::Timestamp;

use crate::value::params;
use crate::{Conn, Result};

/// Gives false if the address is on the agent's list already.
pub async fn insert_if_absent(
    conn: &mut Conn,
    agent_id: &AgentId,
    address: &str,
    now: Timestamp,
) -> Result<bool> {
    let sql = "INSERT INTO allowed_recipients (agent_id, address, created_at) VALUES ($1, $2, $3)
               ON CONFLICT (agent_id, address) DO NOTHING";
    Ok(conn.execute(sql, params![agent_id, address, now]).await? == 1)
}

/// Gives false if the address is not on the agent's list.
pub async fn remove(conn: &mut Conn, agent_id: &AgentId, address: &str) -> Result<bool> {
    let sql = "DELETE FROM allowed_recipients WHERE agent_id = $1 AND address = $2";
    Ok(conn.execute(sql, params![agent_id, address]).await? == 1)
}

/// Whether the address is on the agent's list.
pub async fn contains(conn: &mut Conn, agent_id: &AgentId, address: &str) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM allowed_recipients WHERE agent_id = $1 AND address = $2) AS n";
    conn.number(sql, params![agent_id, address]).await
}

/// The agent's list, by address.
pub async fn list(conn: &mut Conn, agent_id: &AgentId) -> Result<Vec<String>> {
    let sql = "SELECT address FROM allowed_recipients WHERE agent_id = $1 ORDER BY address";
    let rows = conn.query(sql, params![agent_id]).await?;
    rows.iter().map(|row| row.get("address")).collect()
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
    async fn an_address_is_on_the_list_of_one_agent_until_it_is_removed(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let found = db
            .run(move |tx| {
                async move {
                    let inserted = [
                        insert_if_absent(tx, &agent(), "+14155550123", at(1)).await?,
                        insert_if_absent(tx, &agent(), "+14155550123", at(2)).await?,
                        insert_if_absent(tx, &agent(), "+12125550100", at(3)).await?,
                    ];
                    let before = list(tx, &agent()).await?;
                    let removed = [
                        remove(tx, &other(), "+14155550123").await?,
                        remove(tx, &agent(), "+14155550123").await?,
                        remove(tx, &agent(), "+14155550123").await?,
                    ];
                    Ok((inserted, before, removed, list(tx, &agent()).await?))
                }
                .boxed()
            })
            .await;
        let (one, two) = ("+12125550100".to_owned(), "+14155550123".to_owned());
        let expected = ([true, false, true], vec![one.clone(), two], [false, true, false], vec![one]);
        assert_eq!(found, expected);
    }

    #[rstest]
    #[tokio::test]
    async fn a_list_contains_what_was_put_on_it_and_is_its_agent_s_alone(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let found = db
            .run(move |tx| {
                async move {
                    insert_if_absent(tx, &agent(), "ann@example.org", at(1)).await?;
                    Ok([
                        contains(tx, &agent(), "ann@example.org").await?,
                        contains(tx, &agent(), "bob@example.org").await?,
                        contains(tx, &other(), "ann@example.org").await?,
                    ])
                }
                .boxed()
            })
            .await;
        assert_eq!(found, [true, false, false]);
    }
}
