//! What is billed for an agent, and which limits it has. Called for `comms_get_billing_summary`,
//! `comms_set_agent_limits` and `comms_set_billing_config`; only an [`Admin`] changes anything.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures_util::FutureExt;
use relay_core::cost;
use relay_core::limits::{self, InvalidLimit};
use relay_store::agents::Terms;
use relay_store::billing_config::{self, BillingConfig};
use relay_store::{Conn, spending_limits, usage_logs};
use shared::ids::AgentId;
use shared::model::{EmailAddress, Micros, Tier, Timestamp};
use shared::protocol::{
    BillingInForce, BillingSummary, GetBilling, LimitsInForce, SetAgentLimits, SetBillingConfig, UsagePeriod,
};

use super::audit::{self, Act};
use super::identity::{Admin, Scope};
use super::policy::CURRENCY;
use super::{ServiceError, operator, usage};
use crate::app::App;

/// In percent.
const MARKUPS: std::ops::RangeInclusive<i64> = 0..=500;

/// The answer to `comms_get_billing_summary`.
pub(crate) async fn summary(
    app: &App,
    scope: &Scope,
    call: GetBilling,
) -> Result<BillingSummary, ServiceError> {
    let (scope, rules, now) = (scope.clone(), Arc::clone(&app.rules), app.now());
    let period = call.period.unwrap_or(UsagePeriod::Month);
    app.db
        .read(move |conn| {
            async move {
                let agents = usage::in_scope(conn, &scope).await?;
                let since = usage::since(period, &usage::zone(&rules, &scope, &agents), now);
                let costs = costs(conn, &scope, since.unwrap_or(usage::BEGINNING)).await?;
                let markups: HashMap<_, _> =
                    agents.iter().map(|(id, terms)| (id, terms.markup_percent)).collect();
                let markup = |agent| markups.get(agent).copied().unwrap_or(0);
                let billed =
                    costs.by_agent.iter().map(|(agent, cost)| cost::with_markup(*cost, markup(agent)));
                let terms = scope.agent().and(agents.first()).map(|(_, terms)| terms);
                Ok(BillingSummary {
                    agent_id: scope.agent().cloned(),
                    period,
                    since,
                    provider_cost: total(costs.by_agent.values().copied()),
                    billing_cost: total(billed),
                    currency: CURRENCY.to_owned(),
                    markup_percent: terms.map(|terms| terms.markup_percent),
                    tier: terms.and_then(|terms| terms.tier),
                    by_channel: costs.by_channel,
                })
            }
            .boxed()
        })
        .await
}

/// The same charges, added up in two ways.
#[derive(Default)]
struct Costs {
    by_agent: BTreeMap<AgentId, Micros>,
    by_channel: BTreeMap<String, Micros>,
}

async fn costs(conn: &mut Conn, scope: &Scope, since: Timestamp) -> Result<Costs, ServiceError> {
    let mut costs = Costs::default();
    for row in usage_logs::sums(conn, scope.agent(), since).await? {
        costs.by_channel.entry(row.channel.as_str().to_owned()).or_default().0 += row.charge.0;
        costs.by_agent.entry(row.agent_id).or_default().0 += row.charge.0;
    }
    Ok(costs)
}

fn total(amounts: impl Iterator<Item = Micros>) -> Micros {
    Micros(amounts.map(|amount| amount.0).sum())
}

/// Changes the limits that are named, and leaves the others as they are.
pub(crate) async fn set_limits(
    app: &App,
    admin: &Admin,
    call: SetAgentLimits,
) -> Result<LimitsInForce, ServiceError> {
    let SetAgentLimits { agent_id, limits: patch } = call;
    limits::check(&patch)
        .map_err(|InvalidLimit { field, problem }| ServiceError::Invalid { field, problem })?;
    let named = serde_json::to_string(&patch).expect("numbers can be written as JSON");
    let (actor, rules, now) = (admin.actor().to_owned(), Arc::clone(&app.rules), app.now());
    app.db
        .transaction(move |tx| {
            async move {
                // First of all, so that two changes at once do not both build on the same old limits.
                let act = Act(&actor, "limits.set", agent_id.as_str());
                audit::append(tx, now, act, &[("limits", &named)]).await?;
                let terms = operator::present(tx, &agent_id).await?;
                let overrides = limits::merge(&terms.overrides, &patch);
                spending_limits::upsert(tx, &agent_id, &overrides, now).await?;
                Ok(LimitsInForce { agent_id, limits: rules.limits(&Terms { overrides, ..terms }) })
            }
            .boxed()
        })
        .await
}

/// Changes what is named, and leaves the rest as it is.
pub(crate) async fn set_config(
    app: &App,
    admin: &Admin,
    call: SetBillingConfig,
) -> Result<BillingInForce, ServiceError> {
    if call.markup_percent.is_some_and(|percent| !MARKUPS.contains(&percent)) {
        let problem = format!("must be from {} to {}", MARKUPS.start(), MARKUPS.end());
        return Err(ServiceError::Invalid { field: "markupPercent", problem });
    }
    let email = parse_email(call.billing_email.as_deref())?;
    let tier = call.tier.map_or("as it was", Tier::as_str);
    let markup = call.markup_percent.map_or("as it was".to_owned(), |percent| percent.to_string());
    let (actor, rules, now) = (admin.actor().to_owned(), Arc::clone(&app.rules), app.now());
    app.db
        .transaction(move |tx| {
            async move {
                let agent_id = call.agent_id;
                let act = Act(&actor, "billing.set", agent_id.as_str());
                audit::append(tx, now, act, &[("tier", tier), ("markup", &markup)]).await?;
                let terms = operator::present(tx, &agent_id).await?;
                let present = billing_config::find(tx, &agent_id).await?;
                let config = BillingConfig {
                    agent_id: agent_id.clone(),
                    tier: call.tier.or(terms.tier),
                    markup_percent: call.markup_percent.unwrap_or(terms.markup_percent),
                    billing_email: email.or(present.and_then(|present| present.billing_email)),
                    updated_at: now,
                };
                billing_config::upsert(tx, &config).await?;
                let limits = rules.limits(&Terms { tier: config.tier, ..terms });
                let BillingConfig { tier, markup_percent, billing_email, .. } = config;
                Ok(BillingInForce { agent_id, tier, markup_percent, billing_email, limits })
            }
            .boxed()
        })
        .await
}

fn parse_email(text: Option<&str>) -> Result<Option<String>, ServiceError> {
    let parsed = text.map(|text| text.trim().parse::<EmailAddress>()).transpose();
    match parsed {
        Ok(email) => Ok(email.map(|email| email.to_string())),
        Err(problem) => Err(ServiceError::Invalid { field: "billingEmail", problem: problem.to_string() }),
    }
}
