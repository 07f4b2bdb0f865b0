//! `comms-relay agent`.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::Context;
use serde::Serialize;
use shared::paths::Paths;

use super::{Format, open_database, print};
use crate::config::Config;
use crate::services::agents::{self, Profile};

#[derive(Serialize)]
struct Listed {
    id: String,
    name: String,
    status: String,
    responder: String,
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
            channels,
        }
    }
}

/// Every agent.
pub(super) async fn list(config: &Config, paths: &Paths, format: Format) -> anyhow::Result<ExitCode> {
    let profiles = all(config, paths).await?;
    let listed: Vec<Listed> = profiles.into_iter().map(Listed::from).collect();
    print(&listed, format, |listed| match listed.as_slice() {
        [] => "no agents yet: the first start of the relay makes one".to_owned(),
        listed => listed.iter().map(line).collect::<Vec<_>>().join("\n"),
    })?;
    Ok(ExitCode::SUCCESS)
}

/// One agent.
pub(super) async fn show(
    config: &Config,
    paths: &Paths,
    id: &str,
    format: Format,
) -> anyhow::Result<ExitCode> {
    let profile = all(config, paths).await?.into_iter().find(|profile| profile.agent.id.as_str() == id);
    let profile = profile.with_context(|| format!("no agent `{id}`: see `comms-relay agent list`"))?;
    print(&Listed::from(profile), format, details)?;
    Ok(ExitCode::SUCCESS)
}

async fn all(config: &Config, paths: &Paths) -> anyhow::Result<Vec<Profile>> {
    let db = open_database(config, paths).await?;
    let profiles = agents::list(&db).await;
    db.close().await;
    Ok(profiles?)
}

fn line(agent: &Listed) -> String {
    let channels: Vec<_> =
        agent.channels.iter().map(|(channel, address)| format!("{channel} {address}")).collect();
    format!("{:<12} {:<16} {:<8} {}", agent.id, agent.name, agent.status, channels.join(", "))
}

fn details(agent: &Listed) -> String {
    let mut lines = vec![
        format!("{} ({})", agent.id, agent.name),
        format!("  status     {}", agent.status),
        format!("  responder  {}", agent.responder),
    ];
    lines.extend(agent.channels.iter().map(|(channel, address)| format!("  {channel:<10} {address}")));
    lines.join("\n")
}
