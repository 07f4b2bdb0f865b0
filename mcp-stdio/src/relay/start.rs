//! Starts a relay where none runs.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use shared::ipc::{Client, ClientError, private_folder};
use shared::protocol::{ApiError, Hello};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::{explain, unavailable};
use crate::settings::Settings;

/// A relay that does not answer after this has failed to start.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);
/// How a relay ends that found another one in its place.
const ANOTHER_RUNS: i32 = 3;

/// Whether this means that no relay runs, rather than that something is wrong with one.
pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

/// Starts the relay and connects as soon as it answers.
pub(super) async fn start(settings: &Settings, hello: &Hello) -> Result<Client, ApiError> {
    let mut relay = spawn(settings).map_err(|error| {
        let message = format!("no relay is running, and comms-relay cannot be started: {error}");
        unavailable(message, "Ask the user to install comms-relay beside comms-mcp, or to start it.")
    })?;
    let (socket, deadline) = (settings.paths.socket(), Instant::now() + PATIENCE);
    loop {
        match Client::connect(&socket, hello).await {
            Err(ClientError::Unreachable(error)) if is_absent(&error) => (),
            connected => return connected.map_err(explain),
        }
        let ended = relay.try_wait().ok().flatten();
        if ended.is_some_and(|status| status.code() != Some(ANOTHER_RUNS)) {
            return Err(failed("the relay was started and ended at once"));
        }
        if Instant::now() >= deadline {
            return Err(failed("the relay was started and does not answer"));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The relay outlives this process and its host: it makes a session of its own. If it ends before, tokio takes
/// it off the system's list.
fn spawn(settings: &Settings) -> io::Result<Child> {
    let folder = &settings.paths.data_dir;
    private_folder(folder)?;
    private_folder(&settings.paths.logs())?;
    let log = log_file(settings)?;
    let mut command = Command::new(program()?);
    command
        .args(["run", "--detach"])
        .env_remove("COMMS_TOKEN")
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    if settings.home_is_given {
        // A relative path would mean another folder there.
        command.env("COMMS_HOME", folder);
    }
    command.spawn()
}

fn log_file(settings: &Settings) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(settings.paths.logs().join("relay.log"))
}

/// The relay that was installed with this program, else whichever is found by its name.
fn program() -> io::Result<PathBuf> {
    let name = format!("comms-relay{}", std::env::consts::EXE_SUFFIX);
    let beside = std::env::current_exe()?.canonicalize()?.with_file_name(&name);
    Ok(if beside.is_file() { beside } else { PathBuf::from(name) })
}

fn failed(message: &str) -> ApiError {
    unavailable(message, "Ask the user to look at logs/relay.log in the data folder.")
}
