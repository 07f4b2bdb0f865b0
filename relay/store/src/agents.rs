//! The `agents` table: who can be reached, and how it answers calls.

use shared::ids::AgentId;
use shared::model::{Responder, Timestamp};

use crate::value::{from_row, params, text_values};
use crate::{Conn, Result};

/// A row of `agents`.
#[derive(Clone, Debug, PartialEq)]
pub struct Agent {
    pub id: AgentId,
    pub name: String,
    pub greeting: Option<String>,
    pub system_prompt: Option<String>,
    pub voice: Option<String>,
    pub language: Option<String>,
    pub responder: Responder,
    pub status: AgentStatus,
    pub created_at: Timestamp,
}

from_row!(Agent { id, name, greeting, system_prompt, voice, language, responder, status, created_at });

/// Whether an agent may act. The channels of an agent have the same two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentStatus {
    Active,
    Blocked,
}

text_values!(AgentStatus);

impl AgentStatus {
    /// Its text in the database, and for people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Blocked => "blocked",
        }
    }
}

impl std::str::FromStr for AgentStatus {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Active, Self::Blocked].into_iter().find(|status| status.as_str() == text).ok_or(())
    }
}

/// Gives false if the agent is there already, and leaves it as it is.
pub async fn insert_if_absent(conn: &mut Conn, agent: &Agent) -> Result<bool> {
    let inserted = conn
        .execute(
            "INSERT INTO agents
               (id, name, greeting, system_prompt, voice, language, responder, status, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
             ON CONFLICT (id) DO NOTHING",
            params![
                agent.id,
                agent.name,
                agent.greeting,
                agent.system_prompt,
                agent.voice,
                agent.language,
                agent.responder,
                agent.status,
                agent.created_at,
            ],
        )
        .await?;
    Ok(inserted == 1)
}

/// The agent with this id.
pub async fn find(conn: &mut Conn, id: &AgentId) -> Result<Option<Agent>> {
    conn.find("SELECT * FROM agents WHERE id = $1", params![id]).await
}

/// All agents, by id.
pub async fn list(conn: &mut Conn) -> Result<Vec<Agent>> {
    conn.list("SELECT * FROM agents ORDER BY id", &[]).await
}

/// How many agents are not blocked.
pub async fn count_active(conn: &mut Conn) -> Result<i64> {
    conn.number("SELECT COUNT(*) AS n FROM agents WHERE status = 'active'", &[]).await
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use rstest::rstest;

    use super::*;
    use crate::testing::{agent as default_agent, at, open};
    use crate::{Backend, StoreError};

    fn agent(id: &str, status: AgentStatus) -> Agent {
        Agent {
            id: id.parse().unwrap(),
            name: "Reception".to_owned(),
            greeting: Some("Hallo, wie geht's?".to_owned()),
            system_prompt: None,
            voice: None,
            language: Some("de-DE".to_owned()),
            responder: Responder::Auto,
            status,
            created_at: at(5),
        }
    }

    #[rstest]
    #[tokio::test]
    async fn an_agent_is_inserted_once_and_then_left_alone(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let (first, second) = (agent("default", AgentStatus::Active), agent("default", AgentStatus::Blocked));
        let expected = (true, false, Some(first.clone()), None);
        let found = db
            .run(move |tx| {
                async move {
                    Ok((
                        insert_if_absent(tx, &first).await?,
                        insert_if_absent(tx, &second).await?,
                        find(tx, &default_agent()).await?,
                        find(tx, &"nobody".parse().unwrap()).await?,
                    ))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, expected);
    }

    #[rstest]
    #[tokio::test]
    async fn blocked_agents_are_listed_but_not_counted(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let agents = [agent("a", AgentStatus::Active), agent("b", AgentStatus::Blocked)];
        let expected = (agents.to_vec(), 1);
        let found = db
            .run(move |tx| {
                async move {
                    for agent in agents.iter().rev() {
                        insert_if_absent(tx, agent).await?;
                    }
                    Ok((list(tx).await?, count_active(tx).await?))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, expected);
    }

    #[rstest]
    #[tokio::test]
    async fn a_column_that_cannot_be_read_is_named(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let read: Result<_> = db
            .db
            .transaction(move |tx| {
                async move {
                    insert_if_absent(tx, &agent("a", AgentStatus::Active)).await?;
                    tx.execute("UPDATE agents SET responder = 'parrot'", &[]).await?;
                    list(tx).await
                }
                .boxed()
            })
            .await;
        let Err(StoreError::Decode { column, .. }) = read else { panic!("{read:?}") };
        assert_eq!(column, "responder");
    }
}
