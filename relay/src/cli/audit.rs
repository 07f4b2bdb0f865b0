//! `comms-relay audit`.

use std::process::ExitCode;

use serde::Serialize;
use shared::paths::Paths;

use super::{Format, open_database, print};
use crate::config::Config;
use crate::services::audit::{self, Verdict};

#[derive(Serialize)]
struct Verified {
    ok: bool,
    entries: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

/// Recomputes the chain. Fails at the first entry that is not as it was written.
pub(super) async fn verify(config: &Config, paths: &Paths, format: Format) -> anyhow::Result<ExitCode> {
    let db = open_database(config, paths).await?;
    let verdict = audit::verify(&db).await;
    db.close().await;
    let verified = match verdict? {
        Verdict::Whole { entries, head } => Verified { ok: true, entries, head: Some(head), problem: None },
        Verdict::Broken(problem) => {
            Verified { ok: false, entries: 0, head: None, problem: Some(problem.to_string()) }
        }
    };
    print(&verified, format, readable)?;
    Ok(if verified.ok { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn readable(verified: &Verified) -> String {
    match (&verified.head, &verified.problem) {
        (Some(head), _) => format!("the audit log is whole: {} entries, head {head}", verified.entries),
        (None, problem) => format!("the audit log is broken: {}", problem.as_deref().unwrap_or("unknown")),
    }
}
