//! `comms-relay run`.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use shared::paths::Paths;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::Config;
use crate::lock::LockProblem;
use crate::observability::{events, logging};
use crate::start::{Options, StartProblem, start};

/// Many systems give a program 1,024 descriptors where it may have far more, and every connection needs one.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Not allowed to raise it: then fewer connections are served at once.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// Runs until SIGINT or SIGTERM.
pub(super) async fn run(config: Config, paths: Paths) -> anyhow::Result<ExitCode> {
    logging::start(&config.log)?;
    raise_descriptor_limit();
    if config.twilio.auth_token.is_some() && Config::is_readable_by_others(&paths.config_file()) {
        events::secrets_are_readable();
    }
    let socket = paths.socket();
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let running = match start(config, Options::new(paths)).await {
        Ok(running) => running,
        Err(problem @ StartProblem::Lock(LockProblem::Taken { .. })) => {
            let _ = writeln!(std::io::stderr(), "comms-relay: {problem}");
            // Told apart from other failures, so that who starts a relay can use the one that runs.
            return Ok(ExitCode::from(3));
        }
        Err(problem) => return Err(problem.into()),
    };
    let addresses = running.addresses();
    let ready = writeln!(
        std::io::stdout(),
        "ready public={} admin={} socket={} pid={}",
        addresses.public,
        addresses.admin,
        socket.display(),
        std::process::id()
    );
    // Whoever started us may have closed our output; that is no reason to stop.
    drop(ready);
    tokio::select! {
        _ = terminate.recv() => (),
        _ = interrupt.recv() => (),
    }
    running.stop().await;
    Ok(ExitCode::SUCCESS)
}
