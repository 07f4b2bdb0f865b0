//! Agents and their tokens.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use futures_util::FutureExt;
use relay_core::token::{self, Role};
use relay_store::agent_channels::AgentChannel;
use relay_store::agent_tokens::{AgentToken, TokenRole};
use relay_store::agents::Agent;
use relay_store::{Conn, Database, agent_channels, agent_tokens, agents};
use shared::ids::{AgentId, TokenId};
use shared::model::{Channel, PhoneNumber, Timestamp};
use shared::protocol::Pool;

use super::ServiceError;
use super::audit::{self, Act};
use crate::config::{Config, Mode};
use crate::random;

/// The numbers of the simulated carrier's agents: reserved for fiction, so nobody has them.
pub const DEMO_NUMBER: &str = "+12025550100";
/// The number of [`rehearsal_agent`].
pub const REHEARSAL_NUMBER: &str = "+12025550199";

/// The agent that `comms-relay rehearse` plays, so that a rehearsal never touches anybody's inbox. Demo mode only;
/// takes no place in the pool.
#[must_use]
pub fn rehearsal_agent() -> AgentId {
    "rehearsal".parse().expect("it is a valid agent id")
}

/// An agent with its channels, as the relay keeps it at hand.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    pub agent: Agent,
    pub channels: Vec<AgentChannel>,
}

impl Profile {
    /// The agent's own address on a channel.
    #[must_use]
    pub fn address(&self, channel: Channel) -> Option<&str> {
        self.channels.iter().find(|own| own.channel == channel).map(|own| own.address.as_str())
    }

    /// The agent's own number on a channel that has one.
    #[must_use]
    pub fn number(&self, channel: Channel) -> Option<PhoneNumber> {
        self.address(channel)?.parse().ok()
    }
}

/// The agents at hand, so that a webhook reads no table to learn whose it is.
#[derive(Debug, Default)]
pub struct Directory(RwLock<HashMap<AgentId, Arc<Profile>>>);

impl Directory {
    pub(crate) fn new(profiles: Vec<Profile>) -> Self {
        Self(RwLock::new(profiles.into_iter().map(|p| (p.agent.id.clone(), Arc::new(p))).collect()))
    }

    /// The agent of this id.
    pub(crate) fn find(&self, id: &AgentId) -> Option<Arc<Profile>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// Every agent, in no order.
    pub(crate) fn all(&self) -> Vec<Arc<Profile>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// How much of the pool is taken.
    pub(crate) fn pool(&self, config: &Config) -> Pool {
        let taken = self.all().iter().filter(|profile| profile.agent.id != rehearsal_agent()).count();
        let active_agents = i64::try_from(taken).unwrap_or(i64::MAX);
        let max_agents = config.limits.pool;
        Pool { max_agents, active_agents, slots_remaining: (max_agents - active_agents).max(0) }
    }
}

/// Sees to it that the agents of a first start exist, and gives all that this mode has.
pub async fn ensure_first_agents(
    db: &Database,
    config: &Config,
    now: Timestamp,
) -> Result<Vec<Profile>, ServiceError> {
    let (provider, number) = match config.mode {
        Mode::Demo => ("simulated", Some(DEMO_NUMBER.to_owned())),
        Mode::Live => ("twilio", config.twilio.phone_number.as_ref().map(ToString::to_string)),
    };
    let mut first = vec![(AgentId::default_agent(), "Default agent", number)];
    if config.mode == Mode::Demo {
        first.push((rehearsal_agent(), "Rehearsal", Some(REHEARSAL_NUMBER.to_owned())));
    }
    db.transaction::<_, ServiceError, _>(move |tx| {
        async move {
            for (id, name, number) in first {
                ensure_agent(tx, &id, name, now).await?;
                if let Some(number) = number {
                    give_number(tx, &id, &number, provider, now).await?;
                }
            }
            Ok(())
        }
        .boxed()
    })
    .await?;
    // What the other mode left in the database is not for this one: no text may go out from a number of fiction.
    let of_this_mode = |profile: &Profile| config.mode == Mode::Demo || profile.agent.id != rehearsal_agent();
    let mut profiles: Vec<_> = list(db).await?.into_iter().filter(of_this_mode).collect();
    for profile in &mut profiles {
        profile.channels.retain(|channel| channel.provider == provider);
    }
    Ok(profiles)
}

