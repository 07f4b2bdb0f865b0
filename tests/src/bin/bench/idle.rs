//! The relay with nothing to do: how soon it is there, what it holds, what it burns.

use std::time::{Duration, Instant};

use anyhow::Result;
use tests::process::{Home, Programs, RelayProcess};

use crate::ROUNDS;
use crate::http_load::Connection;
use crate::report::{Figure, figure};
use crate::sample::{median, processor_time, resident_kib};

const WATCHED: Duration = Duration::from_secs(10);
const HEALTH: &[u8] = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";

pub(crate) async fn measure(programs: &Programs) -> Result<()> {
    let mut starts = Vec::new();
    for _ in 0..ROUNDS {
        let home = Home::temp();
        starts.push(start(programs, &home).await?.1);
    }
    show("comms-relay, start in an empty home to /health 200", "ms", median(&starts), "<= 300");

    let home = Home::temp();
    let (relay, _) = start(programs, &home).await?;
    // What starting up itself still does is not idling.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = processor_time(relay.pid())?;
    tokio::time::sleep(WATCHED).await;
    let burnt = processor_time(relay.pid())?.saturating_sub(before);
    show(
        "comms-relay, idle, share of one processor",
        "%",
        burnt.as_secs_f64() / WATCHED.as_secs_f64() * 100.0,
        "< 0.2",
    );
    show("comms-relay, idle, resident memory", "KiB", resident_kib(relay.pid())?, "<= 25600");
    Ok(())
}

/// A relay, and the milliseconds until it was healthy.
async fn start(programs: &Programs, home: &Home) -> Result<(RelayProcess, f64)> {
    let start = Instant::now();
    let relay = RelayProcess::start_program(&programs.relay, &[], home, &[]).await?;
    Connection::open(relay.public_addr()).await?.send(HEALTH).await?;
    Ok((relay, start.elapsed().as_secs_f64() * 1e3))
}

fn show(name: &'static str, unit: &'static str, product: f64, aim: &'static str) {
    figure(&Figure { name, unit, product, bare: None, aim });
}
