//! `comms-mcp` as a process, spoken to in raw JSON-RPC lines, so that no client library hides what it writes.

use std::path::Path;
use std::process::ExitStatus;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::time::timeout;

use super::{Home, PATIENCE, Programs, Stderr};

/// An MCP server and the agent host's end of its pipes. Dropped, it is killed.
#[derive(Debug)]
pub struct McpProcess {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    stderr: Stderr,
    last_id: u64,
    notifications: Vec<Value>,
}

impl McpProcess {
    /// Starts it for the relay of `home`, with these flags.
    pub async fn start(home: &Home, flags: &[&str], env: &[(&str, &str)]) -> Result<Self> {
        let programs =
            tokio::task::spawn_blocking(Programs::built).await.context("failed to build the programs")?;
        Self::start_program(&programs.mcp, home, flags, env)
    }

    /// The same with a given program instead of the one that is built here.
    pub fn start_program(program: &Path, home: &Home, flags: &[&str], env: &[(&str, &str)]) -> Result<Self> {
        let program = program.to_str().context("the program's path is no UTF-8")?;
        let mut child =
            home.command(&[&[program], flags].concat(), env).spawn().context("failed to start comms-mcp")?;
        let stdout = BufReader::new(child.stdout.take().context("stdout is no pipe")?);
        let stderr = Stderr::capture(child.stderr.take().context("stderr is no pipe")?);
        Ok(Self { stdin: child.stdin.take(), child, stdout, stderr, last_id: 0, notifications: Vec::new() })
    }

    /// The handshake of the protocol's versions that have one; gives the server's answer.
    pub async fn initialize(&mut self, client: &str) -> Result<Value> {
        let params = json!({
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": { "name": client, "version": "1" },
        });
        let answer = self.request("initialize", params).await?;
        self.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }).to_string()).await?;
        Ok(answer)
    }

    /// Calls a tool; gives the result, which may be an error that the tool tells.
    pub async fn call_tool(&mut self, name: &str, arguments: Value) -> Result<Value> {
        let answer = self.request("tools/call", json!({ "name": name, "arguments": arguments })).await?;
        answer.get("result").cloned().with_context(|| format!("no result in {answer}"))
    }

    /// Sends a request and gives the whole answer to it. What else comes before is in [`Self::notifications`].
    pub async fn request(&mut self, method: &str, params: Value) -> Result<Value> {
        let id = self.send_request(method, params).await?;
        self.answer(id).await
    }

    /// Sends a request without waiting for the answer; gives its id.
    pub async fn send_request(&mut self, method: &str, params: Value) -> Result<u64> {
        self.last_id += 1;
        let request = json!({ "jsonrpc": "2.0", "id": self.last_id, "method": method, "params": params });
        self.send(&request.to_string()).await?;
        Ok(self.last_id)
    }

    /// Waits for the answer to the request `id`; answers to other requests may not come before it.
    pub async fn answer(&mut self, id: u64) -> Result<Value> {
        loop {
            let message = self.read().await?;
            if message.get("method").is_some() {
                self.notifications.push(message);
            } else if message["id"] == id {
                return Ok(message);
            } else {
                bail!("an answer to nothing that was asked: {message}");
            }
        }
    }

    /// Everything that the server sent by itself, in order.
    #[must_use]
    pub fn notifications(&self) -> &[Value] {
        &self.notifications
    }

    /// Writes one line as it is.
    pub async fn send(&mut self, line: &str) -> Result<()> {
        let stdin = self.stdin.as_mut().context("stdin is closed")?;
        stdin.write_all(line.as_bytes()).await?;
        stdin.write_all(b"\n").await?;
        stdin.flush().await.context("failed to write to comms-mcp")
    }

    /// Reads the next message.
    pub async fn read(&mut self) -> Result<Value> {
        let mut line = String::new();
        match timeout(PATIENCE, self.stdout.read_line(&mut line)).await {
            Ok(Ok(0)) => bail!("comms-mcp ended, it said:\n{}", self.stderr.text()),
            Ok(Ok(_)) => serde_json::from_str(&line).with_context(|| format!("no JSON on stdout: {line:?}")),
            Ok(Err(error)) => Err(error).context("failed to read from comms-mcp"),
            Err(_) => bail!("comms-mcp does not answer, it said:\n{}", self.stderr.text()),
        }
    }

    /// Its process id, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Closes its stdin, as a host that ends does.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Waits until it has ended.
    pub async fn exited(&mut self) -> Result<ExitStatus> {
        match timeout(PATIENCE, self.child.wait()).await {
            Ok(status) => status.context("failed to wait for comms-mcp"),
            Err(_) => bail!("comms-mcp does not end, it said:\n{}", self.stderr.text()),
        }
    }

    /// Ends it without a chance to tidy up, and waits until it is gone.
    pub async fn kill9(mut self) -> Result<()> {
        self.child.kill().await.context("failed to kill comms-mcp")
    }
}
