//! Whether an action fits an agent's limits: asked of an agent that is new, and of one with a long past.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use relay_store::usage_counters::{self, Caps};
use relay_store::{Conn, Database, FutureExt, StoreError, usage_logs};
use shared::ids::AgentId;
use shared::model::Micros;
use tests::process::Home;

use super::{CAPS, database, reservation, take};
use crate::report::{Figure, figure};
use crate::sample::Samples;

const PAST: i64 = 1_000_000;
const ACTIONS_A_TRANSACTION: i64 = 10_000;
const CHECKS: usize = 2_000;
const NO_CAPS: Caps = Caps {
    per_minute: i64::MAX,
    per_hour: i64::MAX,
    per_day: i64::MAX,
    spend_per_day: Micros(i64::MAX),
    spend_per_month: Micros(i64::MAX),
};

/// A transaction of which nothing is kept, so that the same is asked every time.
enum Undone {
    Took(Duration),
    Refused,
    Failed(StoreError),
}

impl From<StoreError> for Undone {
    fn from(problem: StoreError) -> Self {
        Self::Failed(problem)
    }
}

pub(super) async fn measure() -> Result<()> {
    let (home, fresh_home) = (Home::temp(), Home::temp());
    let (db, fresh) = (database(&home).await?, database(&fresh_home).await?);
    let mut done = 0;
    while done < PAST {
        done = db.transaction(move |tx| act(tx, done, ACTIONS_A_TRANSACTION).boxed()).await?;
    }
    // The first action of all also makes the row that counts, so the new agent has one behind it.
    let first = fresh.transaction(|tx| act(tx, 0, 1).boxed()).await?;
    ensure!((first, done) == (1, PAST), "the past is not what it should be");
    let (mut old, mut new) = (Samples::default(), Samples::default());
    for _ in 0..CHECKS {
        old.push(check(&db, PAST + 1).await?);
        new.push(check(&fresh, 2).await?);
    }
    db.close().await;
    fresh.close().await;
    figure(&Figure {
        name: "limit check after 1,000,000 actions and after one",
        unit: "us",
        product: old.micros(0.5),
        bare: Some(new.micros(0.5)),
        aim: "ratio near 1",
    });
    Ok(())
}

/// Lets the agent act so many times more, and gives how often it has.
async fn act(tx: &mut Conn, done: i64, more: i64) -> relay_store::Result<i64> {
    for number in done + 1..=done + more {
        usage_counters::take(tx, &take(AgentId::default_agent().as_str(), &NO_CAPS, number)).await?;
        usage_logs::insert(tx, &reservation(number)).await?;
    }
    Ok(done + more)
}

/// How long the agent's action with this number takes to be let pass.
async fn check(db: &Database, number: i64) -> Result<Duration> {
    let undone = db
        .transaction::<(), Undone, _>(move |tx| {
            async move {
                let (agent, start) = (AgentId::default_agent(), Instant::now());
                let taken = usage_counters::take(tx, &take(agent.as_str(), &CAPS, number)).await?;
                let elapsed = start.elapsed();
                Err(if taken == Some(number) { Undone::Took(elapsed) } else { Undone::Refused })
            }
            .boxed()
        })
        .await;
    match undone {
        Err(Undone::Took(elapsed)) => Ok(elapsed),
        Err(Undone::Failed(problem)) => Err(problem.into()),
        Ok(()) | Err(Undone::Refused) => bail!("the action was not let pass as the agent's next"),
    }
}
