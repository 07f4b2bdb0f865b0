//! `comms-relay token`.

use std::time::Duration;

use clap::Subcommand;
use relay_core::clock::{Clock, SystemClock};
use relay_core::token::Role;
use relay_store::Database;
use relay_store::agent_tokens::AgentToken;
use serde::Serialize;
use shared::ids::{AgentId, TokenId};
use shared::model::Timestamp;

use super::{Format, print, say};
use crate::services::tokens::{self, IssuedToken};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a token. It is shown once.
    Create {
        /// Whose it is.
        #[arg(long, default_value = "default")]
        agent: AgentId,
        /// Let its bearer act as the operator, and for any agent.
        #[arg(long)]
        admin: bool,
        /// After how many days it ends; never if left out.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=3650))]
        days: Option<u32>,
        #[command(flatten)]
        format: Format,
    },
    /// Every token, without its secret.
    List {
        /// Only this agent's.
        #[arg(long)]
        agent: Option<AgentId>,
        #[command(flatten)]
        format: Format,
    },
    /// Take a token back. Open sessions with it can do nothing more.
    Revoke { id: TokenId },
    /// Take a token back and make another with the same rights, which ends when it would have.
    Rotate {
        id: TokenId,
        #[command(flatten)]
        format: Format,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Created {
    id: String,
    agent_id: String,
    token: String,
    expires_at: Option<Timestamp>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    id: String,
    agent_id: String,
    role: &'static str,
    /// `open`, `expired` or `revoked`.
    status: &'static str,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
    last_used_at: Option<Timestamp>,
}

impl Listed {
    fn new(row: AgentToken, now: Timestamp) -> Self {
        let status = match (row.revoked_at, row.expires_at) {
            (Some(_), _) => "revoked",
            (None, Some(end)) if end <= now => "expired",
            (None, _) => "open",
        };
        Self {
            id: row.id.to_string(),
            agent_id: row.agent_id.to_string(),
            role: row.role.as_str(),
            status,
            created_at: row.created_at,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
            last_used_at: row.last_used_at,
        }
    }
}

/// Performs the command.
pub(super) async fn run(command: Command, db: &Database) -> anyhow::Result<()> {
    let now = SystemClock.now();
    match command {
        Command::Create { agent, admin, days, format } => {
            let role = if admin { Role::Admin } else { Role::Agent };
            let lifetime = days.map(|days| Duration::from_secs(u64::from(days) * 86_400));
            let issued = tokens::create(db, &agent, role, lifetime, now).await?;
            show(&agent, &issued, format)
        }
        Command::List { agent, format } => {
            let rows = tokens::list(db, agent).await?;
            let listed: Vec<_> = rows.into_iter().map(|row| Listed::new(row, now)).collect();
            print(&listed, format, |listed| match listed.as_slice() {
                [] => "no tokens: `comms-relay token create` makes one".to_owned(),
                listed => listed.iter().map(line).collect::<Vec<_>>().join("\n"),
            })
        }
        Command::Revoke { id } => {
            tokens::revoke(db, id.clone(), now).await?;
            say(&format!("the token {id} is revoked"))
        }
        Command::Rotate { id, format } => {
            let (old, issued) = tokens::rotate(db, id, now).await?;
            show(&old.agent_id, &issued, format)
        }
    }
}

fn show(agent: &AgentId, issued: &IssuedToken, format: Format) -> anyhow::Result<()> {
    let created = Created {
        id: issued.id.to_string(),
        agent_id: agent.to_string(),
        token: issued.secret.expose().to_owned(),
        expires_at: issued.expires_at,
    };
    print(&created, format, |created| {
        format!("{}\nThis is the only time it is shown. Give it to comms-mcp as COMMS_TOKEN.", created.token)
    })
}

fn line(token: &Listed) -> String {
    let end = token.expires_at.map_or("never ends".to_owned(), |end| format!("ends {end}"));
    let used = token.last_used_at.map_or("never used".to_owned(), |at| format!("last used {at}"));
    let Listed { id, agent_id, role, status, .. } = token;
    format!("{id} {agent_id:<12} {role:<6} {status:<8} {end}, {used}")
}
