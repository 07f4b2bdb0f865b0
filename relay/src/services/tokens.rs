//! Tokens: made, listed, replaced and taken back. Only their hashes are stored.

use std::time::Duration;

use futures_util::FutureExt;
use relay_core::token::{self, Role};
use relay_store::agent_tokens::{AgentToken, TokenRole};
use relay_store::{Conn, Database, agent_tokens, agents};
use shared::ids::{AgentId, TokenId};
use shared::model::Timestamp;

use super::ServiceError;
use super::audit::{self, Act};
use super::identity::Admin;
use crate::config::Secret;
use crate::random;

/// A token as it is shown, once.
#[derive(Debug)]
pub struct IssuedToken {
    pub id: TokenId,
    pub secret: Secret,
    pub expires_at: Option<Timestamp>,
}

/// Makes a token for an agent, or for an admin who is that agent where none is named; only its hash is stored.
pub async fn create(
    db: &Database,
    agent: &AgentId,
    role: Role,
    lifetime: Option<Duration>,
    now: Timestamp,
) -> Result<IssuedToken, ServiceError> {
    let agent = agent.clone();
    db.transaction::<_, ServiceError, _>(move |tx| {
        async move {
            if agents::find(tx, &agent).await?.is_none() {
                return Err(ServiceError::NotFound("agent"));
            }
            issue(tx, (&agent, role), lifetime, ("operator", now)).await
        }
        .boxed()
    })
    .await
}

/// Makes a token in a transaction that does more. `by` is for the audit log.
pub(crate) async fn issue(
    tx: &mut Conn,
    (agent, role): (&AgentId, Role),
    lifetime: Option<Duration>,
    (by, now): (&str, Timestamp),
) -> Result<IssuedToken, ServiceError> {
    let secret = token::format(role, &random::bytes());
    let row = AgentToken {
        id: TokenId::generate(),
        agent_id: agent.clone(),
        role: match role {
            Role::Agent => TokenRole::Agent,
            Role::Admin => TokenRole::Admin,
        },
        hash: token::hash(&secret),
        label: String::new(),
        created_at: now,
        expires_at: lifetime.map(|lifetime| now.plus(lifetime)),
        revoked_at: None,
        last_used_at: None,
    };
    let detail = [("agent", agent.as_str()), ("role", row.role.as_str())];
    audit::append(tx, now, Act(by, "token.created", row.id.as_str()), &detail).await?;
    agent_tokens::insert(tx, &row).await?;
    Ok(IssuedToken { id: row.id, secret: Secret::new(secret), expires_at: row.expires_at })
}

/// The tokens of one agent or of all, oldest first.
pub async fn list(db: &Database, agent: Option<AgentId>) -> Result<Vec<AgentToken>, ServiceError> {
    db.read(move |conn| async move { Ok(agent_tokens::list(conn, agent.as_ref()).await?) }.boxed()).await
}

/// Takes a token back. Its open sessions can do nothing more.
pub async fn revoke(db: &Database, id: TokenId, now: Timestamp) -> Result<(), ServiceError> {
    db.transaction(move |tx| {
        async move {
            let by = Admin::operator();
            audit::append(tx, now, Act(by.actor(), "token.revoked", id.as_str()), &[]).await?;
            if agent_tokens::revoke(tx, &id, now).await? {
                Ok(())
            } else {
                Err(ServiceError::NotFound("open token"))
            }
        }
        .boxed()
    })
    .await
}

/// Takes a token back, and makes another with the same rights that ends when it would have.
pub async fn rotate(
    db: &Database,
    id: TokenId,
    now: Timestamp,
) -> Result<(AgentToken, IssuedToken), ServiceError> {
    db.transaction(move |tx| {
        async move {
            let old =
                agent_tokens::find(tx, &id).await?.filter(|old| old.expires_at.is_none_or(|end| now < end));
            let old = old.ok_or(ServiceError::NotFound("open token"))?;
            let role = match old.role {
                TokenRole::Agent => Role::Agent,
                TokenRole::Admin => Role::Admin,
            };
            let (by, left) = (Admin::operator(), old.expires_at.map(|end| end.since(now)));
            let issued = issue(tx, (&old.agent_id, role), left, (by.actor(), now)).await?;
            let detail = [("replaced_by", issued.id.as_str())];
            audit::append(tx, now, Act(by.actor(), "token.revoked", id.as_str()), &detail).await?;
            // Revoked already, or by somebody else in this moment: then there is nothing to replace.
            if !agent_tokens::revoke(tx, &id, now).await? {
                return Err(ServiceError::NotFound("open token"));
            }
            Ok((old, issued))
        }
        .boxed()
    })
    .await
}
