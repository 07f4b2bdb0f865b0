//! How often and for how much: the reservation of what goes out, and the words for one that is refused.

use std::time::Duration;

use futures_util::FutureExt;
use relay_core::limits::{self, Exceeded, LimitName, Used};
use relay_core::period::{self, Zone};
use relay_core::recipient::Address;
use relay_store::agents::Terms;
use relay_store::usage_counters::{self, Caps, Period, Take};
use relay_store::usage_logs::{self, UsageKind, UsageLog, UsageStatus};
use relay_store::{Conn, call_logs, limit_hits};
use shared::ids::AgentId;
use shared::model::{Limits, Micros, Timestamp};
use shared::protocol::{ApiError, ErrorCode};

use super::{CURRENCY, Departure, Rules};
use crate::app::App;
use crate::services::ServiceError;
use crate::services::audit::{self, Act};

/// Under this name the counters of all agents together stand; no agent can have it.
pub(crate) const ALL_AGENTS: &str = "*";

/// A limit that stands in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverLimit {
    agent: AgentId,
    limit: &'static str,
    day_start: Timestamp,
    error: ApiError,
}

impl OverLimit {
    pub(crate) fn to_api_error(&self) -> ApiError {
        self.error.clone()
    }
}

/// Reserves what a departure may cost, or says which limit forbids it.
pub(super) async fn reserve(
    tx: &mut Conn,
    rules: &Rules,
    (terms, departure): (&Terms, &Departure),
    now: Timestamp,
) -> Result<(), ServiceError> {
    let (limits, zone) = (rules.limits(terms), rules.zone(terms));
    let today = current(&zone, now);
    if matches!(departure.kind, UsageKind::Call | UsageKind::VoiceMessage | UsageKind::Transfer) {
        allow_another_call(tx, departure, (&limits, &zone), now).await?;
    }
    let caps = caps(&limits);
    #[cfg(feature = "fault-check-before-take")]
    let caps = super::fault::loosened(tx, departure, caps).await?;
    let own =
        Take { key: departure.agent.as_str(), charge: departure.charge, caps: &caps, period: today, now };
    let Some(n) = usage_counters::take(tx, &own).await? else {
        return Err(over_limit(tx, departure, (&limits, &zone), now).await?);
    };
    let org = rules.org_caps();
    let org_period = current(&rules.zone, now);
    let all = Take { key: ALL_AGENTS, charge: departure.charge, caps: &org, period: org_period, now };
    if usage_counters::take(tx, &all).await?.is_none() {
        return Err(over_all(departure, org_period.day_start));
    }
    let country = match &departure.to {
        Address::Phone(number) => rules.prices.country(number).to_owned(),
        Address::Email(_) => String::new(),
    };
    let reservation = UsageLog {
        id: departure.id.clone(),
        agent_id: departure.agent.clone(),
        n,
        kind: departure.kind,
        channel: departure.channel,
        status: UsageStatus::Reserved,
        charge: departure.charge,
        currency: CURRENCY.to_owned(),
        country,
        quantity: departure.quantity,
        at: now,
        day_start: today.day_start,
        month_start: today.month_start,
        updated_at: now,
    };
    usage_logs::insert(tx, &reservation).await?;
    Ok(())
}

impl Rules {
    fn org_caps(&self) -> Caps {
        let none = Self::no_caps();
        Caps {
            spend_per_day: self.org_per_day.unwrap_or(none.spend_per_day),
            spend_per_month: self.org_per_month.unwrap_or(none.spend_per_month),
            ..none
        }
    }

    pub(super) fn no_caps() -> Caps {
        Caps {
            per_minute: i64::MAX,
            per_hour: i64::MAX,
            per_day: i64::MAX,
            spend_per_day: Micros(i64::MAX),
            spend_per_month: Micros(i64::MAX),
        }
    }
}

fn caps(limits: &Limits) -> Caps {
    Caps {
        per_minute: limits.max_actions_per_minute,
        per_hour: limits.max_actions_per_hour,
        per_day: limits.max_actions_per_day,
        spend_per_day: limits.max_spend_per_day,
        spend_per_month: limits.max_spend_per_month,
    }
}

/// The day and the month that it is.
pub(crate) fn current(zone: &Zone, now: Timestamp) -> Period {
    Period { day_start: period::day_start(now, zone), month_start: period::month_start(now, zone) }
}

