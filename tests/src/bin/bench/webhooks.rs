//! Inbound texts: from the signed request to the answer, with everything stored and synced in between.

use anyhow::Result;
use tests::process::{Home, Programs, RelayProcess};

use crate::bare::Server;
use crate::http_load::{self, Load};
use crate::report::{Figure, figure};
use crate::sample::{Samples, median};
use crate::{ROUNDS, twilio};

const CONNECTIONS: usize = 16;
const REQUESTS: u64 = 20_000;

/// What several rounds gave.
#[derive(Default)]
struct Rounds {
    per_second: Vec<f64>,
    p99: Vec<f64>,
}

pub(crate) async fn measure(programs: &Programs) -> Result<()> {
    let (home, bare_home) = (Home::temp(), Home::temp());
    let relay = RelayProcess::start_program(&programs.relay, &[], &home, &twilio::relay()).await?;
    let bare = Server::start(&["bare-http", &bare_home.path().join("bare.db").to_string_lossy()]).await?;
    let (mut product, mut limit) = (Rounds::default(), Rounds::default());
    // The first round warms both up and does not count.
    for round in 0..=ROUNDS as u64 {
        let load = http_load::run(relay.public_addr(), CONNECTIONS, texts(round)).await?;
        let bare_load = http_load::run(bare.socket_address()?, CONNECTIONS, texts(round)).await?;
        if round > 0 {
            product.add(load);
            limit.add(bare_load);
        }
    }
    report(&product, &limit);
    Ok(())
}

fn texts(round: u64) -> Vec<Vec<u8>> {
    (round * REQUESTS..(round + 1) * REQUESTS).map(twilio::text).collect()
}

impl Rounds {
    fn add(&mut self, Load { per_second, mut latencies }: Load) {
        self.per_second.push(per_second);
        self.p99.push(Samples::micros(&mut latencies, 0.99));
    }
}

fn report(product: &Rounds, limit: &Rounds) {
    figure(&Figure {
        name: "inbound text webhook, 16 connections",
        unit: "req/s",
        product: median(&product.per_second),
        bare: Some(median(&limit.per_second)),
        aim: "ratio >= 0.5",
    });
    figure(&Figure {
        name: "inbound text webhook, 16 connections, p99",
        unit: "us",
        product: median(&product.p99),
        bare: Some(median(&limit.p99)),
        aim: "ratio <= 2",
    });
}
