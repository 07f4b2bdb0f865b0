//! Numbers by the operator's hand: listed, attached, bought for an agent that is there, and given back. Called by the
//! command line, beside a relay that may be running; never by an agent.

use std::collections::BTreeMap;

use futures_util::FutureExt;
use relay_providers::{BoughtNumber, NumberWanted};
use relay_store::agents::AgentStatus;
use relay_store::number_purchases::{self, NumberPurchase, PurchaseChange, PurchaseStatus};
use relay_store::{Conn, Database, agent_channels, agents};
use serde::Serialize;
use shared::ids::AgentId;
use shared::model::{Channel, PhoneNumber};
use shared::protocol::ErrorCode;
use url::Url;

use super::hooks;
use super::order::{check_area_code, read_country};
use super::purchasing::{NotBought, Purchasing, detach, keep, label};
use crate::services::ServiceError;
use crate::services::agents::attach as attach_channel;
use crate::services::audit::{self, Act};
use crate::services::identity::Admin;

/// What a number does for an agent.
const CHANNELS: [Channel; 2] = [Channel::Sms, Channel::Voice];

/// A number that an agent has, or that the relay has bought.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Held {
    /// Unknown while a purchase's outcome is.
    pub(crate) number: Option<String>,
    pub(crate) channels: Vec<Channel>,
    pub(crate) agent_id: Option<AgentId>,
    pub(crate) provider: String,
    /// By the relay, which can give it back.
    pub(crate) bought: bool,
    /// The name under which the provider has it, while it is not known whether it was bought or given back.
    pub(crate) unsettled: Option<String>,
}

/// How a number was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GivenUp {
    /// The provider has it back.
    Released,
    /// The account still has it.
    Detached,
}

/// What the command line wants to buy.
pub(crate) struct Wish {
    pub(crate) country: Option<String>,
    pub(crate) area_code: Option<String>,
}

/// The numbers of all agents, and those that the relay has bought and no agent has.
pub(crate) async fn list(db: &Database) -> Result<Vec<Held>, ServiceError> {
    db.read(|conn| {
        async move {
            let bought = number_purchases::list_by_status(conn, PurchaseStatus::Bought).await?;
            let unsettled = number_purchases::list_by_status(conn, PurchaseStatus::Intended).await?;
            let mut held = attached(conn).await?;
            for purchase in bought {
                match held.iter_mut().find(|held| held.number == purchase.number) {
                    Some(held) => held.bought = true,
                    None => held.push(Held { bought: true, ..unattached(purchase) }),
                }
            }
            for purchase in unsettled {
                let name = Some(label(&purchase.id));
                held.retain(|held| held.number.is_none() || held.number != purchase.number);
                held.push(Held { unsettled: name, ..unattached(purchase) });
            }
            Ok(held)
        }
        .boxed()
    })
    .await
}

async fn attached(conn: &mut Conn) -> Result<Vec<Held>, ServiceError> {
    let mut held = BTreeMap::new();
    for agent in agents::list(conn).await? {
        for own in agent_channels::list(conn, &agent.id).await? {
            if own.channel == Channel::Email {
                continue;
            }
            let fresh = Held {
                number: Some(own.address.clone()),
                channels: Vec::new(),
                agent_id: Some(own.agent_id.clone()),
                provider: own.provider,
                bought: false,
                unsettled: None,
            };
            held.entry((own.agent_id, own.address)).or_insert(fresh).channels.push(own.channel);
        }
    }
    Ok(held.into_values().collect())
}

fn unattached(purchase: NumberPurchase) -> Held {
    Held {
        number: purchase.number,
        channels: Vec::new(),
        agent_id: None,
        provider: purchase.provider,
        bought: false,
        unsettled: None,
    }
}

/// Gives an agent a number that the account owns, and points it at the agent's webhooks.
pub(crate) async fn attach(
    account: &Purchasing,
    base: &Url,
    number: PhoneNumber,
    agent: AgentId,
) -> Result<(), ServiceError> {
    let (id, address) = (agent.clone(), number.to_string());
    let may_have = account.db.read::<_, ServiceError, _>(move |conn| {
        async move { check_may_have(conn, &id, &address).await }.boxed()
    });
    may_have.await?;
    let failed = |source| ServiceError::Provider { source, message_id: None };
    let own = account.numbers.find_number(&number).await.map_err(failed)?.ok_or_else(|| {
        ServiceError::refused(
            ErrorCode::NotFound,
            "The provider's account does not have that number.",
            "Buy it in the provider's console, or let `comms-relay number buy` find one.",
        )
    })?;
    account.numbers.configure(&own.external_id, &hooks(base, &agent)).await.map_err(failed)?;
    give(account, agent, own, None).await
}

/// The numbers that could be bought.
pub(crate) async fn offers(account: &Purchasing, wish: Wish) -> Result<Vec<PhoneNumber>, ServiceError> {
    let wanted = NumberWanted {
        country: read_country(wish.country.as_deref())?,
        area_code: wish.area_code.map(check_area_code).transpose()?,
        sms: true,
        voice: true,
    };
    account.offers(&wanted).await
}

/// Buys one of the numbers for an agent that has none.
pub(crate) async fn buy(
    account: &Purchasing,
    base: &Url,
    agent: AgentId,
    offers: Vec<PhoneNumber>,
) -> Result<PhoneNumber, ServiceError> {
    let purchase = account.intent(&agent);
    record_intent(account, purchase.clone()).await?;
    let bought = match account.buy(&purchase.id, offers, hooks(base, &agent)).await {
        Ok(bought) => bought,
        Err(NotBought::Surely(problem)) => {
            account.give_up(purchase).await?;
            return Err(problem);
        }
        Err(NotBought::Perhaps) => return Err(lost()),
    };
    let number = bought.number.clone();
    if let Err(problem) = give(account, agent, bought, Some(&purchase)).await {
        // What cannot be given back at once, the relay gives back at its next start.
        account.settle(&purchase.id).await?;
        return Err(problem);
    }
    Ok(number)
}

