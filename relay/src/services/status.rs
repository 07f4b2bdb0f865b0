//! Is the relay there, and what is it? Touches no database.

use std::collections::BTreeMap;

use relay_store::Backend;
use shared::ids::AgentId;
use shared::protocol::{Ping, Pong, RelayStatus};

use crate::app::App;

/// The answer to a ping.
pub fn ping(app: &App, agent: &AgentId, call: Ping) -> Pong {
    Pong {
        status: "ok".to_owned(),
        server: "comms-relay".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        mode: app.config.mode.as_str().to_owned(),
        echo: call.message,
        agent_id: agent.clone(),
        pool: app.agents.pool(&app.config),
        providers: providers(app),
    }
}

/// Slot to provider.
fn providers(app: &App) -> BTreeMap<String, String> {
    let providers = app.providers();
    let slots = [
        ("telephony", Some(providers.telephony_name)),
        ("whatsapp", Some(providers.whatsapp_name)),
        ("email", providers.email_name),
    ];
    slots.into_iter().filter_map(|(slot, name)| Some((slot.to_owned(), name?.to_owned()))).collect()
}

/// What `comms-relay status` shows.
pub fn report(app: &App) -> RelayStatus {
    RelayStatus {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        mode: app.config.mode.as_str().to_owned(),
        pid: std::process::id(),
        uptime_seconds: app.started.elapsed().as_secs(),
        database: match app.db.backend() {
            Backend::Sqlite => "sqlite",
            Backend::Postgres => "postgres",
        }
        .to_owned(),
        public_listen: app.addresses.public.to_string(),
        public_url: app.config.public.url.as_ref().map(ToString::to_string),
        admin_listen: app.addresses.admin.to_string(),
        sessions: app.sessions.get(),
        live_calls: app.live_calls.count(),
    }
}
