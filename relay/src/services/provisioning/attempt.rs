//! One attempt to set an agent up. It ends with everything or with nothing: what was done before a failure is undone,
//! and what cannot be undone is told.

use std::collections::BTreeMap;

use futures_util::FutureExt;
use relay_core::token::Role;
use relay_providers::BoughtNumber;
use relay_store::agent_pool::PoolStatus;
use relay_store::billing_config::BillingConfig;
use relay_store::number_purchases::{NumberPurchase, PurchaseChange, PurchaseStatus};
use relay_store::{agent_pool, agents, billing_config, number_purchases, whatsapp_pool};
use shared::model::{Channel, PhoneNumber, SecretText, Timestamp};
use shared::protocol::{ApiError, ChannelsProvisioned, ErrorCode, ProvisionedChannel};

use super::order::{self, Order};
use super::purchasing::{NotBought, Purchasing, keep, label};
use super::recovery::settle_later;
use super::{attach_sender, hooks};
use crate::app::App;
use crate::observability::events;
use crate::services::agents::{attach, refresh};
use crate::services::audit::{self, Act};
use crate::services::identity::Admin;
use crate::services::{ServiceError, tokens};

/// An attempt, and what it is made for.
pub(super) struct Attempt {
    app: App,
    actor: String,
    order: Order,
    /// Of the number that is wanted.
    purchase: Option<NumberPurchase>,
}

/// What became of the number when the attempt fails.
enum Number {
    NotBought,
    Bought(BoughtNumber),
    /// The provider may have acted, and cannot say.
    Unknown,
}

impl Attempt {
    pub(super) fn new(app: &App, admin: &Admin, order: Order) -> Self {
        let purchase = order.number.is_some().then(|| Purchasing::of(app).intent(&order.agent.id));
        Self { app: app.clone(), actor: admin.actor().to_owned(), order, purchase }
    }

    /// Sets the agent up, with one of the numbers that are offered.
    pub(super) async fn carry_out(
        self,
        offers: Vec<PhoneNumber>,
    ) -> Result<ChannelsProvisioned, ServiceError> {
        let sender = self.reserve().await?;
        let bought = match self.buy(offers).await {
            Ok(bought) => bought,
            Err(NotBought::Surely(problem)) => return Err(self.undo(problem, Number::NotBought).await),
            Err(NotBought::Perhaps) => return Err(self.undo(lost(), Number::Unknown).await),
        };
        match self.complete(sender, bought.clone()).await {
            Ok(done) => {
                self.tell(&done).await;
                Ok(done)
            }
            Err(problem) => Err(self.undo(problem, bought.map_or(Number::NotBought, Number::Bought)).await),
        }
    }

    /// Takes a place in the pool and a WhatsApp sender, and writes down what will be bought.
    async fn reserve(&self) -> Result<Option<String>, ServiceError> {
        let (now, actor, agent) = (self.app.now(), self.actor.clone(), self.order.agent.id.clone());
        let places = self.app.config.limits.pool;
        let sender_of = self.order.wants(Channel::Whatsapp).then(|| self.app.providers().whatsapp_name);
        let (email, purchase) = (self.order.email.clone(), self.purchase.clone());
        let is_company = self.order.customer.as_ref().is_some_and(|customer| customer.is_company);
        self.app
            .db
            .transaction::<_, ServiceError, _>(move |tx| {
                async move {
                    let detail = [("company", "yes")];
                    let detail = if is_company { &detail[..] } else { &[] };
                    audit::append(tx, now, Act(&actor, "agent.provisioning", agent.as_str()), detail).await?;
                    order::check_free(tx, &agent, email.as_ref()).await?;
                    if !agent_pool::reserve(tx, &agent, places, now).await? {
                        let is_there = agent_pool::find(tx, &agent).await?.is_some();
                        return Err(if is_there { order::taken() } else { order::pool_exhausted(places) });
                    }
                    if let Some(purchase) = &purchase {
                        number_purchases::insert(tx, purchase).await?;
                    }
                    let Some(provider) = sender_of else { return Ok(None) };
                    let sender = whatsapp_pool::take(tx, &agent, provider, now).await?;
                    sender.map(Some).ok_or_else(order::no_sender)
                }
                .boxed()
            })
            .await
    }