/// Takes a number from whoever has it, and gives it back if the relay has bought it.
pub(crate) async fn release(account: &Purchasing, number: &PhoneNumber) -> Result<GivenUp, ServiceError> {
    let (now, address) = (account.now, number.to_string());
    let purchase = account
        .db
        .transaction::<_, ServiceError, _>(move |tx| {
            async move {
                let purchase = find_purchase(tx, &address).await?;
                let mut holders = Vec::new();
                for channel in CHANNELS {
                    holders.extend(agent_channels::find_by_address(tx, channel, &address).await?);
                }
                if purchase.is_none() && holders.is_empty() {
                    return Err(ServiceError::NotFound("number"));
                }
                for holder in holders {
                    let (by, act) = (Admin::operator(), holder.agent_id.as_str());
                    let detail = [("channel", holder.channel.as_str())];
                    audit::append(tx, now, Act(by.actor(), "channel.detached", act), &detail).await?;
                    detach(tx, &holder.agent_id, &address).await?;
                }
                if let Some(purchase) = &purchase {
                    let status = PurchaseStatus::Intended;
                    let change = PurchaseChange { status, number: None, external_id: None, now };
                    number_purchases::set(tx, &purchase.id, &change).await?;
                }
                Ok(purchase)
            }
            .boxed()
        })
        .await?;
    let Some(purchase) = purchase else { return Ok(GivenUp::Detached) };
    if account.settle(&purchase.id).await? { Ok(GivenUp::Released) } else { Err(lost()) }
}

/// Whether giving it up gives it back to the provider.
pub(crate) async fn was_bought(db: &Database, number: &PhoneNumber) -> Result<bool, ServiceError> {
    let address = number.to_string();
    db.read(move |conn| async move { Ok(find_purchase(conn, &address).await?.is_some()) }.boxed()).await
}

async fn find_purchase(conn: &mut Conn, number: &str) -> Result<Option<NumberPurchase>, ServiceError> {
    if let Some(purchase) = number_purchases::find_by_number(conn, number).await? {
        return Ok(Some(purchase));
    }
    let unsettled = number_purchases::list_by_status(conn, PurchaseStatus::Intended).await?;
    Ok(unsettled.into_iter().find(|purchase| purchase.number.as_deref() == Some(number)))
}

async fn record_intent(account: &Purchasing, purchase: NumberPurchase) -> Result<(), ServiceError> {
    let now = account.now;
    account
        .db
        .transaction(move |tx| {
            async move {
                let (by, agent) = (Admin::operator(), &purchase.agent_id);
                let detail = [("agent", agent.as_str())];
                let act = Act(by.actor(), "number.intended", purchase.id.as_str());
                audit::append(tx, now, act, &detail).await?;
                check_is_there(tx, agent).await?;
                for channel in CHANNELS {
                    if agent_channels::find(tx, agent, channel).await?.is_some() {
                        let problem = "it has a number; release that one first".to_owned();
                        return Err(ServiceError::Invalid { field: "agent", problem });
                    }
                }
                Ok(number_purchases::insert(tx, &purchase).await?)
            }
            .boxed()
        })
        .await
}

/// The number is the agent's, in place of the one that it had.
async fn give(
    account: &Purchasing,
    agent: AgentId,
    own: BoughtNumber,
    purchase: Option<&NumberPurchase>,
) -> Result<(), ServiceError> {
    let (now, provider) = (account.now, account.provider);
    let purchase = purchase.map(|purchase| purchase.id.clone());
    account
        .db
        .transaction(move |tx| {
            async move {
                let (by, number) = (Admin::operator(), own.number.as_str());
                check_may_have(tx, &agent, number).await?;
                for channel in CHANNELS {
                    let place = (&agent, channel);
                    attach_channel(tx, place, (number, provider), (by.actor(), now)).await?;
                }
                match purchase {
                    Some(id) => keep(tx, &id, &own, now).await,
                    None => Ok(()),
                }
            }
            .boxed()
        })
        .await
}

async fn check_may_have(conn: &mut Conn, agent: &AgentId, number: &str) -> Result<(), ServiceError> {
    check_is_there(conn, agent).await?;
    for channel in CHANNELS {
        let holder = agent_channels::find_by_address(conn, channel, number).await?;
        if let Some(holder) = holder.filter(|holder| holder.agent_id != *agent) {
            return Err(ServiceError::refused(
                ErrorCode::InvalidInput,
                format!("The agent {} has that number.", holder.agent_id),
                "Take it away with `comms-relay number release` first.",
            ));
        }
    }
    Ok(())
}

async fn check_is_there(conn: &mut Conn, agent: &AgentId) -> Result<(), ServiceError> {
    let found = agents::find(conn, agent).await?;
    let is_there = found.is_some_and(|found| found.status != AgentStatus::Released);
    is_there.then_some(()).ok_or(ServiceError::NotFound("agent"))
}

fn lost() -> ServiceError {
    ServiceError::refused(
        ErrorCode::OutcomeUnknown,
        "The provider may have acted, but its answer was lost.",
        "The relay settles it when it starts next; `comms-relay number list` shows what is open.",
    )
}
