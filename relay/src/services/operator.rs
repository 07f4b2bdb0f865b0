//! What the operator does to agents: makes, blocks and unblocks them, and says whom they may reach. Called by the
//! command line, beside a relay that may be running; never by an agent.

use futures_util::FutureExt;
use relay_core::period::{UnknownZone, Zone};
use relay_core::recipient;
use relay_store::agent_pool::PoolStatus;
use relay_store::agents::{Agent, AgentStatus, Terms};
use relay_store::{Conn, Database, agent_pool, agents, allowed_recipients};
use shared::ids::AgentId;
use shared::model::{Channel, RecipientPolicy, Timestamp};
use shared::protocol::ErrorCode;

use super::ServiceError;
use super::agents::fresh;
use super::audit::{self, Act};
use super::identity::Admin;
use crate::config::Config;

/// The longest name of an agent, in characters.
const LONGEST_NAME: usize = 80;

/// An agent that is to be made.
#[derive(Clone, Debug)]
pub struct NewAgent {
    pub id: AgentId,
    pub name: String,
    /// An IANA name; the setting's if there is none.
    pub time_zone: Option<String>,
}

/// Makes an agent without channels, if the pool has a place for it.
pub async fn create_agent(
    db: &Database,
    config: &Config,
    wanted: NewAgent,
    now: Timestamp,
) -> Result<Agent, ServiceError> {
    let name = wanted.name.trim();
    if name.is_empty() || name.chars().count() > LONGEST_NAME || name.chars().any(char::is_control) {
        let problem = format!("must be one line of 1 to {LONGEST_NAME} characters");
        return Err(ServiceError::Invalid { field: "name", problem });
    }
    let time_zone = wanted.time_zone.as_deref().map(zone_name).transpose()?;
    let agent = Agent { time_zone, ..fresh(wanted.id, name, now) };
    let places = config.limits.pool;
    db.transaction(move |tx| {
        async move {
            let id = &agent.id;
            record(tx, ("agent.created", id), &[], now).await?;
            if agents::find(tx, id).await?.is_some() {
                return Err(taken(id));
            }
            if !agent_pool::reserve(tx, id, places, now).await? {
                return Err(pool_exhausted(places));
            }
            agent_pool::set_status(tx, id, PoolStatus::Active).await?;
            agents::insert_if_absent(tx, &agent).await?;
            Ok(agent)
        }
        .boxed()
    })
    .await
}

fn zone_name(text: &str) -> Result<String, ServiceError> {
    let zone: Zone = text.parse().map_err(|problem: UnknownZone| ServiceError::Invalid {
        field: "time-zone",
        problem: problem.to_string(),
    })?;
    Ok(zone.name().to_owned())
}

fn taken(id: &AgentId) -> ServiceError {
    ServiceError::refused(
        ErrorCode::InvalidInput,
        format!("There is or was an agent `{id}`; nothing was done."),
        "Choose another id.",
    )
}

fn pool_exhausted(places: i64) -> ServiceError {
    ServiceError::refused(
        ErrorCode::PoolExhausted,
        format!("All places of the pool ({places}) are taken; no agent was made."),
        "Release an agent with comms_deprovision_channels, or raise limits.pool.",
    )
}

/// Lets nothing of the agent's go out any more.
pub async fn block(db: &Database, id: AgentId, now: Timestamp) -> Result<(), ServiceError> {
    set_status(db, id, (AgentStatus::Blocked, "agent.blocked"), now).await
}

/// Lets the agent act again.
pub async fn unblock(db: &Database, id: AgentId, now: Timestamp) -> Result<(), ServiceError> {
    set_status(db, id, (AgentStatus::Active, "agent.unblocked"), now).await
}

