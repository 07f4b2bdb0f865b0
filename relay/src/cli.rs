//! The command line. Exit codes: 0 done, 1 refused or failed (one line on standard error), 2 wrong usage, 3
//! another relay runs with this data folder.

mod agent;
mod approval;
mod audit;
mod number;
mod provider;
mod run;
mod status;
mod token;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use relay_core::sanitize;
use serde::Serialize;
use shared::paths::Paths;

use crate::config::{self, Config};
use crate::rehearse;
use crate::services::ServiceError;

/// Phone calls and texts for AI agents: the relay behind comms-mcp.
#[derive(Debug, Parser)]
#[command(name = "comms-relay", version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the relay in the foreground (what happens without a command, too).
    Run(RunArguments),
    /// Is a relay running, and what is it?
    Status(Format),
    /// Play the main job on the simulated carrier: a text is answered, a call is held, a voicemail is left.
    Rehearse(Format),
    /// Agents.
    #[command(subcommand)]
    Agent(agent::Command),
    /// Tokens, with which a session is another agent than the default one.
    #[command(subcommand)]
    Token(token::Command),
    /// What agents have asked you: may this be done?
    #[command(subcommand)]
    Approval(approval::Command),
    /// The accounts that the relay has with providers.
    #[command(subcommand)]
    Provider(provider::Command),
    /// Telephone numbers.
    #[command(subcommand)]
    Number(number::Command),
    /// The audit log.
    #[command(subcommand)]
    Audit(AuditCommand),
}

#[derive(Debug, Default, Args)]
struct RunArguments {
    /// Leave the session of the program that started this one.
    #[arg(long, hide = true)]
    detach: bool,
}

#[derive(Clone, Copy, Debug, Args)]
struct Format {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// Recompute the chain: is every entry as it was written?
    Verify(Format),
}

/// Parses the arguments and runs the command.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match perform(arguments.command.unwrap_or(Command::Run(RunArguments::default()))) {
        Ok(code) => code,
        Err(problem) => {
            // The one line that says what, why and what to do.
            let _ = writeln!(std::io::stderr(), "comms-relay: {}", line(&problem));
            ExitCode::from(1)
        }
    }
}

/// What went wrong, why, and what to do about it.
fn line(problem: &anyhow::Error) -> String {
    match problem.downcast_ref() {
        Some(ServiceError::Refused(error)) => format!("{} {}", error.message, error.hint),
        Some(ServiceError::NotFound(what)) => {
            let noun = what.rsplit(' ').next().unwrap_or(what);
            format!("there is no such {what}: see `comms-relay {noun} list`")
        }
        _ => format!("{problem:#}"),
    }
}

fn perform(command: Command) -> anyhow::Result<ExitCode> {
    let paths = Paths::resolve(config::comms_home())?;
    if let Command::Run(RunArguments { detach: true }) = &command {
        // In a session of its own, so that the host that started us can end its group without us.
        rustix::process::setsid().context("cannot leave the session of the program that started this one")?;
    }
    let config = Config::load(&paths.config_file())?;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.enable_all().build().context("cannot start the runtime")?;
    runtime.block_on(async {
        match command {
            Command::Run(_) => run::run(config, paths).await,
            Command::Status(format) => status::status(&paths, format).await,
            Command::Rehearse(format) => rehearse::run(&config, &paths, format.json).await,
            Command::Agent(command) => {
                beside_a_relay(&config, &paths, async |db| agent::run(command, db, &config).await).await
            }
            Command::Token(command) => {
                beside_a_relay(&config, &paths, async |db| token::run(command, db).await).await
            }
            Command::Approval(command) => {
                beside_a_relay(&config, &paths, async |db| approval::run(command, db).await).await
            }
            Command::Provider(command) => provider::run(command, &config, &paths).await,
            Command::Number(command) => {
                beside_a_relay(&config, &paths, async |db| {
                    number::run(command, number::Place { config: &config, paths: &paths, db }).await
                })
                .await
            }
            Command::Audit(AuditCommand::Verify(format)) => audit::verify(&config, &paths, format).await,
        }
    })
}

/// Prints a value as JSON, or the text that `readable` makes of it.
fn print<T: Serialize>(value: &T, format: Format, readable: impl FnOnce(&T) -> String) -> anyhow::Result<()> {
    let text = if format.json { serde_json::to_string_pretty(value)? } else { readable(value) };
    writeln!(std::io::stdout(), "{text}").context("cannot write the answer")
}

/// Prints one line.
fn say(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{text}").context("cannot write the answer")
}

/// A text that others have a say in, without what could act on the terminal.
fn one_line(text: &str) -> String {
    sanitize::clean(text).text.replace(['\n', '\t'], " ")
}

/// Does something to the database, beside a relay that may be running; it notices within seconds.
async fn beside_a_relay(
    config: &Config,
    paths: &Paths,
    work: impl AsyncFnOnce(&relay_store::Database) -> anyhow::Result<()>,
) -> anyhow::Result<ExitCode> {
    let db = open_database(config, paths).await?;
    let done = work(&db).await;
    db.close().await;
    done.map(|()| ExitCode::SUCCESS)
}

/// Opens the database beside a relay that may be running.
async fn open_database(config: &Config, paths: &Paths) -> anyhow::Result<relay_store::Database> {
    shared::ipc::private_folder(&paths.data_dir)
        .with_context(|| format!("cannot use the folder {}", paths.data_dir.display()))?;
    Ok(crate::start::open_database(config, &paths.data_dir).await?)
}