async fn ensure_agent(tx: &mut Conn, id: &AgentId, name: &str, now: Timestamp) -> Result<(), ServiceError> {
    let agent = Agent {
        id: id.clone(),
        name: name.to_owned(),
        greeting: None,
        system_prompt: None,
        voice: None,
        language: None,
        responder: shared::model::Responder::Auto,
        status: agents::AgentStatus::Active,
        created_at: now,
    };
    if agents::insert_if_absent(tx, &agent).await? {
        audit::append(tx, now, Act("relay", "agent.created", id.as_str()), &[]).await?;
    }
    Ok(())
}

async fn give_number(
    tx: &mut Conn,
    id: &AgentId,
    number: &str,
    provider: &str,
    now: Timestamp,
) -> Result<(), ServiceError> {
    for channel in [Channel::Sms, Channel::Voice] {
        let wanted = AgentChannel {
            agent_id: id.clone(),
            channel,
            address: number.to_owned(),
            provider: provider.to_owned(),
            status: agents::AgentStatus::Active,
            created_at: now,
        };
        let present = agent_channels::find(tx, id, channel).await?;
        if present
            .is_none_or(|present| present.address != wanted.address || present.provider != wanted.provider)
        {
            agent_channels::upsert(tx, &wanted).await?;
            let detail = [("channel", channel.as_str()), ("provider", provider)];
            audit::append(tx, now, Act("relay", "channel.attached", id.as_str()), &detail).await?;
        }
    }
    Ok(())
}

/// Every agent with its channels.
pub async fn list(db: &Database) -> Result<Vec<Profile>, ServiceError> {
    db.read(|conn| {
        async move {
            let mut profiles = Vec::new();
            for agent in agents::list(conn).await? {
                let channels = agent_channels::list(conn, &agent.id).await?;
                profiles.push(Profile { agent, channels });
            }
            Ok(profiles)
        }
        .boxed()
    })
    .await
}

/// A token as it is shown, once.
#[derive(Debug)]
pub struct IssuedToken {
    pub id: TokenId,
    pub secret: crate::config::Secret,
    pub expires_at: Option<Timestamp>,
}

/// Makes a token for an agent; only its hash is stored.
pub async fn create_token(
    db: &Database,
    agent: &AgentId,
    role: Role,
    lifetime: Option<std::time::Duration>,
    now: Timestamp,
) -> Result<IssuedToken, ServiceError> {
    let secret = token::format(role, &random::bytes());
    let id = TokenId::generate();
    let row = AgentToken {
        id: id.clone(),
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
    let expires_at = row.expires_at;
    db.transaction::<_, ServiceError, _>(move |tx| {
        async move {
            if agents::find(tx, &row.agent_id).await?.is_none() {
                return Err(ServiceError::NotFound("agent"));
            }
            agent_tokens::insert(tx, &row).await?;
            let detail = [("agent", row.agent_id.as_str())];
            audit::append(tx, now, Act("operator", "token.created", row.id.as_str()), &detail).await?;
            Ok(())
        }
        .boxed()
    })
    .await?;
    Ok(IssuedToken { id, secret: crate::config::Secret::new(secret), expires_at })
}

/// Whose token this is; `None` if it is unknown, expired or revoked.
pub async fn authenticate(
    db: &Database,
    presented: &str,
    now: Timestamp,
) -> Result<Option<AgentId>, ServiceError> {
    if token::parse_role(presented).is_none() {
        return Ok(None);
    }
    let hash = token::hash(presented);
    let looked_up = hash.clone();
    let row = db
        .read::<_, ServiceError, _>(move |conn| {
            async move { Ok(agent_tokens::find_by_hash(conn, &looked_up).await?) }.boxed()
        })
        .await?;
    Ok(row
        .filter(|row| token::matches(&row.hash, &hash))
        .filter(|row| row.revoked_at.is_none() && row.expires_at.is_none_or(|end| now < end))
        .map(|row| row.agent_id))
}
