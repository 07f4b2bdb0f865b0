//! The `agent_tokens` table: hashes of the tokens that sessions present. Whether one is still good is decided
//! by the caller.

use shared::ids::{AgentId, TokenId};
use shared::model::Timestamp;

use crate::value::{from_row, params, text_enum};
use crate::{Conn, Result};

/// A row of `agent_tokens`.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentToken {
    pub id: TokenId,
    pub agent_id: AgentId,
    pub role: TokenRole,
    /// Hexadecimal SHA-256 of the token.
    pub hash: String,
    pub label: String,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
    pub last_used_at: Option<Timestamp>,
}

from_row!(AgentToken { id, agent_id, role, hash, label, created_at, expires_at, revoked_at, last_used_at });

text_enum!(
    /// What a token allows.
    TokenRole { Agent = "agent", Admin = "admin" }
);

/// A conflict if the token exists.
pub async fn insert(conn: &mut Conn, token: &AgentToken) -> Result<()> {
    conn.execute(
        "INSERT INTO agent_tokens
           (id, agent_id, role, hash, label, created_at, expires_at, revoked_at, last_used_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        params![
            token.id,
            token.agent_id,
            token.role,
            token.hash,
            token.label,
            token.created_at,
            token.expires_at,
            token.revoked_at,
            token.last_used_at,
        ],
    )
    .await
    .map(drop)
}

/// The token with this hash, be it expired or revoked.
pub async fn find_by_hash(conn: &mut Conn, hash: &str) -> Result<Option<AgentToken>> {
    conn.find("SELECT * FROM agent_tokens WHERE hash = $1", params![hash]).await
}

/// The token with this id, be it expired or revoked.
pub async fn find(conn: &mut Conn, id: &TokenId) -> Result<Option<AgentToken>> {
    conn.find("SELECT * FROM agent_tokens WHERE id = $1", params![id]).await
}

/// The tokens of one agent or of all, oldest first.
pub async fn list(conn: &mut Conn, agent_id: Option<&AgentId>) -> Result<Vec<AgentToken>> {
    let sql = "SELECT * FROM agent_tokens WHERE CAST($1 AS TEXT) IS NULL OR agent_id = $1
               ORDER BY created_at, id";
    conn.list(sql, params![agent_id]).await
}

/// Notes that it was used.
pub async fn touch(conn: &mut Conn, id: &TokenId, now: Timestamp) -> Result<()> {
    conn.execute("UPDATE agent_tokens SET last_used_at = $2 WHERE id = $1", params![id, now]).await.map(drop)
}

/// Gives false if it is revoked already, or if there is no such token.
pub async fn revoke(conn: &mut Conn, id: &TokenId, now: Timestamp) -> Result<bool> {
    let sql = "UPDATE agent_tokens SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL";
    Ok(conn.execute(sql, params![id, now]).await? == 1)
}

/// Revokes what the agent still has, and gives the number of tokens.
pub async fn revoke_all(conn: &mut Conn, agent_id: &AgentId, now: Timestamp) -> Result<u64> {
    let sql = "UPDATE agent_tokens SET revoked_at = $2 WHERE agent_id = $1 AND revoked_at IS NULL";
    conn.execute(sql, params![agent_id, now]).await
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use rstest::rstest;

    use super::*;
    use crate::testing::{agent, at, open};
    use crate::{Backend, StoreError};

    fn token(agent_id: AgentId, role: TokenRole, hash: &str) -> AgentToken {
        AgentToken {
            id: TokenId::generate(),
            agent_id,
            role,
            hash: hash.to_owned(),
            label: "laptop".to_owned(),
            created_at: at(5),
            expires_at: Some(at(50)),
            revoked_at: None,
            last_used_at: None,
        }
    }

    #[rstest]
    #[tokio::test]
    async fn a_token_is_found_by_its_hash_and_remembers_its_last_use(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let token = token(agent(), TokenRole::Admin, "ab");
        let expected = (Some(AgentToken { last_used_at: Some(at(9)), ..token.clone() }), None);
        let found = db
            .run(move |tx| {
                async move {
                    insert(tx, &token).await?;
                    touch(tx, &token.id, at(9)).await?;
                    Ok((find_by_hash(tx, "ab").await?, find_by_hash(tx, "cd").await?))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, expected);
    }

    #[rstest]
    #[tokio::test]
    async fn tokens_are_listed_for_one_agent_or_all(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let mine = token(agent(), TokenRole::Agent, "ab");
        let other = token("other".parse().unwrap(), TokenRole::Agent, "cd");
        let expected = (vec![mine.clone()], vec![mine.clone(), other.clone()]);
        let found = db
            .run(move |tx| {
                async move {
                    insert(tx, &mine).await?;
                    insert(tx, &other).await?;
                    Ok((list(tx, Some(&agent())).await?, list(tx, None).await?))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, expected);
    }

    #[rstest]
    #[tokio::test]
    async fn two_tokens_never_share_a_hash(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
        let Some(db) = open(backend).await else { return };
        let taken: Result<()> = db
            .db
            .transaction(move |tx| {
                async move {
                    insert(tx, &token(agent(), TokenRole::Agent, "ab")).await?;
                    insert(tx, &token(agent(), TokenRole::Admin, "ab")).await
                }
                .boxed()
            })
            .await;
        assert!(matches!(taken, Err(StoreError::Conflict(_))), "{taken:?}");
    }

    #[rstest]
    #[tokio::test]
    async fn a_token_is_revoked_once(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
        let Some(db) = open(backend).await else { return };
        let token = token(agent(), TokenRole::Agent, "ab");
        let revoked = AgentToken { revoked_at: Some(at(7)), ..token.clone() };
        let expected = ([true, false, false], Some(revoked), None);
        let found = db
            .run(move |tx| {
                async move {
                    insert(tx, &token).await?;
                    let nobodys = TokenId::generate();
                    let revoked = [
                        revoke(tx, &token.id, at(7)).await?,
                        revoke(tx, &token.id, at(8)).await?,
                        revoke(tx, &nobodys, at(8)).await?,
                    ];
                    Ok((revoked, find(tx, &token.id).await?, find(tx, &nobodys).await?))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, expected);
    }

    #[rstest]
    #[tokio::test]
    async fn all_that_an_agent_still_has_is_revoked(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let tokens = [
            AgentToken { revoked_at: Some(at(3)), ..token(agent(), TokenRole::Agent, "ab") },
            token(agent(), TokenRole::Agent, "cd"),
            token("other".parse().unwrap(), TokenRole::Agent, "ef"),
        ];
        let expected = (1, vec![Some(at(3)), Some(at(7)), None]);
        let found = db
            .run(move |tx| {
                async move {
                    for token in &tokens {
                        insert(tx, token).await?;
                    }
                    let count = revoke_all(tx, &agent(), at(7)).await?;
                    Ok((count, list(tx, None).await?.into_iter().map(|token| token.revoked_at).collect()))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, expected);
    }
}
