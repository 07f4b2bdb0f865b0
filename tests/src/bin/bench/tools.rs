//! The MCP server: how soon it answers after its start, what a tool call costs, how much memory it holds.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tests::process::{Home, McpProcess, Programs, RelayProcess};

use crate::bare::Server;
use crate::report::{Figure, figure};
use crate::sample::{Samples, median, resident_kib};
use crate::{ROUNDS, own_program};

const STARTS: usize = 20;
const CALLS: usize = 1000;
const WARM_UP: usize = 50;

/// A server to start, with what it is told.
struct Candidate<'a> {
    program: &'a Path,
    flags: &'a [&'a str],
    home: &'a Home,
}

/// What a candidate gave: medians over the rounds, in microseconds and KiB.
#[derive(Default)]
struct Rounds {
    start: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
    resident: Vec<f64>,
}

pub(crate) async fn measure(programs: &Programs) -> Result<()> {
    let (home, bare_home) = (Home::temp(), Home::temp());
    let _relay = RelayProcess::start_program(&programs.relay, &[], &home, &[]).await?;
    let socket = bare_home.path().join("bare.sock");
    let bare_relay = Server::start(&["bare-relay", &socket.to_string_lossy()]).await?;
    let own = own_program()?;
    let candidate = Candidate { program: &programs.mcp, flags: &[], home: &home };
    let bare = Candidate { program: &own, flags: &["bare-mcp", &bare_relay.address], home: &bare_home };
    let (mut product, mut limit) = (Rounds::default(), Rounds::default());
    for _ in 0..ROUNDS {
        product.add(&candidate).await?;
        limit.add(&bare).await?;
    }
    report(&product, &limit);
    Ok(())
}

impl Rounds {
    async fn add(&mut self, candidate: &Candidate<'_>) -> Result<()> {
        let mut starts = Samples::default();
        for _ in 0..STARTS {
            let start = Instant::now();
            let mut server = candidate.start().await?;
            starts.push(start.elapsed());
            server.close_stdin();
            server.exited().await?;
        }
        self.start.push(starts.micros(0.5));
        let mut server = candidate.start().await?;
        let mut calls = Samples::default();
        for call in 0..WARM_UP + CALLS {
            let start = Instant::now();
            let result = server.call_tool("comms_ping", json!({ "message": "hello" })).await?;
            if call >= WARM_UP {
                calls.push(start.elapsed());
            }
            ensure!(result["isError"] != true, "the tool failed: {result}");
        }
        self.p50.push(calls.micros(0.5));
        self.p99.push(calls.micros(0.99));
        self.resident.push(resident_kib(server.pid().context("the server has ended")?)?);
        Ok(())
    }
}

impl Candidate<'_> {
    async fn start(&self) -> Result<McpProcess> {
        let mut server = McpProcess::start_program(self.program, self.home, self.flags, &[])?;
        server.initialize("bench").await?;
        Ok(server)
    }
}

fn report(product: &Rounds, limit: &Rounds) {
    let show = |name, unit, pick: fn(&Rounds) -> &[f64], aim| {
        figure(&Figure { name, unit, product: median(pick(product)), bare: Some(median(pick(limit))), aim });
    };
    show("tool call over stdio and local socket, p50", "us", |rounds| &rounds.p50, "ratio <= 2");
    show("tool call over stdio and local socket, p99", "us", |rounds| &rounds.p99, "ratio <= 3");
    show("comms-mcp, start to initialize answered", "us", |rounds| &rounds.start, "ratio <= 3");
    show("comms-mcp, resident memory", "KiB", |rounds| &rounds.resident, "<= 8192");
}
