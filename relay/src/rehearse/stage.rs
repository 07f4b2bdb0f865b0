//! Where a rehearsal takes place: a relay in demo mode, with a token for the agent that it plays.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use relay_core::clock::{Clock, SystemClock};
use relay_core::token::Role;
use relay_store::Database;
use shared::ipc::{Client, ClientError};
use shared::paths::Paths;
use shared::protocol::{Hello, PROTOCOL_VERSION, PeerProgram, Ping};

use crate::config::{Config, Mode, Secret};
use crate::services::agents::rehearsal_agent;
use crate::services::tokens;
use crate::start::{Options, Running, open_database, start};

/// Long enough for any rehearsal, short enough that a forgotten token is worth nothing.
const TOKEN_LIFETIME: Duration = Duration::from_secs(600);

/// A relay, and what is needed to play on it.
pub(super) struct Stage {
    /// Moves the telephones.
    pub(super) carrier: Client,
    /// What `comms-mcp` is started with.
    pub(super) token: Secret,
    /// The operator's, who is an admin.
    pub(super) admin_token: Secret,
    /// The relay's data folder, if it is not the one that `comms-mcp` finds by itself.
    pub(super) home: Option<PathBuf>,
    pub(super) db: Database,
    temporary: Option<(Running, tempfile::TempDir)>,
}

impl Stage {
    pub(super) fn is_temporary(&self) -> bool {
        self.temporary.is_some()
    }

    pub(super) async fn clear(self) {
        self.db.close().await;
        if let Some((running, _folder)) = self.temporary {
            running.stop().await;
        }
    }
}

/// Uses the running relay if it is in demo mode with a free place, else starts one in a temporary folder.
pub(super) async fn set(config: &Config, paths: &Paths) -> anyhow::Result<Stage> {
    if let Ok(carrier) = connect(&paths.socket(), None).await
        && is_fit(&carrier).await
    {
        let db = open_database(config, &paths.data_dir).await?;
        let [token, admin_token] = tokens_of(&db).await?;
        return Ok(Stage { carrier, token, admin_token, home: None, db, temporary: None });
    }
    let folder = tempfile::Builder::new().prefix("comms-rehearsal-").tempdir();
    let folder = folder.context("cannot make a temporary folder")?;
    let home = folder.path().to_owned();
    let config = temporary_config()?;
    let own_paths = Paths::resolve(Some(home.clone()))?;
    let running = start(config.clone(), Options::new(own_paths.clone())).await?;
    let carrier = connect(&own_paths.socket(), None).await?;
    let db = open_database(&config, &own_paths.data_dir).await?;
    let [token, admin_token] = tokens_of(&db).await?;
    Ok(Stage { carrier, token, admin_token, home: Some(home), db, temporary: Some((running, folder)) })
}

/// Nothing of the user's settings: demo mode, any free port, and an answering machine that does not keep the
/// audience waiting.
fn temporary_config() -> anyhow::Result<Config> {
    let settings = "
        [public]
        listen = '127.0.0.1:0'
        [admin]
        listen = '127.0.0.1:0'
        [voice]
        claim_ms = 1500";
    Ok(Config::from_parts(settings, "the rehearsal's settings", [])?)
}

/// One for the agent, one for the operator.
async fn tokens_of(db: &Database) -> anyhow::Result<[Secret; 2]> {
    let (agent, now) = (rehearsal_agent(), SystemClock.now());
    let token = async |role| {
        let issued = tokens::create(db, &agent, role, Some(TOKEN_LIFETIME), now).await;
        anyhow::Ok(issued.context("cannot make a token for the rehearsal")?.secret)
    };
    Ok([token(Role::Agent).await?, token(Role::Admin).await?])
}

/// Whether the rehearsal can be played on this relay: nothing leaves it, and it has room for one more agent.
async fn is_fit(carrier: &Client) -> bool {
    let ping = Ping { message: String::new() };
    carrier
        .call(ping)
        .await
        .is_ok_and(|told| told.reply.mode == Mode::Demo.as_str() && told.reply.pool.slots_remaining > 0)
}

/// A connection of this program to the relay behind `socket`.
pub(crate) async fn connect(socket: &Path, token: Option<String>) -> Result<Client, ClientError> {
    let client =
        PeerProgram { name: "comms-relay".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
    Client::connect(socket, &Hello { protocol: PROTOCOL_VERSION, client, host: None, token }).await
}
