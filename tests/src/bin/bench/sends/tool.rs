//! A text by `comms_send_message`, from the tool call to the simulated carrier's answer, beside one synced insert.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rusqlite::{Connection, TransactionBehavior};
use serde_json::json;
use tests::process::{Home, McpProcess, Programs, RelayProcess};

use crate::report::{Figure, figure};
use crate::sample::{Samples, median};
use crate::{ROUNDS, WIDE_LIMITS};

const SENDS: usize = 500;
const TO: &str = "+14155550123";
const BODY: &str = "Thursday at three it is. See you then!";

/// What several rounds gave, in microseconds.
#[derive(Default)]
struct Rounds {
    p50: Vec<f64>,
    p99: Vec<f64>,
}

pub(super) async fn measure(programs: &Programs) -> Result<()> {
    let (home, bare_home) = (Home::temp(), Home::temp());
    let _relay = RelayProcess::start_program(&programs.relay, &[], &home, &WIDE_LIMITS).await?;
    let mut mcp = McpProcess::start_program(&programs.mcp, &home, &[], &[])?;
    mcp.initialize("bench").await?;
    let mut database = bare_database(&bare_home)?;
    let (mut product, mut limit) = (Rounds::default(), Rounds::default());
    // The first round warms both up and does not count.
    for round in 0..=ROUNDS {
        let (mut sends, mut inserts) = (Samples::default(), Samples::default());
        for _ in 0..SENDS {
            sends.push(send(&mut mcp).await?);
        }
        for _ in 0..SENDS {
            inserts.push(insert(&mut database)?);
        }
        if round > 0 {
            product.add(sends);
            limit.add(inserts);
        }
    }
    report(&product, &limit);
    Ok(())
}

async fn send(mcp: &mut McpProcess) -> Result<Duration> {
    let start = Instant::now();
    let result = mcp.call_tool("comms_send_message", json!({ "to": TO, "body": BODY })).await?;
    let elapsed = start.elapsed();
    ensure!(result["isError"] != true, "the tool failed: {result}");
    Ok(elapsed)
}

fn bare_database(home: &Home) -> Result<Connection> {
    let connection = Connection::open(home.path().join("bare.db"))?;
    connection.execute_batch(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
         CREATE TABLE outbound(id INTEGER PRIMARY KEY, recipient TEXT, body TEXT) STRICT;",
    )?;
    Ok(connection)
}

fn insert(connection: &mut Connection) -> Result<Duration> {
    let start = Instant::now();
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction
        .prepare_cached("INSERT INTO outbound(recipient, body) VALUES(?1, ?2)")?
        .execute((TO, BODY))?;
    transaction.commit()?;
    Ok(start.elapsed())
}

impl Rounds {
    fn add(&mut self, mut samples: Samples) {
        self.p50.push(samples.micros(0.5));
        self.p99.push(samples.micros(0.99));
    }
}

fn report(product: &Rounds, limit: &Rounds) {
    let show = |name, product: &[f64], limit: &[f64], aim| {
        let (product, bare) = (median(product), Some(median(limit)));
        figure(&Figure { name, unit: "us", product, bare, aim });
    };
    show("comms_send_message, p50, beside a synced insert", &product.p50, &limit.p50, "ratio <= 3");
    show("comms_send_message, p99, beside a synced insert", &product.p99, &limit.p99, "-");
}
