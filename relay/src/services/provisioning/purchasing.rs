//! Buying numbers at the provider and giving them back, so that none is paid for that nobody knows of.
//!
//! Called by whatever sets up or takes back an agent, in the relay and on the command line. A purchase's row stands at
//! `intended` before [`Purchasing::buy`] is called; making it `bought` is the caller's, together with giving the number
//! to an agent. Never to be called for a purchase that somebody works on: [`Purchasing::settle`].

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use relay_providers::{
    BoughtNumber, NumberHooks, NumberOrder, NumberProvisioner, NumberWanted, ProviderError, Providers,
};
use relay_store::agent_pool::PoolStatus;
use relay_store::number_purchases::{self, NumberPurchase, PurchaseChange, PurchaseStatus};
use relay_store::{Conn, Database, agent_channels, agent_pool};
use shared::ids::{AgentId, ExternalId, PurchaseId};
use shared::model::{Channel, PhoneNumber, Timestamp};
use shared::protocol::{ApiError, ErrorCode};

use crate::app::App;
use crate::observability::events;
use crate::services::ServiceError;
use crate::services::agents::SIMULATED;
use crate::services::audit::{self, Act};

/// So many of the numbers found are tried, should others be quicker to buy them.
const CANDIDATES: usize = 3;
/// Between two questions about a purchase whose answer was lost.
const PAUSE: Duration = Duration::from_secs(2);
/// After this a request whose answer was lost is not on its way any more.
const IN_FLIGHT: Duration = Duration::from_secs(60);

/// The account at which numbers are bought, and the record of what was bought there.
#[derive(Clone)]
pub(crate) struct Purchasing {
    pub(super) db: Database,
    pub(super) numbers: Arc<dyn NumberProvisioner>,
    pub(super) provider: &'static str,
    pub(super) now: Timestamp,
}

/// Why there is no number.
#[derive(Debug)]
pub(super) enum NotBought {
    /// Nothing was bought.
    Surely(ServiceError),
    /// The provider may have acted, and cannot say.
    Perhaps,
}

impl Purchasing {
    pub(super) fn of(app: &App) -> Self {
        Self::new(app.db.clone(), &app.providers(), app.now())
    }

    pub(crate) fn new(db: Database, providers: &Providers, now: Timestamp) -> Self {
        Self { db, numbers: Arc::clone(&providers.numbers), provider: providers.telephony_name, now }
    }

    /// Some numbers that can be bought: at least one.
    pub(super) async fn offers(&self, wanted: &NumberWanted) -> Result<Vec<PhoneNumber>, ServiceError> {
        let offers = self.numbers.search(wanted).await;
        let offers = offers.map_err(|source| ServiceError::Provider { source, message_id: None })?;
        if !offers.is_empty() {
            return Ok(offers);
        }
        let kinds = [(wanted.sms, "sms"), (wanted.voice, "voice")];
        let kinds: Vec<_> = kinds.iter().filter_map(|(is_wanted, name)| is_wanted.then_some(*name)).collect();
        let area = wanted.area_code.as_ref().map(|code| format!(", area {code}")).unwrap_or_default();
        Err(ServiceError::refused(
            ErrorCode::ProviderRejected,
            format!(
                "The provider sells no numbers with {} in {}{area}; nothing was set up.",
                kinds.join(" and "),
                wanted.country
            ),
            "Call again with another areaCode or none, or with another country.",
        ))
    }

    /// The row of a purchase that is about to be tried.
    pub(super) fn intent(&self, agent: &AgentId) -> NumberPurchase {
        NumberPurchase {
            id: PurchaseId::generate(),
            agent_id: agent.clone(),
            number: None,
            provider: self.provider.to_owned(),
            status: PurchaseStatus::Intended,
            external_id: None,
            created_at: self.now,
            updated_at: self.now,
        }
    }

