//! `comms-relay number`: telephone numbers of the provider's account, and which agent has which.

use anyhow::Context;
use clap::Subcommand;
use relay_core::clock::{Clock, SystemClock};
use relay_store::Database;
use shared::ids::AgentId;
use shared::model::PhoneNumber;
use shared::paths::Paths;
use url::Url;

use super::{Format, print, say};
use crate::config::{Config, Mode};
use crate::keys::KeyPlace;
use crate::services::credentials::{self, Vault};
use crate::services::provisioning::Purchasing;
use crate::services::provisioning::by_hand::{self, GivenUp, Held, Wish};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// The numbers of all agents, and those that were bought and no agent has.
    List(Format),
    /// Give an agent a number that the provider's account owns, for texts and calls.
    Attach {
        /// Such as +14155550123.
        number: PhoneNumber,
        #[arg(long, default_value = "default")]
        agent: AgentId,
    },
    /// Buy a number for an agent that has none. The provider charges for it every month.
    Buy {
        #[arg(long)]
        agent: AgentId,
        /// ISO 3166, such as US (the default).
        #[arg(long)]
        country: Option<String>,
        #[arg(long)]
        area_code: Option<String>,
        /// Without it, the number is only looked for.
        #[arg(long)]
        yes: bool,
    },
    /// Take a number from its agent. One that was bought here goes back to the provider, for good.
    Release {
        number: PhoneNumber,
        /// Needed where the number goes back to the provider.
        #[arg(long)]
        yes: bool,
    },
}

/// What the commands work on.
pub(super) struct Place<'a> {
    pub(super) config: &'a Config,
    pub(super) paths: &'a Paths,
    pub(super) db: &'a Database,
}

/// Performs the command.
pub(super) async fn run(command: Command, place: Place<'_>) -> anyhow::Result<()> {
    match command {
        Command::List(format) => {
            print(&by_hand::list(place.db).await?, format, |held| match held.as_slice() {
                [] => "no numbers yet".to_owned(),
                held => held.iter().map(line).collect::<Vec<_>>().join("\n"),
            })
        }
        Command::Attach { number, agent } => {
            let account = place.account().await?;
            by_hand::attach(&account, place.public_url()?, number.clone(), agent.clone()).await?;
            say(&format!("{number} is the number of {agent}"))
        }
        Command::Buy { agent, country, area_code, yes } => {
            let (account, base) = (place.account().await?, place.public_url()?);
            let offers = by_hand::offers(&account, Wish { country, area_code }).await?;
            if !yes {
                let first = offers.first().map_or("a number", PhoneNumber::as_str);
                anyhow::bail!("{first} can be bought, for a monthly charge: say --yes to buy it");
            }
            let number = by_hand::buy(&account, base, agent.clone(), offers).await?;
            say(&format!("{number} is bought, and the number of {agent}"))
        }
        Command::Release { number, yes } => {
            if !yes && by_hand::was_bought(place.db, &number).await? {
                anyhow::bail!("{number} goes back to the provider and is lost: say --yes if you mean it");
            }
            match by_hand::release(&place.account().await?, &number).await? {
                GivenUp::Released => say(&format!("{number} went back to the provider")),
                GivenUp::Detached => say(&format!("{number} is no agent's; the account still has it")),
            }
        }
    }
}

impl<'a> Place<'a> {
    async fn account(&self) -> anyhow::Result<Purchasing> {
        if self.config.mode == Mode::Demo {
            anyhow::bail!(
                "the numbers of demo mode are the simulated carrier's, inside the relay: agents get one from the \
                 tool comms_provision_channels"
            );
        }
        let keys = KeyPlace::of(self.paths);
        let vault = Vault { db: self.db, config: self.config, keys: &keys };
        let (providers, _) = credentials::in_use(&vault).await?.connect(self.config);
        Ok(Purchasing::new(self.db.clone(), &providers, SystemClock.now()))
    }

    fn public_url(&self) -> anyhow::Result<&'a Url> {
        self.config
            .public
            .url
            .as_ref()
            .context("the provider could not reach the relay: set public.url first")
    }
}

fn line(held: &Held) -> String {
    let number = held.number.as_deref().unwrap_or("?");
    let agent = held.agent_id.as_ref().map_or("-", AgentId::as_str);
    let channels: Vec<_> = held.channels.iter().map(|channel| channel.as_str()).collect();
    let origin = match (&held.unsettled, held.bought) {
        (Some(label), _) => format!("open: the provider may have it as {label}"),
        (None, true) => "bought here".to_owned(),
        (None, false) => String::new(),
    };
    format!("{number:<16} {agent:<16} {:<20} {:<10} {origin}", channels.join(", "), held.provider)
        .trim_end()
        .to_owned()
}
