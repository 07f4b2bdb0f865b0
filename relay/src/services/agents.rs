//! Agents and their channels.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::FutureExt;
use relay_store::agent_channels::AgentChannel;
use relay_store::agent_pool::PoolStatus;
use relay_store::agents::{Agent, AgentStatus};
use relay_store::{Conn, Database, agent_channels, agent_pool, agents, directory_version};
use shared::ids::AgentId;
use shared::model::{Channel, PhoneNumber, RecipientPolicy, Timestamp};
use shared::protocol::Pool;

use super::ServiceError;
use super::audit::{self, Act};
use crate::app::App;
use crate::config::{Config, Mode};
use crate::observability::events;

/// The provider's name of every channel of demo mode.
pub(crate) const SIMULATED: &str = "simulated";
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

    fn replace(&self, profiles: Vec<Profile>) {
        let Self(fresh) = Self::new(profiles);
        let fresh = fresh.into_inner().unwrap_or_else(PoisonError::into_inner);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = fresh;
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

/// How often the relay looks whether another process has changed an agent.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Sees to it that the agents of a first start exist, and have what the settings give them.
pub async fn ensure_first_agents(db: &Database, config: &Config, now: Timestamp) -> Result<(), ServiceError> {
    let mut first = vec![(AgentId::default_agent(), "Default agent", channels_of_default(config))];
    if config.mode == Mode::Demo {
        let own = |channel| (channel, REHEARSAL_NUMBER.to_owned());
        first.push((rehearsal_agent(), "Rehearsal", [Channel::Sms, Channel::Voice].map(own).to_vec()));
    }
    let provider = config.mode.telephony();
    db.transaction::<_, ServiceError, _>(move |tx| {
        async move {
            for (id, name, channels) in first {
                ensure_agent(tx, &id, name, now).await?;
                for (channel, address) in channels {
                    attach(tx, (&id, channel), (&address, provider), ("relay", now)).await?;
                }
            }
            Ok(())
        }
        .boxed()
    })
    .await
}

/// What the settings give the default agent, by channel.
fn channels_of_default(config: &Config) -> Vec<(Channel, String)> {
    let twilio = &config.twilio;
    let (number, whatsapp, email) = match config.mode {
        Mode::Demo => {
            let email = format!("default@{}", config.email.domain);
            (Some(DEMO_NUMBER.to_owned()), Some(DEMO_NUMBER.to_owned()), Some(email))
        }
        Mode::Live => {
            let text = |number: &Option<PhoneNumber>| number.as_ref().map(ToString::to_string);
            (text(&twilio.phone_number), text(&twilio.whatsapp_number), None)
        }
    };
    let given = [
        (Channel::Sms, number.clone()),
        (Channel::Voice, number),
        (Channel::Whatsapp, whatsapp),
        (Channel::Email, email),
    ];
    given.into_iter().filter_map(|(channel, address)| Some((channel, address?))).collect()
}

/// The agents that are there in this mode. What the other mode left in the database is not for this one: no text may
/// go out from a number of fiction.
pub(crate) async fn load(db: &Database, mode: Mode) -> Result<Vec<Profile>, ServiceError> {
    let is_here = |profile: &Profile| {
        profile.agent.status != AgentStatus::Released
            && (mode == Mode::Demo || profile.agent.id != rehearsal_agent())
    };
    let mut profiles: Vec<_> = list(db).await?.into_iter().filter(is_here).collect();
    for profile in &mut profiles {
        profile.channels.retain(|channel| (channel.provider == SIMULATED) == (mode == Mode::Demo));
    }
    Ok(profiles)
}

/// Reads the agents again, after a change.
pub(crate) async fn refresh(app: &App) -> Result<(), ServiceError> {
    app.agents.replace(load(&app.db, app.config.mode).await?);
    Ok(())
}

/// Notices what the command line and other relays change, until the relay stops.
pub(crate) async fn keep_current(app: App) {
    let mut known = None;
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => (),
            () = app.stop.cancelled() => return,
        }
        let looked = app
            .db
            .read::<_, ServiceError, _>(|conn| async move { Ok(directory_version::get(conn).await?) }.boxed())
            .await;
        let refreshed = match looked {
            Ok(version) if known == Some(version) => Ok(()),
            Ok(version) => {
                known = Some(version);
                refresh(&app).await
            }
            Err(problem) => Err(problem),
        };
        if let Err(problem) = refreshed {
            known = None;
            events::failed_inside("look for changed agents", &problem);
        }
    }
}

/// An agent as it begins.
pub(crate) fn fresh(id: AgentId, name: &str, now: Timestamp) -> Agent {
    Agent {
        id,
        name: name.to_owned(),
        greeting: None,
        system_prompt: None,
        voice: None,
        language: None,
        responder: shared::model::Responder::Auto,
        status: AgentStatus::Active,
        time_zone: None,
        recipients: None,
        created_at: now,
    }
}

async fn ensure_agent(tx: &mut Conn, id: &AgentId, name: &str, now: Timestamp) -> Result<(), ServiceError> {
    if agents::find(tx, id).await?.is_none() {
        audit::append(tx, now, Act("relay", "agent.created", id.as_str()), &[]).await?;
        // A rehearsal shows the program, not the settings of whoever watches it.
        let recipients = (*id == rehearsal_agent()).then_some(RecipientPolicy::Open);
        agents::insert_if_absent(tx, &Agent { recipients, ..fresh(id.clone(), name, now) }).await?;
    }
    if *id != rehearsal_agent() {
        // Whatever the pool's size: this one must be.
        agent_pool::reserve(tx, id, i64::MAX, now).await?;
        agent_pool::set_status(tx, id, PoolStatus::Active).await?;
    }
    Ok(())
}

/// Gives an agent an address on a channel, in place of the one that it had there. `by` is for the audit log.
pub(crate) async fn attach(
    tx: &mut Conn,
    (id, channel): (&AgentId, Channel),
    (address, provider): (&str, &str),
    (by, now): (&str, Timestamp),
) -> Result<(), ServiceError> {
    let wanted = AgentChannel {
        agent_id: id.clone(),
        channel,
        address: address.to_owned(),
        provider: provider.to_owned(),
        status: AgentStatus::Active,
        created_at: now,
    };
    let present = agent_channels::find(tx, id, channel).await?;
    if present.is_none_or(|present| present.address != wanted.address || present.provider != wanted.provider)
    {
        let detail = [("channel", channel.as_str()), ("provider", provider)];
        audit::append(tx, now, Act(by, "channel.attached", id.as_str()), &detail).await?;
        agent_channels::upsert(tx, &wanted).await?;
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
