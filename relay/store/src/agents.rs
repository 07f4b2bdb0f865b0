//! The `agents` table: who can be reached, and how it answers calls.

use shared::ids::AgentId;
use shared::model::{LimitsPatch, RecipientPolicy, Responder, Tier, Timestamp};

use crate::value::{from_row, params, text_enum};
use crate::{Conn, Result, Row, StoreError, directory_version};

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
    /// An IANA name; the setting's if there is none.
    pub time_zone: Option<String>,
    /// The setting's if there is none.
    pub recipients: Option<RecipientPolicy>,
}

from_row!(Agent {
    id,
    name,
    greeting,
    system_prompt,
    voice,
    language,
    responder,
    status,
    created_at,
    time_zone,
    recipients,
});

text_enum!(
    /// Whether an agent may act. The channels of an agent have the same texts.
    AgentStatus {
        Active = "active",
        Blocked = "blocked",
        /// It was given up; its rows stay, for the record.
        Released = "released",
    }
);

/// What decides on whether and how much an agent may act.
#[derive(Clone, Debug, PartialEq)]
pub struct Terms {
    pub status: AgentStatus,
    pub time_zone: Option<String>,
    pub recipients: Option<RecipientPolicy>,
    /// The agent's own limits.
    pub overrides: LimitsPatch,
    pub tier: Option<Tier>,
    pub markup_percent: i64,
}

impl TryFrom<Row> for Terms {
    type Error = StoreError;
    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            status: row.get("status")?,
            time_zone: row.get("time_zone")?,
            recipients: row.get("recipients")?,
            tier: row.get("tier")?,
            markup_percent: row.get("markup_percent")?,
            overrides: row.try_into()?,
        })
    }
}

/// Gives false if the agent is there already, and leaves it as it is.
pub async fn insert_if_absent(conn: &mut Conn, agent: &Agent) -> Result<bool> {
    let inserted = conn
        .execute(
            "INSERT INTO agents
               (id, name, greeting, system_prompt, voice, language, responder, status, created_at, time_zone,
                recipients)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
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
                agent.time_zone,
                agent.recipients,
            ],
        )
        .await?;
    directory_version::bump_if(conn, inserted).await
}

/// The agent with this id.
pub async fn find(conn: &mut Conn, id: &AgentId) -> Result<Option<Agent>> {
    conn.find("SELECT * FROM agents WHERE id = $1", params![id]).await
}

/// All agents, by id.
pub async fn list(conn: &mut Conn) -> Result<Vec<Agent>> {
    conn.list("SELECT * FROM agents ORDER BY id", &[]).await
}

/// What is agreed for the agent, read for every one of its actions.
pub async fn find_terms(conn: &mut Conn, id: &AgentId) -> Result<Option<Terms>> {
    conn.find(
        "SELECT a.status, a.time_zone, a.recipients, b.tier, COALESCE(b.markup_percent, 0) AS markup_percent,
                l.max_actions_per_minute, l.max_actions_per_hour, l.max_actions_per_day,
                l.max_spend_per_day_micros, l.max_spend_per_month_micros, l.max_call_duration_minutes,
                l.max_calls_per_day_to_same_number
         FROM agents a
         LEFT JOIN spending_limits l ON l.agent_id = a.id
         LEFT JOIN billing_config b ON b.agent_id = a.id
         WHERE a.id = $1",
        params![id],
    )
    .await
}

/// Gives false if there is no such agent.
pub async fn set_status(conn: &mut Conn, id: &AgentId, status: AgentStatus) -> Result<bool> {
    let changed = conn.execute("UPDATE agents SET status = $2 WHERE id = $1", params![id, status]).await?;
    directory_version::bump_if(conn, changed).await
}

