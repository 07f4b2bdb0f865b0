//! Is the relay there, and what is it?

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::AgentId;

/// Behind `comms_ping`. Touches no database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ping {
    /// Any text; it comes back as `echo`.
    pub message: String,
}

/// What [`Ping`] gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Pong {
    /// Always `ok`.
    pub status: String,
    pub server: String,
    pub version: String,
    /// `demo`: every provider is the simulated carrier; nothing leaves this machine. `live`: real providers.
    pub mode: String,
    pub echo: String,
    pub agent_id: AgentId,
    pub pool: Pool,
    /// Provider slot (`telephony`, `email`, …) to the provider in it.
    pub providers: BTreeMap<String, String>,
}

/// How many agents this relay may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(inline))]
#[serde(rename_all = "camelCase")]
pub struct Pool {
    pub max_agents: i64,
    pub active_agents: i64,
    pub slots_remaining: i64,
}

/// Behind `comms-relay status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GetStatus {}

/// What [`GetStatus`] gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RelayStatus {
    pub version: String,
    pub mode: String,
    pub pid: u32,
    pub uptime_seconds: u64,
    /// `sqlite` or `postgres`.
    pub database: String,
    pub public_listen: String,
    pub public_url: Option<String>,
    pub admin_listen: String,
    pub sessions: usize,
    pub live_calls: usize,
}
