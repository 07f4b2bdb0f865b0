//! The real programs as processes: `comms-relay` and `comms-mcp`, built once, started with a home of their own
//! and nothing of this process's environment, killed when dropped. For tests that need a process boundary:
//! crashes, signals, stdio, two versions. What can be tested in one process does not belong here.

mod mcp;
mod relay;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use shared::paths::Paths;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::timeout;

pub use mcp::McpProcess;
pub use relay::RelayProcess;

/// How long a process may take for anything that a test waits for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where the two programs are.
#[derive(Clone, Debug)]
pub struct Programs {
    pub relay: PathBuf,
    pub mcp: PathBuf,
}

impl Programs {
    /// Builds them, once in the life of this process.
    pub fn built() -> &'static Self {
        static PROGRAMS: OnceLock<Programs> = OnceLock::new();
        PROGRAMS.get_or_init(|| build().expect("both programs build"))
    }
}

/// An empty `COMMS_HOME`, removed when dropped.
#[derive(Debug)]
pub struct Home(TempDir);

impl Home {
    #[must_use]
    pub fn temp() -> Self {
        let folder = tempfile::Builder::new().prefix("comms-").tempdir();
        Self(folder.expect("the folder for temporary files can be written"))
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The files in it.
    #[must_use]
    pub fn paths(&self) -> Paths {
        Paths::resolve(Some(self.path().to_owned())).expect("a home that is set is found")
    }

    /// A command that knows this home and none of our own environment, with all its pipes. A relay that it
    /// starts, or is, listens on free ports.
    fn command(&self, program: &[&str], env: &[(&str, &str)]) -> Command {
        let mut command = Command::new(program[0]);
        command.args(&program[1..]).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
        command.env("HOME", self.path()).env("COMMS_HOME", self.path());
        command.env("COMMS_PUBLIC__LISTEN", "127.0.0.1:0").env("COMMS_ADMIN__LISTEN", "127.0.0.1:0");
        command.envs(env.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }
}

/// What a process has written to stderr so far, for the words of a failure.
#[derive(Debug)]
struct Stderr {
    text: Arc<Mutex<String>>,
    reader: JoinSet<()>,
}

impl Stderr {
    fn capture(stderr: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let mut reader = JoinSet::new();
        let written = Arc::clone(&text);
        reader.spawn(async move {
            let mut lines = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let mut text = written.lock().unwrap_or_else(PoisonError::into_inner);
                text.push_str(&line);
                text.push('\n');
            }
        });
        Self { text, reader }
    }

    /// Everything, once the process has closed its end.
    async fn whole(mut self) -> String {
        // A process that stays silent and alive has nothing to add.
        drop(timeout(PATIENCE, self.reader.join_next()).await);
        self.text()
    }

    fn text(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Runs cargo, and takes the programs' paths from what it says.
fn build() -> Result<Programs> {
    // The whole workspace is selected so that the features, and with them the crates already built, are those
    // of `cargo test --workspace`.
    let output = std::process::Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--locked", "--message-format=json", "--workspace"])
        .args(["--bin", "comms-relay", "--bin", "comms-mcp"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .context("failed to run cargo")?;
    ensure!(output.status.success(), "failed to build: {}", String::from_utf8_lossy(&output.stderr));
    let messages = String::from_utf8(output.stdout).context("cargo did not write UTF-8")?;
    Ok(Programs { relay: executable(&messages, "comms-relay")?, mcp: executable(&messages, "comms-mcp")? })
}

fn executable(messages: &str, name: &str) -> Result<PathBuf> {
    let mut found = messages.lines().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let path = message["executable"].as_str()?;
        (message["target"]["name"] == name).then(|| path.into())
    });
    found.next_back().with_context(|| format!("cargo built no {name}"))
}
