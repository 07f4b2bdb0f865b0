//! Whether something may go out. Every road out (a tool, the answering machine, a job) asks here, and nowhere
//! else; the rules themselves are pure functions in `relay_core`.
//!
//! `admit` runs in the transaction that records the intent: what it lets pass is reserved, counted and written
//! down together with the intent, or not at all.

#[cfg(feature = "fault-check-before-take")]
mod fault;
mod limits;

use futures_util::FutureExt;
use relay_core::cost::Prices;
use relay_core::limits::in_force;
use relay_core::period::Zone;
use relay_core::recipient::{self, Address, Facts, Refusal};
use relay_store::agents::{self, AgentStatus, Terms};
use relay_store::contacts::ContactKey;
use relay_store::usage_logs::UsageKind;
use relay_store::{Conn, allowed_recipients, contacts};
use shared::ids::{AgentId, ApprovalId};
use shared::model::{Channel, EmailAddress, Limits, Micros, PhoneNumber, RecipientPolicy, Timestamp};
use shared::protocol::ErrorCode;

use super::ServiceError;
use super::approvals::{self, Question};
use crate::app::App;
use crate::config::{Config, ConfigError};
use crate::observability::events;

pub use limits::OverLimit;
pub(crate) use limits::{ALL_AGENTS, current, used};

/// Prices are in this currency, and so are caps.
pub(crate) const CURRENCY: &str = "USD";

/// What the settings say of who may do what.
pub struct Rules {
    recipients: RecipientPolicy,
    owner_phone: Option<PhoneNumber>,
    owner_email: Option<EmailAddress>,
    defaults: Limits,
    org_per_day: Option<Micros>,
    org_per_month: Option<Micros>,
    zone: Zone,
    pub(crate) prices: Prices,
}

impl Rules {
    /// The settings, checked.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        Ok(Self {
            recipients: config.recipients(),
            owner_phone: config.owner.phone.clone(),
            owner_email: config.owner.email.clone(),
            defaults: config.limits.defaults(),
            org_per_day: config.limits.org_spend_per_day,
            org_per_month: config.limits.org_spend_per_month,
            zone: config.limits.time_zone.clone(),
            prices: config.limits.prices()?,
        })
    }

    /// The limits that hold for an agent.
    pub(crate) fn limits(&self, terms: &Terms) -> Limits {
        in_force(&self.defaults, terms.tier, &terms.overrides)
    }

    /// By whose midnight an agent's day begins.
    pub(crate) fn zone(&self, terms: &Terms) -> Zone {
        // A name that was good when it was stored stays good: the zones are part of the program.
        terms.time_zone.as_deref().and_then(|name| name.parse().ok()).unwrap_or_else(|| self.zone.clone())
    }

    /// By whose midnight a day of all agents together begins.
    pub(crate) fn own_zone(&self) -> &Zone {
        &self.zone
    }

    fn is_owner(&self, to: &Address) -> bool {
        match to {
            Address::Phone(number) => self.owner_phone.as_ref() == Some(number),
            Address::Email(address) => self.owner_email.as_ref() == Some(address),
        }
    }
}

/// Something that wants to go out.
pub(crate) struct Departure {
    pub(crate) agent: AgentId,
    /// The agent's own address on the channel.
    pub(crate) from: String,
    pub(crate) to: Address,
    pub(crate) channel: Channel,
    pub(crate) kind: UsageKind,
    /// The message or the call that it is: the name of its reservation.
    pub(crate) id: String,
    /// The most that it can cost.
    pub(crate) charge: Micros,
    /// Segments, messages or seconds.
    pub(crate) quantity: i64,
    pub(crate) approval: Option<ApprovalId>,
    /// What a person is asked if this needs one.
    pub(crate) question: Question,
}

/// Lets it pass and reserves what it may cost, or says why not. The caller has appended to the audit log in this
/// transaction before: on Postgres that is what makes those who would reserve at the same time wait for one another.
pub(crate) async fn admit(
    tx: &mut Conn,
    rules: &Rules,
    departure: &Departure,
    now: Timestamp,
) -> Result<(), ServiceError> {
    let terms = agents::find_terms(tx, &departure.agent).await?.ok_or(ServiceError::NotFound("agent"))?;
    allow_recipient(tx, rules, (&terms, departure), now).await?;
    limits::reserve(tx, rules, (&terms, departure), now).await
}

