//! `comms-relay status`.

use std::process::ExitCode;

use anyhow::bail;
use shared::ipc::ClientError;
use shared::paths::Paths;
use shared::protocol::{GetStatus, RelayStatus};

use super::{Format, print};
use crate::rehearse::connect;

/// Asks the relay of this user. Fails if there is none.
pub(super) async fn status(paths: &Paths, format: Format) -> anyhow::Result<ExitCode> {
    let client = match connect(&paths.socket(), None).await {
        Ok(client) => client,
        Err(ClientError::Unreachable(_)) => bail!("no relay is running: start one with `comms-relay run`"),
        Err(problem) => return Err(problem.into()),
    };
    let status = client.call(GetStatus {}).await?.reply;
    print(&status, format, readable)?;
    Ok(ExitCode::SUCCESS)
}

fn readable(status: &RelayStatus) -> String {
    let url = status.public_url.as_deref().unwrap_or("not set");
    [
        format!("comms-relay {} is running in {} mode (process {})", status.version, status.mode, status.pid),
        format!("  up          {} s", status.uptime_seconds),
        format!("  database    {}", status.database),
        format!("  public      {}, address {url}", status.public_listen),
        format!("  admin       {}", status.admin_listen),
        format!("  sessions    {}", status.sessions),
        format!("  live calls  {}", status.live_calls),
    ]
    .join("\n")
}
