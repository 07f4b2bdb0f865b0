//! `comms-relay approval`: the person's yes or no to what an agent has asked.

use clap::Subcommand;
use relay_core::clock::{Clock, SystemClock};
use relay_store::Database;
use relay_store::approvals::{Approval, ApprovalStatus};
use serde::Serialize;
use shared::ids::ApprovalId;
use shared::model::Timestamp;
use shared::protocol::Decision;

use super::{Format, one_line, print, say};
use crate::services::approvals;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// The questions that wait for an answer, and the answers that were not used yet.
    List {
        /// The last hundred, whatever became of them.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        format: Format,
    },
    /// Say yes: the agent may do exactly this, once, while the question stands.
    Approve { id: ApprovalId },
    /// Say no.
    Deny { id: ApprovalId },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    id: String,
    agent_id: String,
    action: String,
    /// `pending`, `approved`, `denied`, `used` or `expired`.
    status: &'static str,
    summary: String,
    created_at: Timestamp,
    expires_at: Timestamp,
    decided_by: Option<String>,
}

impl Listed {
    fn new(row: Approval, now: Timestamp) -> Self {
        let status = match row.status {
            ApprovalStatus::Pending | ApprovalStatus::Approved if row.expires_at <= now => "expired",
            status => status.as_str(),
        };
        Self {
            id: row.id.to_string(),
            agent_id: row.agent_id.to_string(),
            action: row.action,
            status,
            // An agent has a say in these words; it shall not reach the terminal with them.
            summary: one_line(&row.summary),
            created_at: row.created_at,
            expires_at: row.expires_at,
            decided_by: row.decided_by,
        }
    }
}

/// Performs the command.
pub(super) async fn run(command: Command, db: &Database) -> anyhow::Result<()> {
    let now = SystemClock.now();
    match command {
        Command::List { all, format } => {
            let rows =
                if all { approvals::list_recent(db).await? } else { approvals::list_open(db, now).await? };
            let listed: Vec<_> = rows.into_iter().map(|row| Listed::new(row, now)).collect();
            print(&listed, format, |listed| match listed.as_slice() {
                [] => "no agent waits for an answer".to_owned(),
                listed => listed.iter().map(line).collect::<Vec<_>>().join("\n"),
            })
        }
        Command::Approve { id } => {
            let decided = approvals::decide(db, id, Decision::Approve, "operator", now).await?;
            say(&format!("approved, once, until {}: {}", decided.expires_at, one_line(&decided.summary)))
        }
        Command::Deny { id } => {
            let decided = approvals::decide(db, id, Decision::Deny, "operator", now).await?;
            say(&format!("denied: {}", one_line(&decided.summary)))
        }
    }
}

fn line(question: &Listed) -> String {
    let Listed { id, agent_id, status, expires_at, summary, .. } = question;
    format!("{id} {agent_id:<12} {status:<8} until {expires_at}  {summary}")
}