/// The part of [`admit`] that is about the recipient, for what is to go out at another time: a person is asked while
/// the agent is there, and what it may cost is reserved when it goes.
pub(crate) async fn allow(
    tx: &mut Conn,
    rules: &Rules,
    departure: &Departure,
    now: Timestamp,
) -> Result<(), ServiceError> {
    let terms = agents::find_terms(tx, &departure.agent).await?.ok_or(ServiceError::NotFound("agent"))?;
    allow_recipient(tx, rules, (&terms, departure), now).await
}

fn parse_recipient(channel: Channel, to: &str) -> Result<Address, ServiceError> {
    recipient::parse(channel, to)
        .map_err(|problem| ServiceError::Invalid { field: "to", problem: problem.to_string() })
}

/// The address that `to` stands for on a channel: itself, or that of another agent of this relay, by its id.
pub(crate) fn resolve(app: &App, channel: Channel, to: &str) -> Result<Address, ServiceError> {
    let is_name = |text: &str| !text.contains('@') && text.bytes().any(|b| b.is_ascii_lowercase());
    match to.trim().parse::<AgentId>() {
        Ok(agent) if is_name(agent.as_str()) => {
            let profile = app.agents.find(&agent).ok_or(ServiceError::NotFound("agent"))?;
            let address = profile.address(channel).ok_or(ServiceError::NotFound("agent"))?;
            parse_recipient(channel, address)
        }
        _ => parse_recipient(channel, to),
    }
}

async fn allow_recipient(
    tx: &mut Conn,
    rules: &Rules,
    (terms, departure): (&Terms, &Departure),
    now: Timestamp,
) -> Result<(), ServiceError> {
    let policy = terms.recipients.unwrap_or(rules.recipients);
    let address = departure.to.as_str();
    let facts = Facts {
        agent_is_active: terms.status == AgentStatus::Active,
        is_oneself: departure.from == address,
        is_owner: rules.is_owner(&departure.to),
        // Two rows are looked up only where the answer can hang on them.
        is_known: policy == RecipientPolicy::ApproveNew
            && contacts::is_known(tx, &departure.agent, address).await?,
        is_listed: policy != RecipientPolicy::Open
            && allowed_recipients::contains(tx, &departure.agent, address).await?,
        is_approved: false,
    };
    match (recipient::allow(policy, &facts), &departure.approval) {
        (Ok(()), None) => Ok(()),
        // A yes that is brought is used up even where none is needed: who brings it again would send twice.
        (Ok(()) | Err(Refusal::NeedsApproval), Some(approval)) => {
            approvals::use_up(tx, approval, &departure.question, now).await?;
            let key = ContactKey {
                agent_id: departure.agent.clone(),
                channel: departure.channel,
                address: address.to_owned(),
            };
            contacts::approve(tx, &key, now).await?;
            Ok(())
        }
        (Err(Refusal::NeedsApproval), None) => {
            Err(ServiceError::NeedsApproval(Box::new(departure.question.clone())))
        }
        (Err(Refusal::Oneself), _) => {
            Err(ServiceError::Invalid { field: "to", problem: "it is the agent's own address".to_owned() })
        }
        (Err(Refusal::AgentBlocked), _) => Err(ServiceError::refused(
            ErrorCode::ChannelBlocked,
            "This agent is blocked; nothing was sent.",
            "The person who runs the relay can unblock it with `comms-relay agent unblock`.",
        )),
        (Err(Refusal::NotOnTheList), _) => Err(ServiceError::refused(
            ErrorCode::Forbidden,
            "This agent may only reach the recipients on its list, and this one is not on it; nothing was sent.",
            "The person who runs the relay can add it with `comms-relay agent allow`.",
        )),
    }
}

/// What became of a departure that was not let pass: a person is asked, or a limit's hit is counted. The transaction
/// in which it happened is undone by then.
pub(crate) async fn refused(app: &App, problem: ServiceError) -> ServiceError {
    match problem {
        ServiceError::NeedsApproval(question) => approvals::ask(app, *question).await,
        ServiceError::OverLimit(limit) => {
            let counted = limits::count_hit(app, (*limit).clone()).await;
            if let Err(problem) = counted {
                events::failed_inside("count a refusal by a limit", &problem);
            }
            ServiceError::OverLimit(limit)
        }
        other => other,
    }
}

/// What holds for an agent, read once.
pub(crate) async fn terms(app: &App, agent: &AgentId) -> Result<Terms, ServiceError> {
    let agent = agent.clone();
    app.db
        .read::<_, ServiceError, _>(move |conn| {
            async move { agents::find_terms(conn, &agent).await?.ok_or(ServiceError::NotFound("agent")) }
                .boxed()
        })
        .await
}
