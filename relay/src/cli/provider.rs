//! `comms-relay provider`: the accounts that the relay has with providers. No credential is ever an argument, and
//! none is printed.

mod entry;

use std::process::ExitCode;

use clap::Subcommand;
use relay_core::clock::{Clock, SystemClock};
use relay_store::Database;
use shared::paths::Paths;
use shared::protocol::{ProviderRegistered, RegisterProvider};

use super::{Format, beside_a_relay, one_line, print, say};
use crate::config::Config;
use crate::keys::KeyPlace;
use crate::services::credentials::{self, Account, CredentialsProblem, Provider, Stored, Vault};
use crate::services::identity::Admin;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Whose credentials are stored.
    List(Format),
    /// Store a provider's credentials, encrypted. They are asked for, or read from standard input as lines such as
    /// `authToken=…`; what the settings or the provider's own variables (`TWILIO_ACCOUNT_SID` …) hold is taken from
    /// there.
    Set {
        /// Such as twilio.
        provider: String,
        /// Store them without trying them.
        #[arg(long)]
        no_verify: bool,
    },
    /// Ask the provider about the account that a live relay uses.
    Test {
        /// Such as twilio.
        provider: String,
    },
    /// Forget a provider's credentials.
    Remove {
        /// Such as twilio.
        provider: String,
    },
    /// Encrypt what is stored with another key, and forget the old key.
    RotateKey,
}

/// Performs the command.
pub(super) async fn run(command: Command, config: &Config, paths: &Paths) -> anyhow::Result<ExitCode> {
    let command = Prepared::read(command, config)?;
    let keys = KeyPlace::of(paths);
    beside_a_relay(config, paths, async |db| perform(command, &Vault { db, config, keys: &keys }).await).await
}

/// A command with everything that a person had to enter, so that the database is not opened before.
enum Prepared {
    List(Format),
    Set(RegisterProvider),
    Test(Provider),
    Remove(Provider),
    RotateKey,
}

impl Prepared {
    fn read(command: Command, config: &Config) -> anyhow::Result<Self> {
        Ok(match command {
            Command::List(format) => Self::List(format),
            Command::Set { provider, no_verify } => {
                let credentials = entry::read(Provider::named(&provider)?, config)?;
                let (verify, activate) = (Some(!no_verify), Some(true));
                Self::Set(RegisterProvider { provider, credentials, verify, activate })
            }
            Command::Test { provider } => Self::Test(Provider::named(&provider)?),
            Command::Remove { provider } => Self::Remove(Provider::named(&provider)?),
            Command::RotateKey => Self::RotateKey,
        })
    }
}

async fn perform(command: Prepared, vault: &Vault<'_>) -> anyhow::Result<()> {
    let (operator, now) = (Admin::operator(), SystemClock.now());
    match command {
        Prepared::List(format) => list(vault.db, format).await,
        Prepared::Set(call) => {
            let registered = credentials::set(vault, &operator, call, now).await.map_err(plain)?;
            say(&stored(&registered, Account::of_settings(vault.config).is_some()))
        }
        Prepared::Test(provider) => {
            let account = credentials::test(vault, provider).await.map_err(plain)?;
            say(&format!("{} knows the account: {}", provider.name(), one_line(&account)))
        }
        Prepared::Remove(provider) => {
            credentials::remove(vault, &operator, provider, now).await.map_err(plain)?;
            say(&format!("{}: forgotten. A relay that runs uses them until it ends.", provider.name()))
        }
        Prepared::RotateKey => {
            let count = credentials::rotate_key(vault, &operator, now).await.map_err(plain)?;
            say(&format!("the key is another one: {count} encrypted with it, and the old one is gone"))
        }
    }
}

/// What the command line has words for, without what wraps it.
fn plain(problem: CredentialsProblem) -> anyhow::Error {
    match problem {
        CredentialsProblem::Service(problem) => problem.into(),
        problem => problem.into(),
    }
}

async fn list(db: &Database, format: Format) -> anyhow::Result<()> {
    let listed = credentials::list(db).await.map_err(plain)?;
    print(&listed, format, |listed| match listed.as_slice() {
        [] => "nothing is stored: see `comms-relay provider set`".to_owned(),
        listed => listed.iter().map(line).collect::<Vec<_>>().join("\n"),
    })
}

fn line(stored: &Stored) -> String {
    let Stored { provider, active, account, version, since } = stored;
    let active = if *active { "active" } else { "stored" };
    let account = account.as_deref().map_or("not tried".to_owned(), one_line);
    format!("{provider:<10} {active:<6} version {version} since {since}  {account}")
}

fn stored(registered: &ProviderRegistered, settings_hold_some: bool) -> String {
    let account = match &registered.account {
        Some(account) => format!("the account is {}", one_line(account)),
        None => "they were not tried".to_owned(),
    };
    let used = if settings_hold_some {
        "The settings hold credentials, too: those are used as long as they are there."
    } else {
        "A relay in live mode uses them from its next start on."
    };
    format!("{}: stored, encrypted; {account}. {used}", registered.provider)
}