    async fn buy(&self, offers: Vec<PhoneNumber>) -> Result<Option<BoughtNumber>, NotBought> {
        let Some(purchase) = &self.purchase else { return Ok(None) };
        let hooks = hooks(&self.app.public_base, &purchase.agent_id);
        Purchasing::of(&self.app).buy(&purchase.id, offers, hooks).await.map(Some)
    }

    /// From here on the agent is there, with all that it has.
    async fn complete(
        &self,
        sender: Option<String>,
        bought: Option<BoughtNumber>,
    ) -> Result<ChannelsProvisioned, ServiceError> {
        let (now, actor, agent) = (self.app.now(), self.actor.clone(), self.order.agent.clone());
        let channels = self.channels(sender, bought.as_ref());
        let attached = channels.clone();
        let billing = self.billing(now);
        let purchase = self.purchase.as_ref().map(|purchase| purchase.id.clone()).zip(bought);
        let (token, places_taken) = self
            .app
            .db
            .transaction::<_, ServiceError, _>(move |tx| {
                async move {
                    audit::append(tx, now, Act(&actor, "agent.provisioned", agent.id.as_str()), &[]).await?;
                    let is_new = agents::insert_if_absent(tx, &agent).await?;
                    if !is_new || !agent_pool::set_status(tx, &agent.id, PoolStatus::Active).await? {
                        return Err(order::taken());
                    }
                    for own in attached {
                        let place = (&agent.id, own.channel);
                        attach(tx, place, (&own.address, &own.provider), (&actor, now)).await?;
                    }
                    if let Some(billing) = billing {
                        billing_config::upsert(tx, &billing).await?;
                    }
                    if let Some((id, bought)) = purchase {
                        keep(tx, &id, &bought, now).await?;
                    }
                    let token = tokens::issue(tx, (&agent.id, Role::Agent), None, (&actor, now)).await?;
                    Ok((token.secret, agent_pool::count(tx).await?))
                }
                .boxed()
            })
            .await?;
        Ok(ChannelsProvisioned {
            agent_id: self.order.agent.id.clone(),
            channels,
            token: SecretText::new(token.expose()),
            slots_remaining: (self.app.config.limits.pool - places_taken).max(0),
            webhook_urls: self.webhook_urls(),
        })
    }

    fn channels(&self, sender: Option<String>, bought: Option<&BoughtNumber>) -> Vec<ProvisionedChannel> {
        let providers = self.app.providers();
        let number = bought.map(|bought| bought.number.to_string());
        let email = self.order.email.as_ref().map(ToString::to_string);
        let own = |&channel: &Channel| {
            let (address, provider) = match channel {
                Channel::Sms | Channel::Voice => (number.clone(), Some(providers.telephony_name)),
                Channel::Whatsapp => (sender.clone(), Some(providers.whatsapp_name)),
                Channel::Email => (email.clone(), providers.email_name),
            };
            Some(ProvisionedChannel { channel, address: address?, provider: provider?.to_owned() })
        };
        self.order.capabilities.iter().filter_map(own).collect()
    }

    fn billing(&self, now: Timestamp) -> Option<BillingConfig> {
        let billing_email = self.order.customer.as_ref()?.billing_email.as_ref()?.to_string();
        Some(BillingConfig {
            agent_id: self.order.agent.id.clone(),
            tier: None,
            markup_percent: 0,
            billing_email: Some(billing_email),
            updated_at: now,
        })
    }

    fn webhook_urls(&self) -> BTreeMap<String, String> {
        // The simulated mailbox calls nobody.
        let called = self.order.capabilities.iter().filter(|channel| **channel != Channel::Email);
        let mut routes: Vec<_> = called.map(|channel| channel.as_str()).collect();
        if !routes.is_empty() {
            routes.push("call-status");
        }
        let url = |route: &str| self.app.webhook_url(&self.order.agent.id, route);
        routes.into_iter().map(|route| (route.to_owned(), url(route))).collect()
    }

