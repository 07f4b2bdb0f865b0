//! What only a process can show: crashes, signals, a second start, a full disk, other users, what is written to
//! the terminal. Each test starts the real programs in a home of its own.

mod autostart;
mod caps;
mod carrier;
mod command_line;
mod crash;
mod full_disk;
mod number;
mod operating;
mod other_user;
mod postgres;
mod privacy;
mod provider;
mod rehearsal;
mod start;
mod stop;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use rusqlite::Connection;
use shared::ipc::Client;
use shared::protocol::{Hello, PROTOCOL_VERSION, PeerProgram};
use tests::process::{Home, Programs};
use tokio::process::Command;
use tokio::time::{interval, timeout};

/// How long a program may take for anything that a test waits for.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a program said until it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs `comms-relay` with these arguments to its end.
pub(crate) async fn comms_relay(home: &Home, arguments: &[&str], env: &[(&str, &str)]) -> Result<Ended> {
    run(&programs().await?.relay, home, arguments, env).await
}

/// Runs a program with nothing of our own environment.
async fn run(program: &Path, home: &Home, arguments: &[&str], env: &[(&str, &str)]) -> Result<Ended> {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
    command.env("HOME", home.path()).env("COMMS_HOME", home.path());
    command.env("COMMS_PUBLIC__LISTEN", "127.0.0.1:0").env("COMMS_ADMIN__LISTEN", "127.0.0.1:0");
    command.envs(env.iter().copied()).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(PATIENCE, command.output()).await.context("it does not end")?;
    let output = output.with_context(|| format!("failed to run {}", program.display()))?;
    Ok(Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout)?,
        stderr: String::from_utf8(output.stderr)?,
    })
}

async fn programs() -> Result<&'static Programs> {
    tokio::task::spawn_blocking(Programs::built).await.context("failed to build the programs")
}

/// A session of the default agent with the relay of `home`.
async fn session(home: &Home) -> Result<Client> {
    let client = PeerProgram { name: "test".to_owned(), version: "0".to_owned() };
    let hello = Hello { protocol: PROTOCOL_VERSION, client, host: None, token: None };
    Client::connect(&home.paths().socket(), &hello).await.context("the session is refused")
}

/// What is in the database of a relay that has ended.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    /// How often each text is there.
    texts: BTreeMap<String, u32>,
    /// What SQLite thinks of the file.
    integrity: String,
}

impl Left {
    /// Looks at it with another program's eyes. What was never made is empty and sound.
    fn by_relay_of(home: &Home) -> Result<Self> {
        let nothing = Self { texts: BTreeMap::new(), integrity: "ok".to_owned() };
        let path = home.path().join("comms.db");
        if !path.exists() {
            return Ok(nothing);
        }
        let db = Connection::open(path)?;
        let integrity = db.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
        let made = "SELECT count(*) FROM sqlite_master WHERE name = 'messages'";
        if db.query_row(made, [], |row| row.get::<_, u32>(0))? == 0 {
            return Ok(Self { integrity, ..nothing });
        }
        let mut texts = db.prepare("SELECT external_id, count(*) FROM messages GROUP BY external_id")?;
        let texts = texts.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
        Ok(Self { texts, integrity })
    }

    /// These texts, each once, in a sound file.
    fn once(texts: impl IntoIterator<Item = String>) -> Self {
        Self { texts: texts.into_iter().map(|sid| (sid, 1)).collect(), integrity: "ok".to_owned() }
    }
}

/// Waits until something is so that tells nobody when it becomes so.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) -> Result<()> {
    let mut looks = interval(Duration::from_millis(20));
    let seen = async {
        while !is_so() {
            looks.tick().await;
        }
    };
    timeout(PATIENCE, seen).await.with_context(|| format!("{what} did not happen"))
}

/// Says that a test cannot run here. Where nothing may be skipped, that is a failure.
#[expect(clippy::print_stdout, reason = "whoever runs the tests is to know what did not run")]
fn skip(why: &str) {
    assert!(setting("CI").is_none(), "cannot run: {why}");
    println!("skipped: {why}");
}

#[expect(clippy::disallowed_methods, reason = "the environment says what this machine offers to tests")]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
