//! The command line. Exit codes: 0 done, 1 refused or failed (one line on standard error), 2 wrong usage, 3
//! another relay runs with this data folder.

mod agent;
mod audit;
mod run;
mod status;
mod token;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use serde::Serialize;
use shared::paths::Paths;

use crate::config::{self, Config};
use crate::rehearse;

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
    Agent(AgentCommand),
    /// Tokens, with which a session is another agent than the default one.
    #[command(subcommand)]
    Token(TokenCommand),
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
enum AgentCommand {
    /// Every agent.
    List(Format),
    /// One agent and its channels.
    Show {
        /// The agent's id.
        id: String,
        #[command(flatten)]
        format: Format,
    },
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Make a token. It is shown once.
    Create {
        /// Whose it is.
        #[arg(long, default_value = "default")]
        agent: String,
        /// After how many days it ends; never if left out.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=3650))]
        days: Option<u32>,
        #[command(flatten)]
        format: Format,
    },
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
            let _ = writeln!(std::io::stderr(), "comms-relay: {problem:#}");
            ExitCode::from(1)
        }
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
            Command::Agent(AgentCommand::List(format)) => agent::list(&config, &paths, format).await,
            Command::Agent(AgentCommand::Show { id, format }) => {
                agent::show(&config, &paths, &id, format).await
            }
            Command::Token(TokenCommand::Create { agent, days, format }) => {
                token::create(&config, &paths, token::Wanted { agent, days }, format).await
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

/// Opens the database beside a relay that may be running.
async fn open_database(config: &Config, paths: &Paths) -> anyhow::Result<relay_store::Database> {
    shared::ipc::private_folder(&paths.data_dir)
        .with_context(|| format!("cannot use the folder {}", paths.data_dir.display()))?;
    Ok(crate::start::open_database(config, &paths.data_dir).await?)
}
