//! What an agent, or all of them, have done in a stretch of time, what that cost, and what is left of their limits.
//! Called for `comms_get_usage_dashboard`; changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use relay_core::period::{self, Zone};
use relay_store::agents::Terms;
use relay_store::{Conn, agents, call_logs, limit_hits, messages, usage_counters, usage_logs};
use shared::ids::AgentId;
use shared::model::{Channel, Direction, Limits, MessageKind, Micros, Timestamp};
use shared::protocol::{ChannelUsage, GetUsage, LimitState, UsageDashboard, UsagePeriod};

use super::ServiceError;
use super::identity::Scope;
use super::policy::{self, ALL_AGENTS, CURRENCY, Rules};
use crate::app::App;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// The answer to `comms_get_usage_dashboard`.
pub(crate) async fn dashboard(
    app: &App,
    scope: &Scope,
    call: GetUsage,
) -> Result<UsageDashboard, ServiceError> {
    let (scope, rules, now) = (scope.clone(), Arc::clone(&app.rules), app.now());
    let org_caps = OrgCaps {
        per_day: app.config.limits.org_spend_per_day,
        per_month: app.config.limits.org_spend_per_month,
    };
    let period = call.period.unwrap_or(UsagePeriod::Today);
    app.db
        .read(move |conn| {
            async move {
                let agents = in_scope(conn, &scope).await?;
                let zone = zone(&rules, &scope, &agents);
                let since = since(period, &zone, now);
                let by_channel = by_channel(conn, scope.agent(), since).await?;
                let mut limit_hits = 0;
                for (id, terms) in &agents {
                    // A day's hits are counted under the agent's own day.
                    let since = self::since(period, &rules.zone(terms), now);
                    limit_hits += limit_hits::count(conn, Some(id), since.unwrap_or(BEGINNING)).await?;
                }
                let limits = match (scope.agent(), agents.first()) {
                    (Some(id), Some((_, terms))) => {
                        limits(conn, id, (&rules.limits(terms), &zone), now).await?
                    }
                    _ => org_limits(conn, &org_caps, &zone, now).await?,
                };
                Ok(UsageDashboard {
                    agent_id: scope.agent().cloned(),
                    period,
                    since,
                    time_zone: zone.name().to_owned(),
                    cost: Micros(by_channel.values().map(|usage| usage.cost.0).sum()),
                    by_channel,
                    currency: CURRENCY.to_owned(),
                    limits,
                    limit_hits,
                })
            }
            .boxed()
        })
        .await
}

/// Before anything that was ever counted.
pub(super) const BEGINNING: Timestamp = Timestamp::from_millis(0);

/// The agents that a question is about, with what holds for each.
pub(super) async fn in_scope(conn: &mut Conn, scope: &Scope) -> Result<Vec<(AgentId, Terms)>, ServiceError> {
    let ids = match scope.agent() {
        Some(id) => vec![id.clone()],
        None => agents::list(conn).await?.into_iter().map(|agent| agent.id).collect(),
    };
    let mut found = Vec::new();
    for id in ids {
        if let Some(terms) = agents::find_terms(conn, &id).await? {
            found.push((id, terms));
        }
    }
    if scope.agent().is_some() && found.is_empty() {
        return Err(ServiceError::NotFound("agent"));
    }
    Ok(found)
}

/// By whose midnight the time is cut.
pub(super) fn zone(rules: &Rules, scope: &Scope, agents: &[(AgentId, Terms)]) -> Zone {
    match (scope.agent(), agents) {
        (Some(_), [(_, terms)]) => rules.zone(terms),
        _ => rules.own_zone().clone(),
    }
}

/// When a period began that ends now; `None` if it never did.
pub(super) fn since(period: UsagePeriod, zone: &Zone, now: Timestamp) -> Option<Timestamp> {
    match period {
        UsagePeriod::Today => Some(period::day_start(now, zone)),
        UsagePeriod::Week => Some(period::week_start(now, zone)),
        UsagePeriod::Month => Some(period::month_start(now, zone)),
        UsagePeriod::All => None,
    }
}

/// A call is counted as a call, whatever was said in it.
async fn by_channel(
    conn: &mut Conn,
    agent: Option<&AgentId>,
    since: Option<Timestamp>,
) -> Result<BTreeMap<String, ChannelUsage>, ServiceError> {
    let since = since.unwrap_or(BEGINNING);
    let mut used = BTreeMap::new();
    for row in messages::counts(conn, agent, since).await? {
        if row.kind == MessageKind::Message && row.channel != Channel::Voice {
            *count(of(&mut used, row.channel), row.direction) += row.n;
        }
    }
    for row in call_logs::counts(conn, agent, since).await? {
        let calls = of(&mut used, Channel::Voice);
        *count(calls, row.direction) += row.n;
        calls.seconds += row.seconds;
    }
    for row in usage_logs::sums(conn, agent, since).await? {
        of(&mut used, row.channel).cost.0 += row.charge.0;
    }
    Ok(used)
}