async fn set_status(
    db: &Database,
    id: AgentId,
    (status, action): (AgentStatus, &'static str),
    now: Timestamp,
) -> Result<(), ServiceError> {
    db.transaction(move |tx| {
        async move {
            record(tx, (action, &id), &[], now).await?;
            present(tx, &id).await?;
            agents::set_status(tx, &id, status).await?;
            Ok(())
        }
        .boxed()
    })
    .await
}

/// Says whom the agent may reach on its own; `None`: whom the settings say.
pub async fn set_recipients(
    db: &Database,
    id: AgentId,
    policy: Option<RecipientPolicy>,
    now: Timestamp,
) -> Result<(), ServiceError> {
    db.transaction(move |tx| {
        async move {
            let detail = [("policy", policy.map_or("default", RecipientPolicy::as_str))];
            record(tx, ("agent.recipients", &id), &detail, now).await?;
            present(tx, &id).await?;
            agents::set_recipients(tx, &id, policy).await?;
            Ok(())
        }
        .boxed()
    })
    .await
}

/// Says by whose midnight the agent's days begin; `None`: by that of the settings.
pub async fn set_time_zone(
    db: &Database,
    id: AgentId,
    name: Option<&str>,
    now: Timestamp,
) -> Result<(), ServiceError> {
    let name = name.map(zone_name).transpose()?;
    db.transaction(move |tx| {
        async move {
            let name = name.as_deref();
            record(tx, ("agent.time_zone", &id), &[("zone", name.unwrap_or("default"))], now).await?;
            present(tx, &id).await?;
            agents::set_time_zone(tx, &id, name).await?;
            Ok(())
        }
        .boxed()
    })
    .await
}

/// Puts an address on the agent's list, and gives it as it stands there.
pub async fn allow(
    db: &Database,
    id: AgentId,
    address: &str,
    now: Timestamp,
) -> Result<String, ServiceError> {
    let address = parse_address(address)?;
    db.transaction(move |tx| {
        async move {
            record(tx, ("recipient.allowed", &id), &[], now).await?;
            present(tx, &id).await?;
            allowed_recipients::insert_if_absent(tx, &id, &address, now).await?;
            Ok(address)
        }
        .boxed()
    })
    .await
}

/// Takes an address from the agent's list, and gives it as it stood there.
pub async fn disallow(
    db: &Database,
    id: AgentId,
    address: &str,
    now: Timestamp,
) -> Result<String, ServiceError> {
    let address = parse_address(address)?;
    db.transaction(move |tx| {
        async move {
            record(tx, ("recipient.disallowed", &id), &[], now).await?;
            present(tx, &id).await?;
            if !allowed_recipients::remove(tx, &id, &address).await? {
                return Err(not_listed());
            }
            Ok(address)
        }
        .boxed()
    })
    .await
}

fn not_listed() -> ServiceError {
    ServiceError::refused(
        ErrorCode::NotFound,
        "That address is not on the agent's list; nothing was done.",
        "`comms-relay agent allowed` shows the list.",
    )
}

/// The agent's list.
pub async fn allowed(db: &Database, id: AgentId) -> Result<Vec<String>, ServiceError> {
    db.read(move |conn| {
        async move {
            present(conn, &id).await?;
            Ok(allowed_recipients::list(conn, &id).await?)
        }
        .boxed()
    })
    .await
}

fn parse_address(text: &str) -> Result<String, ServiceError> {
    let channel = if text.contains('@') { Channel::Email } else { Channel::Sms };
    match recipient::parse(channel, text) {
        Ok(address) => Ok(address.to_string()),
        Err(problem) => Err(ServiceError::Invalid { field: "address", problem: problem.to_string() }),
    }
}

/// Writes down what the operator does. First of all, so that what is done at the same time is done one after another.
async fn record(
    tx: &mut Conn,
    (action, id): (&'static str, &AgentId),
    detail: &[(&str, &str)],
    now: Timestamp,
) -> Result<(), ServiceError> {
    audit::append(tx, now, Act(Admin::operator().actor(), action, id.as_str()), detail).await?;
    Ok(())
}

/// What holds for an agent that was not given up.
pub(super) async fn present(conn: &mut Conn, id: &AgentId) -> Result<Terms, ServiceError> {
    let terms = agents::find_terms(conn, id).await?;
    terms.filter(|terms| terms.status != AgentStatus::Released).ok_or(ServiceError::NotFound("agent"))
}
