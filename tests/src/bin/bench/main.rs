//! The benchmark: how fast and how small the programs are, each figure beside what the machine and the libraries
//! give at best for the same work in the same run ("bare"). Started by `tests/bench.sh`, which builds it together
//! with the programs; it looks for them beside itself. It asserts nothing: a figure is read, not tested.
//!
//! The bare programs are this program under other names (`bench bare-http …`), so that they are processes too.

mod audit;
mod bare;
mod calls;
mod http_load;
mod idle;
mod report;
mod sample;
mod sends;
mod tools;
mod twilio;
mod webhooks;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use tests::process::Programs;

/// Runs of each figure; what is shown is their median.
const ROUNDS: usize = 5;

/// What is measured, in this order; one can be named to measure only that.
const PARTS: [&str; 6] = ["webhooks", "tools", "sends", "calls", "audit", "idle"];

/// For a relay whose agents do more than anybody's limits allow.
const WIDE_LIMITS: [(&str, &str); 5] = [
    ("COMMS_LIMITS__ACTIONS_PER_MINUTE", "1000000"),
    ("COMMS_LIMITS__ACTIONS_PER_HOUR", "1000000"),
    ("COMMS_LIMITS__ACTIONS_PER_DAY", "1000000"),
    ("COMMS_LIMITS__SPEND_PER_DAY", "1000000"),
    ("COMMS_LIMITS__SPEND_PER_MONTH", "1000000"),
];

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    // The load has one thread, so that it leaves the other core to what is measured; servers have what they like.
    let measuring = words.first().is_none_or(|word| PARTS.contains(word));
    let mut runtime = if measuring || words[0] == "bare-mcp" {
        tokio::runtime::Builder::new_current_thread()
    } else {
        tokio::runtime::Builder::new_multi_thread()
    };
    runtime.enable_all().build()?.block_on(async {
        match words[..] {
            [] => measure(&PARTS).await,
            [part] if measuring => measure(&[part]).await,
            ["bare-http", database] => bare::http::serve(database).await,
            ["bare-relay", socket] => bare::socket::relay(socket).await,
            ["bare-mcp", socket] => bare::socket::mcp(socket).await,
            ["bare-ws"] => bare::ws::serve().await,
            _ => bail!("usage: bench [{}]", PARTS.join("|")),
        }
    })
}

async fn measure(parts: &[&str]) -> Result<()> {
    let programs = beside_us()?;
    report::head();
    for part in parts {
        match *part {
            "webhooks" => webhooks::measure(&programs).await?,
            "tools" => tools::measure(&programs).await?,
            "sends" => sends::measure(&programs).await?,
            "calls" => calls::measure(&programs).await?,
            "audit" => audit::measure().await?,
            _ => idle::measure(&programs).await?,
        }
    }
    Ok(())
}

fn beside_us() -> Result<Programs> {
    let folder = own_program()?.parent().context("a program lies in a folder")?.to_owned();
    Ok(Programs { relay: folder.join("comms-relay"), mcp: folder.join("comms-mcp") })
}

fn own_program() -> Result<PathBuf> {
    std::env::current_exe().context("failed to find this program")
}