async fn allow_another_call(
    tx: &mut Conn,
    departure: &Departure,
    (limits, zone): (&Limits, &Zone),
    now: Timestamp,
) -> Result<(), ServiceError> {
    let day_start = period::day_start(now, zone);
    let most = limits.max_calls_per_day_to_same_number;
    if call_logs::count_to_number(tx, &departure.agent, departure.to.as_str(), day_start).await? < most {
        return Ok(());
    }
    let exceeded = Exceeded {
        limit: LimitName::SameNumber,
        allowed: most.to_string(),
        again_at: (most > 0).then(|| period::day_end(now, zone)),
    };
    Err(told(departure, &exceeded, day_start, now))
}

/// How far an agent has used its limits up.
pub(crate) async fn used(
    conn: &mut Conn,
    agent: &AgentId,
    (limits, zone): (&Limits, &Zone),
    now: Timestamp,
) -> Result<Used, ServiceError> {
    let counters = usage_counters::find(conn, agent.as_str()).await?;
    let total = counters.as_ref().map_or(0, |counters| counters.total);
    let today = current(zone, now);
    let of_day = counters.as_ref().filter(|counters| counters.day_start >= today.day_start);
    let of_month = counters.as_ref().filter(|counters| counters.month_start >= today.month_start);
    let minute = total + 1 - limits.max_actions_per_minute;
    let hour = total + 1 - limits.max_actions_per_hour;
    Ok(Used {
        nth_in_minute: usage_logs::at_number(conn, agent, minute).await?,
        nth_in_hour: usage_logs::at_number(conn, agent, hour).await?,
        day_actions: of_day.map_or(0, |counters| counters.day_actions),
        day_spent: of_day.map_or(Micros(0), |counters| counters.day_spent),
        month_spent: of_month.map_or(Micros(0), |counters| counters.month_spent),
        day_end: period::day_end(now, zone),
        month_end: period::month_end(now, zone),
    })
}

/// Which limit it was. The store has said no; this only finds the words.
async fn over_limit(
    tx: &mut Conn,
    departure: &Departure,
    (limits, zone): (&Limits, &Zone),
    now: Timestamp,
) -> Result<ServiceError, ServiceError> {
    let used = used(tx, &departure.agent, (limits, zone), now).await?;
    // Nothing found: a clock that went back makes the store stricter than the explanation.
    let exceeded = limits::explain(&used, limits, departure.charge, now).unwrap_or_else(|| Exceeded {
        limit: LimitName::PerMinute,
        allowed: limits.max_actions_per_minute.to_string(),
        again_at: Some(now.plus(Duration::from_secs(60))),
    });
    Ok(told(departure, &exceeded, period::day_start(now, zone), now))
}

fn told(departure: &Departure, exceeded: &Exceeded, day_start: Timestamp, now: Timestamp) -> ServiceError {
    let code = match exceeded.limit {
        LimitName::SpendPerDay | LimitName::SpendPerMonth => ErrorCode::SpendLimit,
        LimitName::PerMinute | LimitName::PerHour | LimitName::PerDay => ErrorCode::RateLimited,
        LimitName::SameNumber => ErrorCode::ContactFrequency,
    };
    let (message, hint) = limits::sentence(exceeded, now);
    let error = ApiError::new(code, message, hint);
    let error = match exceeded.again_at {
        Some(at) => error.retryable(Some(at.since(now).as_millis().div_ceil(1_000).max(1) as u64)),
        None => error,
    };
    let agent = departure.agent.clone();
    ServiceError::OverLimit(Box::new(OverLimit { agent, limit: exceeded.limit.as_str(), day_start, error }))
}

fn over_all(departure: &Departure, day_start: Timestamp) -> ServiceError {
    let error = ApiError::new(
        ErrorCode::SpendLimit,
        "The spending cap of all agents together is reached; nothing was sent.",
        "The person who runs the relay can raise limits.org_spend_per_day or limits.org_spend_per_month.",
    );
    let agent = departure.agent.clone();
    ServiceError::OverLimit(Box::new(OverLimit { agent, limit: "orgSpend", day_start, error }))
}

/// Counts a refusal, for the dashboard. The first of a day stands in the audit log too; more would let an agent that
/// goes on asking grow it without end.
pub(super) async fn count_hit(app: &App, hit: OverLimit) -> Result<(), ServiceError> {
    let now = app.now();
    app.db
        .transaction::<_, ServiceError, _>(move |tx| {
            async move {
                audit::lock(tx).await?;
                let hits = limit_hits::record(tx, &hit.agent, hit.limit, hit.day_start).await?;
                if hits == 1 {
                    let (actor, detail) = (format!("agent:{}", hit.agent), [("limit", hit.limit)]);
                    let act = Act(&actor, "limit.refused", hit.agent.as_str());
                    audit::append(tx, now, act, &detail).await?;
                }
                Ok(())
            }
            .boxed()
        })
        .await
}
