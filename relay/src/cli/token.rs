//! `comms-relay token`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use relay_core::clock::{Clock, SystemClock};
use relay_core::token::Role;
use serde::Serialize;
use shared::ids::AgentId;
use shared::model::Timestamp;
use shared::paths::Paths;

use super::{Format, open_database, print};
use crate::config::Config;
use crate::services::agents;

/// What kind of token is wanted.
pub(super) struct Wanted {
    pub(super) agent: String,
    pub(super) days: Option<u32>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Created {
    id: String,
    agent_id: String,
    token: String,
    expires_at: Option<Timestamp>,
}

/// Makes a token and shows it, once.
pub(super) async fn create(
    config: &Config,
    paths: &Paths,
    wanted: Wanted,
    format: Format,
) -> anyhow::Result<ExitCode> {
    let agent: AgentId = wanted.agent.parse().context("that is no agent's id")?;
    let lifetime = wanted.days.map(|days| Duration::from_secs(u64::from(days) * 86_400));
    let db = open_database(config, paths).await?;
    let issued = agents::create_token(&db, &agent, Role::Agent, lifetime, SystemClock.now()).await;
    db.close().await;
    let issued = issued.with_context(|| format!("no token for `{agent}`: see `comms-relay agent list`"))?;
    let created = Created {
        id: issued.id.to_string(),
        agent_id: agent.to_string(),
        token: issued.secret.expose().to_owned(),
        expires_at: issued.expires_at,
    };
    print(&created, format, |created| {
        format!("{}\nThis is the only time it is shown. Give it to comms-mcp as COMMS_TOKEN.", created.token)
    })?;
    Ok(ExitCode::SUCCESS)
}