    /// Buys one of the numbers.
    pub(super) async fn buy(
        &self,
        id: &PurchaseId,
        offers: Vec<PhoneNumber>,
        hooks: NumberHooks,
    ) -> Result<BoughtNumber, NotBought> {
        for number in offers.into_iter().take(CANDIDATES) {
            let order = NumberOrder { number, label: label(id), hooks: hooks.clone() };
            let problem = match self.numbers.buy(&order).await {
                Ok(bought) => return Ok(bought),
                Err(problem) if is_gone(&problem) => continue,
                Err(problem) => problem,
            };
            events::provider_failed("buy a number", &problem);
            return match problem {
                ProviderError::Unknown(_) | ProviderError::Malformed => {
                    self.find_out(id).await.ok_or(NotBought::Perhaps)
                }
                source => Err(NotBought::Surely(ServiceError::Provider { source, message_id: None })),
            };
        }
        Err(NotBought::Surely(ServiceError::Refused(Box::new(
            ApiError::new(
                ErrorCode::ProviderRejected,
                "The numbers that were found have been sold to others meanwhile; nothing was bought.",
                "Call again.",
            )
            .retryable(None),
        ))))
    }

    /// Asks twice: the first time the purchase may still be under way.
    async fn find_out(&self, id: &PurchaseId) -> Option<BoughtNumber> {
        for pause in [Duration::ZERO, PAUSE] {
            tokio::time::sleep(pause).await;
            match self.numbers.find_by_label(&label(id)).await {
                Ok(Some(bought)) => return Some(bought),
                Ok(None) => (),
                Err(problem) => {
                    events::provider_failed("find a number", &problem);
                    return None;
                }
            }
        }
        None
    }

