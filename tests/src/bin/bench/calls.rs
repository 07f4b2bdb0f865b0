//! Live calls: how long the relay takes between a caller's words and the first words back, with many calls open
//! and an agent that answers at once; what a call costs in memory.

mod agent;
mod line;

use std::time::Duration;

use anyhow::Result;
use tests::process::{Home, Programs, RelayProcess};
use tokio::task::JoinSet;

use crate::bare::Server;
use crate::report::{Figure, figure};
use crate::sample::{Samples, resident_kib};
use crate::twilio;
use agent::Agents;
use line::Line;

/// Calls that are open before the others: what the server allocates once is not what a call costs.
const FIRST_CALLS: usize = 300;
const CALLS: usize = 500;
/// Each caller speaks this often; all of them are spread over it.
const PACE: Duration = Duration::from_secs(2);
const TURNS: u32 = 8;

/// What one run gave.
struct Run {
    latencies: Samples,
    kib_per_call: f64,
}

pub(crate) async fn measure(programs: &Programs) -> Result<()> {
    let home = Home::temp();
    let relay = RelayProcess::start_program(&programs.relay, &[], &home, &twilio::relay()).await?;
    let mut agents = Agents::new(relay.socket());
    let mut open = async |number| {
        let call = twilio::Call::new(number);
        let line = Line::open(relay.public_addr(), &call).await?;
        anyhow::Ok(line.answered_by(agents.claim(&call.sid).await?))
    };
    let product = run(&mut open, relay.pid()).await?;

    let server = Server::start(&["bare-ws"]).await?;
    let address = server.socket_address()?;
    let bare = run(&mut async |_| Line::open_bare(address).await, server.pid()?).await?;
    report(product, bare);
    Ok(())
}

async fn run(open: &mut impl AsyncFnMut(usize) -> Result<Line>, server: u32) -> Result<Run> {
    let mut lines = Vec::with_capacity(CALLS);
    for number in 0..FIRST_CALLS {
        lines.push(open(number).await?);
    }
    let (mut lines, _) = talk(lines).await?;
    let before = resident_kib(server)?;
    for number in FIRST_CALLS..CALLS {
        lines.push(open(number).await?);
    }
    let (lines, latencies) = talk(lines).await?;
    let kib_per_call = (resident_kib(server)? - before) / (lines.len() - FIRST_CALLS) as f64;
    Ok(Run { latencies, kib_per_call })
}

/// Lets all callers speak in turn, several times.
async fn talk(lines: Vec<Line>) -> Result<(Vec<Line>, Samples)> {
    let calls = lines.len();
    let mut talking = JoinSet::new();
    for (number, mut line) in lines.into_iter().enumerate() {
        let offset = PACE.mul_f64(number as f64 / calls as f64);
        talking.spawn(async move {
            tokio::time::sleep(offset).await;
            let mut turns = tokio::time::interval(PACE);
            let mut latencies = Samples::default();
            for _ in 0..TURNS {
                turns.tick().await;
                latencies.push(line.turn().await?);
            }
            anyhow::Ok((line, latencies))
        });
    }
    let (mut open, mut latencies) = (Vec::with_capacity(calls), Samples::default());
    while let Some(talked) = talking.join_next().await {
        let (line, samples) = talked??;
        open.push(line);
        latencies.extend(samples);
    }
    Ok((open, latencies))
}

fn report(mut product: Run, mut bare: Run) {
    let mut latency = |name, share, aim| {
        let (product, bare) = (product.latencies.micros(share), bare.latencies.micros(share));
        figure(&Figure { name, unit: "us", product, bare: Some(bare), aim });
    };
    latency("500 live calls, words in to words out, p50", 0.5, "<= 1000");
    latency("500 live calls, words in to words out, p99", 0.99, "<= 10000");
    figure(&Figure {
        name: "500 live calls, resident memory a further call",
        unit: "KiB",
        product: product.kib_per_call,
        bare: Some(bare.kib_per_call),
        aim: "<= 16",
    });
}
