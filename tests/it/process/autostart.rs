//! `comms-mcp` starts a relay where none runs, one for all its copies, and that relay outlives it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, getsid, kill_process, kill_process_group};
use serde_json::{Value, json};
use tests::process::{Home, McpProcess, RelayProcess};

use super::{programs, until};

/// Ends the relays that were started behind the test's back.
struct Relays<'a>(&'a Home);

impl Relays<'_> {
    /// Those that live and have this home.
    fn pids(&self) -> Vec<Pid> {
        let variable = format!("COMMS_HOME={}", self.0.path().display());
        let is_ours = |process: &Path| {
            let program = fs::read_link(process.join("exe")).unwrap_or_default();
            let environment = fs::read(process.join("environ")).unwrap_or_default();
            program.file_name().is_some_and(|name| name == "comms-relay")
                && environment.split(|byte| *byte == 0).any(|held| held == variable.as_bytes())
        };
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path());
        let ours = processes.filter(|process| is_ours(process));
        ours.filter_map(|process| Pid::from_raw(process.file_name()?.to_str()?.parse().ok()?)).collect()
    }

    /// The only one.
    fn only(&self) -> Result<Pid> {
        let pids = self.pids();
        let [pid] = pids[..] else { anyhow::bail!("{} relays run", pids.len()) };
        Ok(pid)
    }
}

impl Drop for Relays<'_> {
    fn drop(&mut self) {
        for pid in self.pids() {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

async fn ping(mcp: &mut McpProcess) -> Result<Value> {
    mcp.initialize("test").await?;
    mcp.call_tool("comms_ping", json!({ "message": "hello" })).await
}

#[tokio::test]
async fn a_relay_is_started_as_the_leader_of_a_session_of_its_own() -> Result<()> {
    let home = Home::temp();
    let relays = Relays(&home);
    let mut mcp = McpProcess::start(&home, &[], &[]).await?;
    let pong = ping(&mut mcp).await?;
    assert_eq!(pong["structuredContent"]["echo"], "hello", "{pong}");
    let relay = relays.only()?;
    assert_eq!(getsid(Some(relay))?, relay);
    Ok(())
}

#[tokio::test]
async fn a_relay_outlives_the_process_group_that_started_it() -> Result<()> {
    let home = Home::temp();
    let relays = Relays(&home);
    let program = programs().await?.mcp.to_str().context("the program's path is no UTF-8")?;
    // In a group of its own, so that this test survives what it does to the group.
    let mut mcp = McpProcess::start_program(Path::new("setsid"), &home, &[program], &[])?;
    ping(&mut mcp).await?;
    let relay = relays.only()?;
    let group = mcp.pid().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)).context("it has ended")?;
    kill_process_group(group, Signal::KILL)?;
    mcp.exited().await?;
    let mut next = McpProcess::start(&home, &[], &[("COMMS_AUTOSTART", "0")]).await?;
    assert_eq!((&ping(&mut next).await?["isError"], relays.only()?), (&json!(false), relay));
    Ok(())
}

#[tokio::test]
async fn copies_that_start_at_once_share_one_relay() -> Result<()> {
    let home = Home::temp();
    let relays = Relays(&home);
    let mut first = McpProcess::start(&home, &[], &[]).await?;
    let mut second = McpProcess::start(&home, &[], &[]).await?;
    let (one, other) = tokio::join!(ping(&mut first), ping(&mut second));
    assert_eq!((&one?["isError"], &other?["isError"]), (&json!(false), &json!(false)));
    // The loser of the race is on its way out.
    until("the end of the second relay", || relays.pids().len() == 1).await
}

#[tokio::test]
async fn without_autostart_the_tool_says_that_no_relay_runs() -> Result<()> {
    let home = Home::temp();
    let relays = Relays(&home);
    let mut mcp = McpProcess::start(&home, &[], &[("COMMS_AUTOSTART", "0")]).await?;
    let result = ping(&mut mcp).await?;
    let text = result["content"][0]["text"].as_str().context("the answer has no text")?;
    let answer: Value = serde_json::from_str(text)?;
    assert_eq!((&answer["error"]["code"], relays.pids().len()), (&json!("relay_unavailable"), 0));
    Ok(())
}

#[tokio::test]
async fn the_socket_of_a_dead_relay_prevents_no_start() -> Result<()> {
    let home = Home::temp();
    let _relays = Relays(&home);
    RelayProcess::start(&home, &[]).await?.kill9().await?;
    assert!(home.paths().socket().exists());
    let mut mcp = McpProcess::start(&home, &[], &[]).await?;
    assert_eq!(ping(&mut mcp).await?["isError"], false);
    Ok(())
}
