//! The agent's side: `comms-mcp`, driven as an agent host drives it, by JSON-RPC over its standard input and output.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::stage::Stage;
use crate::config::Secret;

/// No tool call of a rehearsal waits nearly as long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running `comms-mcp`.
pub(super) struct Agent {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    last_id: u64,
}

impl Agent {
    /// Starts `comms-mcp` for the agent that the rehearsal plays, and greets it.
    pub(super) async fn attach(stage: &Stage) -> anyhow::Result<Self> {
        Self::attach_as(stage, &stage.token).await
    }

    /// The same for whoever has this token.
    pub(super) async fn attach_as(stage: &Stage, token: &Secret) -> anyhow::Result<Self> {
        let program = program()?;
        let mut command = Command::new(&program);
        command
            .env("COMMS_TOKEN", token.expose())
            .env("COMMS_AUTOSTART", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true);
        if let Some(home) = &stage.home {
            command.env("COMMS_HOME", home);
        }
        let mut child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        let input = child.stdin.take().context("comms-mcp has no input")?;
        let output = child.stdout.take().context("comms-mcp has no output")?;
        let mut agent = Self { child, input, output: BufReader::new(output).lines(), last_id: 0 };
        let hello = json!({
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": { "name": "comms-relay-rehearse", "version": env!("CARGO_PKG_VERSION") },
        });
        agent.request("initialize", hello).await?;
        agent.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await?;
        Ok(agent)
    }

    /// Calls a tool and gives its structured content. A tool's error is an error.
    pub(super) async fn call(&mut self, tool: &str, arguments: Value) -> anyhow::Result<Value> {
        let mut result = self.request("tools/call", json!({ "name": tool, "arguments": arguments })).await?;
        if result["isError"] == true {
            bail!("{tool} answered {}", result["content"][0]["text"].as_str().unwrap_or("an error"));
        }
        Ok(result["structuredContent"].take())
    }

    /// Calls a tool that is to refuse, and gives its error.
    pub(super) async fn call_in_vain(&mut self, tool: &str, arguments: Value) -> anyhow::Result<Value> {
        let result = self.request("tools/call", json!({ "name": tool, "arguments": arguments })).await?;
        let text = result["content"][0]["text"].as_str().unwrap_or_default();
        if result["isError"] != true {
            bail!("{tool} was to be refused and was not: {text}");
        }
        Ok(serde_json::from_str::<Value>(text)?["error"].take())
    }

    /// Closes `comms-mcp` as a host does, by ending its input.
    pub(super) async fn detach(mut self) -> anyhow::Result<()> {
        drop(self.input);
        let ended = tokio::time::timeout(Duration::from_secs(5), self.child.wait()).await;
        let status = ended.context("comms-mcp does not end")??;
        if !status.success() {
            bail!("comms-mcp ended with {status}");
        }
        Ok(())
    }

    async fn request(&mut self, method: &str, params: Value) -> anyhow::Result<Value> {
        self.last_id += 1;
        let id = self.last_id;
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })).await?;
        loop {
            let line = tokio::time::timeout(PATIENCE, self.output.next_line()).await;
            let line = line.context("comms-mcp does not answer")??.context("comms-mcp has ended")?;
            let mut answer: Value = serde_json::from_str(&line).context("comms-mcp wrote no JSON")?;
            if answer["id"] != id {
                continue;
            }
            if let Some(error) = answer.get("error") {
                bail!("{method} failed: {error}");
            }
            return Ok(answer["result"].take());
        }
    }

    async fn send(&mut self, message: &Value) -> anyhow::Result<()> {
        let line = format!("{message}\n");
        self.input.write_all(line.as_bytes()).await.context("comms-mcp reads no more")
    }
}

/// The `comms-mcp` that was installed with this program.
fn program() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("cannot tell where this program is")?;
    let name = format!("comms-mcp{}", std::env::consts::EXE_SUFFIX);
    let path = own.with_file_name(name);
    if !path.exists() {
        bail!("{} is missing: install both programs side by side", path.display());
    }
    Ok(path)
}
