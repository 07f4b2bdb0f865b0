//! `comms-relay rehearse`: the main job, played through the real code path, from signed webhook to MCP tool and
//! back, on the simulated carrier.
//!
//! The agent is a script that drives the real `comms-mcp`; the people at the telephones are moved over the local
//! socket. Against a running relay in demo mode, else against one that lives as long as the rehearsal.

mod agent;
mod report;
mod scenes;
mod stage;

use std::process::ExitCode;

use shared::paths::Paths;

use crate::config::Config;

pub(crate) use stage::connect;

/// Plays every scene. Exit code 0 only if each came out as it should.
pub(crate) async fn run(config: &Config, paths: &Paths, json: bool) -> anyhow::Result<ExitCode> {
    let mut report = report::Report::new(json);
    let stage = stage::set(config, paths).await?;
    report.opened(&stage)?;
    let played = scenes::play(&stage, &mut report).await;
    stage.clear().await;
    report.close(played)
}