fn of(used: &mut BTreeMap<String, ChannelUsage>, channel: Channel) -> &mut ChannelUsage {
    used.entry(channel.as_str().to_owned()).or_default()
}

fn count(usage: &mut ChannelUsage, direction: Direction) -> &mut i64 {
    match direction {
        Direction::Inbound => &mut usage.inbound,
        Direction::Outbound => &mut usage.outbound,
    }
}

/// The limits of an agent that something can be left of: for calls to the same number, of the number that was called
/// most. How long a call may last is nothing to be used up.
async fn limits(
    conn: &mut Conn,
    agent: &AgentId,
    (limits, zone): (&Limits, &Zone),
    now: Timestamp,
) -> Result<Vec<LimitState>, ServiceError> {
    let counters = usage_counters::find(conn, agent.as_str()).await?;
    let (total, last_at) = counters.map_or((0, now), |counters| (counters.total, counters.last_at));
    let in_minute = actions_after(conn, agent, total, now.minus(MINUTE)).await?;
    let in_hour = actions_after(conn, agent, total, now.minus(HOUR)).await?;
    let used = policy::used(conn, agent, (limits, zone), now).await?;
    let to_one = call_logs::most_to_one_number(conn, agent, period::day_start(now, zone)).await?;
    let (day, month) = (used.day_end, used.month_end);
    Ok(vec![
        actions("maxActionsPerMinute", limits.max_actions_per_minute, in_minute, last_at.plus(MINUTE)),
        actions("maxActionsPerHour", limits.max_actions_per_hour, in_hour, last_at.plus(HOUR)),
        actions("maxActionsPerDay", limits.max_actions_per_day, used.day_actions, day),
        money("maxSpendPerDay", limits.max_spend_per_day, used.day_spent, day),
        money("maxSpendPerMonth", limits.max_spend_per_month, used.month_spent, month),
        actions("maxCallsPerDayToSameNumber", limits.max_calls_per_day_to_same_number, to_one, day),
    ])
}

/// How many of an agent's actions came after `since`, those that failed included, as its limits count them. Their
/// numbers go up with the time, so that few of them need to be looked at.
async fn actions_after(
    conn: &mut Conn,
    agent: &AgentId,
    total: i64,
    since: Timestamp,
) -> Result<i64, ServiceError> {
    let (mut before, mut after) = (0, total + 1);
    while after - before > 1 {
        let middle = before + (after - before) / 2;
        match usage_logs::at_number(conn, agent, middle).await? {
            Some(at) if at > since => after = middle,
            _ => before = middle,
        }
    }
    Ok(total + 1 - after)
}

/// What all agents together may spend, where that is set.
struct OrgCaps {
    per_day: Option<Micros>,
    per_month: Option<Micros>,
}

async fn org_limits(
    conn: &mut Conn,
    caps: &OrgCaps,
    zone: &Zone,
    now: Timestamp,
) -> Result<Vec<LimitState>, ServiceError> {
    let counters = usage_counters::find(conn, ALL_AGENTS).await?;
    let current = policy::current(zone, now);
    let of_day = counters.as_ref().filter(|counters| counters.day_start >= current.day_start);
    let of_month = counters.as_ref().filter(|counters| counters.month_start >= current.month_start);
    let day_spent = of_day.map_or(Micros(0), |counters| counters.day_spent);
    let month_spent = of_month.map_or(Micros(0), |counters| counters.month_spent);
    let (day_end, month_end) = (period::day_end(now, zone), period::month_end(now, zone));
    let day = caps.per_day.map(|cap| money("limits.org_spend_per_day", cap, day_spent, day_end));
    let month = caps.per_month.map(|cap| money("limits.org_spend_per_month", cap, month_spent, month_end));
    Ok([day, month].into_iter().flatten().collect())
}

fn actions(name: &str, limit: i64, used: i64, resets_at: Timestamp) -> LimitState {
    LimitState {
        name: name.to_owned(),
        limit: limit.to_string(),
        used: used.to_string(),
        left: (limit - used).max(0).to_string(),
        resets_at: (used > 0).then_some(resets_at),
    }
}

fn money(name: &str, limit: Micros, used: Micros, resets_at: Timestamp) -> LimitState {
    LimitState {
        name: name.to_owned(),
        limit: limit.to_string(),
        used: used.to_string(),
        left: Micros((limit.0 - used.0).max(0)).to_string(),
        resets_at: (used.0 > 0).then_some(resets_at),
    }
}