    async fn tell(&self, done: &ChannelsProvisioned) {
        if let Err(problem) = refresh(&self.app).await {
            // The agents are read again within seconds.
            events::failed_inside("read the agents again", &problem);
        }
        let sender = done.channels.iter().find(|own| own.channel == Channel::Whatsapp);
        if let Some(number) = sender.and_then(|own| own.address.parse().ok()) {
            attach_sender(&self.app, &done.agent_id, number);
        }
    }

    /// Takes everything back, and gives the failure with what is left.
    async fn undo(&self, problem: ServiceError, number: Number) -> ServiceError {
        events::answered_with_failure("provision", &problem);
        let mut not_undone = Vec::new();
        match self.give_up(&number).await {
            Ok(true) => (),
            Ok(false) => not_undone.push(
                "The agent was set up after all, but its token is lost: take it back with \
                 comms_deprovision_channels."
                    .to_owned(),
            ),
            Err(problem) => {
                events::failed_inside("undo what was set up", &problem);
                not_undone.push(
                    "Its place in the pool is still taken: the next start of the relay frees it.".to_owned(),
                );
            }
        }
        not_undone.extend(self.give_number_back(number).await);
        ServiceError::Refused(Box::new(ApiError { not_undone, ..problem.to_api_error() }))
    }

    /// False: the agent is there, because the answer to the commit was all that failed.
    async fn give_up(&self, number: &Number) -> Result<bool, ServiceError> {
        let (now, actor, agent) = (self.app.now(), self.actor.clone(), self.order.agent.id.clone());
        let (status, bought) = match number {
            Number::NotBought => (PurchaseStatus::Failed, None),
            Number::Bought(bought) => (PurchaseStatus::Intended, Some(bought.clone())),
            Number::Unknown => (PurchaseStatus::Intended, None),
        };
        let purchase = self.purchase.as_ref().map(|purchase| purchase.id.clone());
        self.app
            .db
            .transaction::<_, ServiceError, _>(move |tx| {
                async move {
                    let act = Act(&actor, "agent.provisioning_failed", agent.as_str());
                    audit::append(tx, now, act, &[]).await?;
                    if agents::find(tx, &agent).await?.is_some() {
                        return Ok(false);
                    }
                    agent_pool::remove(tx, &agent).await?;
                    whatsapp_pool::give_back(tx, &agent).await?;
                    if let Some(id) = purchase {
                        let change = PurchaseChange {
                            status,
                            number: bought.as_ref().map(|bought| bought.number.as_str()),
                            external_id: bought.as_ref().map(|bought| bought.external_id.as_str()),
                            now,
                        };
                        number_purchases::set(tx, &id, &change).await?;
                    }
                    Ok(true)
                }
                .boxed()
            })
            .await
    }

    /// What is left of the number, if anything is or may be.
    async fn give_number_back(&self, number: Number) -> Option<String> {
        let id = &self.purchase.as_ref()?.id;
        let is_settled = match number {
            Number::NotBought => return None,
            Number::Bought(_) => Purchasing::of(&self.app).settle(id).await,
            // It has just been asked.
            Number::Unknown => Ok(false),
        };
        match is_settled {
            Ok(true) => return None,
            Ok(false) => (),
            Err(problem) => events::answered_with_failure("give a number back", &problem),
        }
        settle_later(&self.app, id);
        Some(format!(
            "A number may have been bought, and may still be paid for; the provider has it as {}. The relay goes on \
             trying to give it back.",
            label(id)
        ))
    }
}

fn lost() -> ServiceError {
    ServiceError::refused(
        ErrorCode::OutcomeUnknown,
        "The provider may have sold a number, but its answer was lost; no agent was set up.",
        "Whatever was bought is given back. Call again in a few minutes.",
    )
}