/// Gives false if there is no such agent. `None`: the setting's.
pub async fn set_time_zone(conn: &mut Conn, id: &AgentId, time_zone: Option<&str>) -> Result<bool> {
    let sql = "UPDATE agents SET time_zone = $2 WHERE id = $1";
    let changed = conn.execute(sql, params![id, time_zone]).await?;
    directory_version::bump_if(conn, changed).await
}

/// Gives false if there is no such agent. `None`: the setting's.
pub async fn set_recipients(
    conn: &mut Conn,
    id: &AgentId,
    recipients: Option<RecipientPolicy>,
) -> Result<bool> {
    let sql = "UPDATE agents SET recipients = $2 WHERE id = $1";
    let changed = conn.execute(sql, params![id, recipients]).await?;
    directory_version::bump_if(conn, changed).await
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use rstest::rstest;
    use shared::model::Micros;

    use super::*;
    use crate::billing_config::{self, BillingConfig};
    use crate::spending_limits;
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
            time_zone: Some("Europe/Berlin".to_owned()),
            recipients: Some(RecipientPolicy::ApproveNew),
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
    async fn agents_are_listed_by_id_whatever_their_status(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let agents = [agent("a", AgentStatus::Blocked), agent("b", AgentStatus::Released)];
        let expected = agents.to_vec();
        let found = db
            .run(move |tx| {
                async move {
                    for agent in agents.iter().rev() {
                        insert_if_absent(tx, agent).await?;
                    }
                    list(tx).await
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

    #[rstest]
    #[tokio::test]
    async fn what_is_set_is_set_for_one_agent(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let before = [agent("a", AgentStatus::Active), agent("b", AgentStatus::Active)];
        let changed =
            Agent { status: AgentStatus::Released, recipients: None, time_zone: None, ..before[0].clone() };
        let expected = ([true, true, true, false, false, false], vec![changed, before[1].clone()]);
        let found = db
            .run(move |tx| {
                async move {
                    for agent in &before {
                        insert_if_absent(tx, agent).await?;
                    }
                    let nobody = "nobody".parse().unwrap();
                    let changed = [
                        set_status(tx, &before[0].id, AgentStatus::Released).await?,
                        set_recipients(tx, &before[0].id, None).await?,
                        set_time_zone(tx, &before[0].id, None).await?,
                        set_status(tx, &nobody, AgentStatus::Blocked).await?,
                        set_recipients(tx, &nobody, Some(RecipientPolicy::Open)).await?,
                        set_time_zone(tx, &nobody, Some("Europe/Berlin")).await?,
                    ];
                    Ok((changed, list(tx).await?))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, expected);
    }

    #[rstest]
    #[tokio::test]
    async fn the_terms_are_the_agent_s_with_its_limits_and_its_tier(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let overrides = LimitsPatch {
            max_actions_per_hour: Some(7),
            max_spend_per_month: Some(Micros(8)),
            ..LimitsPatch::default()
        };
        let bare = Terms {
            status: AgentStatus::Blocked,
            time_zone: Some("Europe/Berlin".to_owned()),
            recipients: Some(RecipientPolicy::ApproveNew),
            overrides: LimitsPatch::default(),
            tier: None,
            markup_percent: 0,
        };
        let full = Terms { overrides, tier: Some(Tier::Pro), markup_percent: 20, ..bare.clone() };
        let billing = BillingConfig {
            agent_id: "a".parse().unwrap(),
            tier: Some(Tier::Pro),
            markup_percent: 20,
            billing_email: None,
            updated_at: at(1),
        };
        let found = db
            .run(move |tx| {
                async move {
                    let id = &billing.agent_id;
                    insert_if_absent(tx, &agent("a", AgentStatus::Blocked)).await?;
                    let before = find_terms(tx, id).await?;
                    spending_limits::upsert(tx, id, &overrides, at(1)).await?;
                    billing_config::upsert(tx, &billing).await?;
                    Ok((before, find_terms(tx, id).await?, find_terms(tx, &"nobody".parse().unwrap()).await?))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, (Some(bare), Some(full), None));
    }
}
