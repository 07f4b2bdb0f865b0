//! Messages that go out: how long an agent waits for one, what the rules take of that, and whether an agent with a
//! long past waits longer.

mod checks;
mod reservations;
mod tool;

use anyhow::Result;
use relay_store::agents::{self, Agent, AgentStatus};
use relay_store::usage_counters::{Caps, Period, Take};
use relay_store::usage_logs::{UsageKind, UsageLog, UsageStatus};
use relay_store::{Database, FutureExt};
use shared::ids::{AgentId, MessageId};
use shared::model::{Channel, Micros, Responder, Timestamp};
use tests::process::{Home, Programs};

/// As the highest tier has them.
const CAPS: Caps = Caps {
    per_minute: 100,
    per_hour: 10_000,
    per_day: 50_000,
    spend_per_day: Micros(i64::MAX),
    spend_per_month: Micros(i64::MAX),
};
/// No agent has this name: the counters of all together stand under it.
const ALL_AGENTS: &str = "*";
const CHARGE: Micros = Micros(8_300);
const DAY_MILLIS: i64 = 86_400_000;

pub(crate) async fn measure(programs: &Programs) -> Result<()> {
    tool::measure(programs).await?;
    reservations::measure().await?;
    checks::measure().await
}

/// A database with the default agent.
async fn database(home: &Home) -> Result<Database> {
    let db = Database::open("sqlite:comms.db", home.path()).await?;
    let agent = Agent {
        id: AgentId::default_agent(),
        name: "Bench".to_owned(),
        greeting: None,
        system_prompt: None,
        voice: None,
        language: None,
        responder: Responder::Auto,
        status: AgentStatus::Active,
        created_at: at(0),
        time_zone: None,
        recipients: None,
    };
    db.transaction(move |tx| async move { agents::insert_if_absent(tx, &agent).await }.boxed()).await?;
    Ok(db)
}

/// When the agent's action with this number is: one every ten seconds.
fn at(number: i64) -> Timestamp {
    Timestamp::from_millis(DAY_MILLIS + number * 10_000)
}

/// The day of that action, in a month that does not end.
fn period(number: i64) -> Period {
    let day_start = at(number).as_millis() / DAY_MILLIS * DAY_MILLIS;
    Period { day_start: Timestamp::from_millis(day_start), month_start: Timestamp::from_millis(DAY_MILLIS) }
}

fn take<'a>(key: &'a str, caps: &'a Caps, number: i64) -> Take<'a> {
    Take { key, charge: CHARGE, caps, period: period(number), now: at(number) }
}

/// What is written down of an action that was let pass.
fn reservation(number: i64) -> UsageLog {
    let Period { day_start, month_start } = period(number);
    UsageLog {
        id: MessageId::generate().to_string(),
        agent_id: AgentId::default_agent(),
        n: number,
        kind: UsageKind::Message,
        channel: Channel::Sms,
        status: UsageStatus::Reserved,
        charge: CHARGE,
        currency: "USD".to_owned(),
        country: "US".to_owned(),
        quantity: 1,
        at: at(number),
        day_start,
        month_start,
        updated_at: at(number),
    }
}
