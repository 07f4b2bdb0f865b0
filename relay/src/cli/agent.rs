//! `comms-relay agent`.

use std::collections::BTreeMap;

use anyhow::Context;
use clap::{Subcommand, ValueEnum};
use relay_core::clock::{Clock, SystemClock};
use relay_store::Database;
use serde::Serialize;
use shared::ids::AgentId;
use shared::model::RecipientPolicy;

use super::{Format, one_line, print, say};
use crate::config::Config;
use crate::services::agents::{self, Profile};
use crate::services::operator::{self, NewAgent};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Every agent.
    List(Format),
    /// One agent and its channels.
    Show {
        id: AgentId,
        #[command(flatten)]
        format: Format,
    },
    /// Make an agent, without channels. It takes a place in the pool.
    Create {
        /// 1 to 64 of a-z, 0-9, - and _.
        id: AgentId,
        #[arg(long)]
        name: String,
        /// When its days begin: a name such as Europe/Berlin. The setting's if left out.
        #[arg(long)]
        time_zone: Option<String>,
    },
    /// Let nothing of the agent's go out any more.
    Block { id: AgentId },
    /// Let the agent act again.
    Unblock { id: AgentId },
    /// Say whom the agent may write to or call on its own.
    Recipients { id: AgentId, policy: Policy },
    /// Say when the agent's days begin: a name such as Europe/Berlin, or default for the setting's.
    TimeZone { id: AgentId, zone: String },
    /// Put a number or e-mail address on the agent's list.
    Allow { id: AgentId, address: String },
    /// Take a number or e-mail address from the agent's list.
    Disallow { id: AgentId, address: String },
    /// The agent's list.
    Allowed {
        id: AgentId,
        #[command(flatten)]
        format: Format,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Policy {
    /// Everybody.
    Open,
    /// Who wrote or called first, and who was approved.
    ApproveNew,
    /// Who is on the agent's list.
    AllowList,
    /// Whom the settings say.
    Default,
}

impl Policy {
    fn of_its_own(self) -> Option<RecipientPolicy> {
        match self {
            Self::Open => Some(RecipientPolicy::Open),
            Self::ApproveNew => Some(RecipientPolicy::ApproveNew),
            Self::AllowList => Some(RecipientPolicy::AllowList),
            Self::Default => None,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Open => "everybody",
            Self::ApproveNew => "who wrote or called first, and who was approved",
            Self::AllowList => "who is on its list",
            Self::Default => "whom the settings say",
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    id: String,
    name: String,
    status: String,
    responder: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_zone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipients: Option<String>,
    channels: BTreeMap<String, String>,
}

impl From<Profile> for Listed {
    fn from(profile: Profile) -> Self {
        let channels =
            profile.channels.into_iter().map(|own| (own.channel.to_string(), own.address)).collect();
        let agent = profile.agent;
        Self {
            id: agent.id.to_string(),
            name: agent.name,
            status: agent.status.as_str().to_owned(),
            responder: agent.responder.to_string(),
            time_zone: agent.time_zone,
            recipients: agent.recipients.map(|policy| policy.to_string()),
            channels,
        }
    }
}

/// Performs the command.
pub(super) async fn run(command: Command, db: &Database, config: &Config) -> anyhow::Result<()> {
    let now = SystemClock.now();
    match command {
        Command::List(format) => list(db, format).await,
        Command::Show { id, format } => show(db, &id, format).await,
        Command::Create { id, name, time_zone } => {
            let made = operator::create_agent(db, config, NewAgent { id, name, time_zone }, now).await?;
            let id = made.id;
            say(&format!("made the agent {id}: `comms-relay token create --agent {id}` makes a token for it"))
        }
        Command::Block { id } => {
            operator::block(db, id.clone(), now).await?;
            say(&format!("{id} is blocked: nothing of it goes out any more"))
        }
        Command::Unblock { id } => {
            operator::unblock(db, id.clone(), now).await?;
            say(&format!("{id} may act"))
        }
        Command::Recipients { id, policy } => {
            operator::set_recipients(db, id.clone(), policy.of_its_own(), now).await?;
            say(&format!("{id} may reach {}", policy.words()))
        }
        Command::TimeZone { id, zone } => {
            let own = (zone != "default").then_some(zone.as_str());
            operator::set_time_zone(db, id.clone(), own, now).await?;
            say(&format!("{id} has the time zone {zone}"))
        }
        Command::Allow { id, address } => {
            let address = operator::allow(db, id.clone(), &address, now).await?;
            say(&format!("{address} is on the list of {id}"))
        }
        Command::Disallow { id, address } => {
            let address = operator::disallow(db, id.clone(), &address, now).await?;
            say(&format!("{address} is off the list of {id}"))
        }
        Command::Allowed { id, format } => {
            let listed = operator::allowed(db, id).await?;
            print(&listed, format, |listed| match listed.as_slice() {
                [] => "nobody is on the list".to_owned(),
                listed => listed.join("\n"),
            })
        }
    }
}

async fn list(db: &Database, format: Format) -> anyhow::Result<()> {
    let listed: Vec<_> = agents::list(db).await?.into_iter().map(Listed::from).collect();
    print(&listed, format, |listed| match listed.as_slice() {
        [] => "no agents yet: the first start of the relay makes one".to_owned(),
        listed => listed.iter().map(line).collect::<Vec<_>>().join("\n"),
    })
}

async fn show(db: &Database, id: &AgentId, format: Format) -> anyhow::Result<()> {
    let profile = agents::list(db).await?.into_iter().find(|profile| profile.agent.id == *id);
    let profile = profile.with_context(|| format!("no agent `{id}`: see `comms-relay agent list`"))?;
    print(&Listed::from(profile), format, details)
}

fn line(agent: &Listed) -> String {
    let channels: Vec<_> =
        agent.channels.iter().map(|(channel, address)| format!("{channel} {address}")).collect();
    format!("{:<12} {:<16} {:<8} {}", agent.id, one_line(&agent.name), agent.status, channels.join(", "))
}

fn details(agent: &Listed) -> String {
    let of_setting = "as the settings say";
    let mut lines = vec![
        format!("{} ({})", agent.id, one_line(&agent.name)),
        format!("  status     {}", agent.status),
        format!("  responder  {}", agent.responder),
        format!("  time zone  {}", agent.time_zone.as_deref().unwrap_or(of_setting)),
        format!("  recipients {}", agent.recipients.as_deref().unwrap_or(of_setting)),
    ];
    lines.extend(agent.channels.iter().map(|(channel, address)| format!("  {channel:<10} {address}")));
    lines.join("\n")
}
