//! Giving agents their channels and taking them back: numbers that are bought, WhatsApp senders from a pool, addresses
//! on an e-mail domain.
//!
//! Called by the entry points and, for numbers, by the command line. Nothing is bought before a row says so: a purchase
//! stands at `intended` from before the provider is asked until an agent has the number, and again while it is given
//! back. Whatever stands there when nobody works on it is wanted by nobody, and is given back.

mod attempt;
pub(crate) mod by_hand;
mod order;
mod purchasing;
mod recovery;
mod release;
mod senders;

use std::path::Path;

use relay_core::provisioning::connection;
use relay_providers::NumberHooks;
use shared::ids::AgentId;
use shared::model::EmailAddress;
use shared::protocol::{
    ChannelsProvisioned, CustomerOnboarded, DnsRecord, ErrorCode, OnboardCustomer, ProvisionChannels,
};
use url::Url;

use self::attempt::Attempt;
use self::order::{Customer, Order};
pub(crate) use self::purchasing::Purchasing;
pub(crate) use self::recovery::recover;
pub(crate) use self::release::deprovision;
pub(crate) use self::senders::{attach_sender, fill_whatsapp_pool};
use super::ServiceError;
use super::identity::Admin;
use crate::app::{App, webhook_url};

/// Sets an agent up with the channels that are wanted, or leaves everything as it was.
pub(crate) async fn provision(
    app: &App,
    admin: &Admin,
    call: ProvisionChannels,
) -> Result<ChannelsProvisioned, ServiceError> {
    let order = Order::checked(app, call).await?;
    set_up(app, admin, order).await
}

/// The same for a company, and what its people must do themselves.
pub(crate) async fn onboard(
    app: &App,
    admin: &Admin,
    call: OnboardCustomer,
) -> Result<CustomerOnboarded, ServiceError> {
    let customer = Customer::checked(&call)?;
    let order = Order { customer: Some(customer), ..Order::checked(app, without_company(call)).await? };
    let dns_records = match &order.email {
        Some(address) => dns_records(app, address).await?,
        None => Vec::new(),
    };
    let connection_instructions = connection(&order.agent.id, &comms_mcp());
    let done = set_up(app, admin, order).await?;
    Ok(CustomerOnboarded {
        agent_id: done.agent_id,
        channels: done.channels,
        token: done.token,
        slots_remaining: done.slots_remaining,
        webhook_urls: done.webhook_urls,
        dns_records,
        connection_instructions,
    })
}

async fn set_up(app: &App, admin: &Admin, order: Order) -> Result<ChannelsProvisioned, ServiceError> {
    let offers = match &order.number {
        Some(wanted) => Purchasing::of(app).offers(wanted).await?,
        None => Vec::new(),
    };
    if let (Some(number), false) = (offers.first(), order.confirmed) {
        return Err(ServiceError::refused(
            ErrorCode::InvalidInput,
            format!(
                "This buys a number, such as {number}, which the provider charges for every month. Nothing was bought."
            ),
            "Call again with confirm: true to buy it.",
        ));
    }
    let attempt = Attempt::new(app, admin, order);
    // Its own task: a caller who goes away must not leave a number that nobody knows of.
    app.tasks.spawn(attempt.carry_out(offers)).await.unwrap_or_else(|_| {
        Err(ServiceError::refused(
            ErrorCode::OutcomeUnknown,
            "The relay failed inside, half-way.",
            "The next start of the relay undoes what is half done. See its log before calling again.",
        ))
    })
}

pub(super) fn without_company(call: OnboardCustomer) -> ProvisionChannels {
    ProvisionChannels {
        display_name: call.display_name,
        capabilities: call.capabilities,
        agent_id: call.agent_id,
        country: call.country,
        area_code: call.area_code,
        email_domain: call.email_domain,
        greeting: call.greeting,
        system_prompt: call.system_prompt,
        voice: call.voice,
        language: call.language,
        confirm: call.confirm,
    }
}

async fn dns_records(app: &App, address: &EmailAddress) -> Result<Vec<DnsRecord>, ServiceError> {
    let Some(email) = &app.providers().email else { return Ok(Vec::new()) };
    let (_, domain) = address.as_str().rsplit_once('@').expect("an address has an @");
    let records = email.domain_records(domain).await;
    records.map_err(|source| ServiceError::Provider { source, message_id: None })
}

/// The program for agents' hosts, which is installed beside this one; else its name, to be found on the path.
fn comms_mcp() -> String {
    let beside = std::env::current_exe().ok().map(|own| own.with_file_name("comms-mcp"));
    let installed = beside.filter(|program| program.is_file());
    installed.as_deref().and_then(Path::to_str).unwrap_or("comms-mcp").to_owned()
}

/// Where a number posts what happens to it.
fn hooks(base: &Url, agent: &AgentId) -> NumberHooks {
    let url = |route| webhook_url(base, agent, route);
    NumberHooks { sms_url: url("sms"), voice_url: url("voice"), status_url: url("call-status") }
}