    /// Brings a purchase that nobody wants any more to its end: what was bought is given back. False: it cannot be
    /// told yet whether anything was.
    pub(super) async fn settle(&self, id: &PurchaseId) -> Result<bool, ServiceError> {
        let Some(purchase) = self.find(id).await? else { return Ok(true) };
        if purchase.status != PurchaseStatus::Intended {
            return Ok(true);
        }
        if purchase.provider != self.provider && purchase.provider != SIMULATED {
            return Err(other_provider());
        }
        let failed = |source| ServiceError::Provider { source, message_id: None };
        match self.held(&purchase).await.map_err(failed)? {
            Some((held, number)) => {
                // Of another run's simulated carrier nothing is left.
                if purchase.provider == self.provider {
                    self.numbers.release(&held).await.map_err(failed)?;
                }
                self.finish(purchase, PurchaseStatus::Released, Some(number)).await?;
                Ok(true)
            }
            None if self.now.since(purchase.created_at) >= IN_FLIGHT => {
                self.finish(purchase, PurchaseStatus::Failed, None).await?;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// Writes down that surely nothing was bought.
    pub(super) async fn give_up(&self, purchase: NumberPurchase) -> Result<(), ServiceError> {
        self.finish(purchase, PurchaseStatus::Failed, None).await
    }

    async fn held(&self, purchase: &NumberPurchase) -> Result<Option<(ExternalId, String)>, ProviderError> {
        let known = purchase.external_id.as_ref().and_then(|id| id.parse().ok()).zip(purchase.number.clone());
        if known.is_some() || purchase.provider != self.provider {
            return Ok(known);
        }
        let found = self.numbers.find_by_label(&label(&purchase.id)).await?;
        Ok(found.map(|bought| (bought.external_id, bought.number.to_string())))
    }

    async fn find(&self, id: &PurchaseId) -> Result<Option<NumberPurchase>, ServiceError> {
        let id = id.clone();
        self.db.read(move |conn| async move { Ok(number_purchases::find(conn, &id).await?) }.boxed()).await
    }

    /// Writes down how a purchase ended, and frees what waited for it.
    async fn finish(
        &self,
        purchase: NumberPurchase,
        status: PurchaseStatus,
        number: Option<String>,
    ) -> Result<(), ServiceError> {
        let now = self.now;
        let id = purchase.id.clone();
        self.db
            .transaction::<_, ServiceError, _>(move |tx| {
                async move {
                    let detail = [("agent", purchase.agent_id.as_str())];
                    let act = Act("relay", action_of(status), purchase.id.as_str());
                    audit::append(tx, now, act, &detail).await?;
                    let change = PurchaseChange { status, number: number.as_deref(), external_id: None, now };
                    number_purchases::set(tx, &purchase.id, &change).await?;
                    if let Some(number) = &number {
                        detach(tx, &purchase.agent_id, number).await?;
                    }
                    free_place(tx, &purchase.agent_id).await
                }
                .boxed()
            })
            .await?;
        events::purchase_settled(&id, status.as_str());
        Ok(())
    }
}

/// Under which name the provider keeps the number: ours alone, so that it is found again.
pub(super) fn label(id: &PurchaseId) -> String {
    format!("agentos-comms:{id}")
}

/// Somebody else was quicker: <https://www.twilio.com/docs/api/errors/21422>.
fn is_gone(problem: &ProviderError) -> bool {
    matches!(problem, ProviderError::Rejected { code: Some(code), .. } if code == "21422")
}

fn other_provider() -> ServiceError {
    ServiceError::refused(
        ErrorCode::ProviderNotConfigured,
        "The number was bought at a provider that is not in use.",
        "Start the relay with that provider, and call again.",
    )
}

fn action_of(status: PurchaseStatus) -> &'static str {
    match status {
        PurchaseStatus::Intended => "number.intended",
        PurchaseStatus::Bought => "number.bought",
        PurchaseStatus::Released => "number.released",
        PurchaseStatus::Failed => "number.not_bought",
    }
}

/// What the agent has on this number, it has no more.
pub(super) async fn detach(tx: &mut Conn, agent: &AgentId, number: &str) -> Result<(), ServiceError> {
    for channel in [Channel::Sms, Channel::Voice] {
        let own = agent_channels::find(tx, agent, channel).await?;
        if own.is_some_and(|own| own.address == number) {
            agent_channels::delete(tx, agent, channel).await?;
        }
    }
    Ok(())
}

/// An agent that is being taken back keeps its place until its last number is given back.
pub(super) async fn free_place(tx: &mut Conn, agent: &AgentId) -> Result<(), ServiceError> {
    let place = agent_pool::find(tx, agent).await?;
    let is_leaving = place.is_some_and(|place| place.status == PoolStatus::Releasing);
    if is_leaving && unsettled(tx, agent).await?.is_empty() {
        agent_pool::remove(tx, agent).await?;
    }
    Ok(())
}

/// The purchases of an agent that nobody wants any more, or that somebody works on.
pub(super) async fn unsettled(conn: &mut Conn, agent: &AgentId) -> Result<Vec<NumberPurchase>, ServiceError> {
    let all = number_purchases::list_by_status(conn, PurchaseStatus::Intended).await?;
    Ok(all.into_iter().filter(|purchase| purchase.agent_id == *agent).collect())
}

/// The number is an agent's, from the transaction that gives it one. Unless somebody has settled the purchase
/// meanwhile: then the number may be gone.
pub(super) async fn keep(
    tx: &mut Conn,
    id: &PurchaseId,
    bought: &BoughtNumber,
    now: Timestamp,
) -> Result<(), ServiceError> {
    let purchase = number_purchases::find(tx, id).await?;
    if purchase.is_none_or(|purchase| purchase.status != PurchaseStatus::Intended) {
        return Err(ServiceError::NotFound("purchase"));
    }
    let change = PurchaseChange {
        status: PurchaseStatus::Bought,
        number: Some(bought.number.as_str()),
        external_id: Some(bought.external_id.as_str()),
        now,
    };
    number_purchases::set(tx, id, &change).await?;
    Ok(())
}
