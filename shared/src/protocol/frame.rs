//! The frames: length-delimited JSON, one value each.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{ApiError, Event, Request};
use crate::ids::{AgentId, ApprovalId};
use crate::model::Unread;

/// The first frame of the client.
#[derive(Debug, Serialize, Deserialize)]
pub struct Hello {
    pub protocol: u32,
    pub client: PeerProgram,
    /// The agent host behind the client, as it named itself in MCP's `clientInfo`.
    #[serde(default)]
    pub host: Option<PeerProgram>,
    /// An agent's token; without one the local user is the default agent.
    #[serde(default)]
    pub token: Option<String>,
}

/// A program's name and version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerProgram {
    pub name: String,
    pub version: String,
}

/// The first frame of the relay.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Welcome {
    Accepted { protocol: u32, relay: PeerProgram, agent_id: AgentId },
    Refused { reason: RefusalReason, message: String },
}

/// Why the relay does not talk to this client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalReason {
    ProtocolMismatch,
    BadToken,
    TooManyConnections,
}

/// What stands beside a call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// For whom the call is made; the session's own agent if left out. Only an admin may name another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<AgentId>,
    /// The question that a person has said yes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_id: Option<ApprovalId>,
}

impl Envelope {
    /// The session's own agent, and no approval.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What the client sends after the handshake.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientFrame {
    Call {
        id: u64,
        call: Box<Request>,
        #[serde(default, skip_serializing_if = "Envelope::is_empty")]
        envelope: Envelope,
    },
    /// Nobody waits for this call's reply any more.
    Cancel { id: u64 },
    /// Events are wanted from here on.
    Subscribe,
}

/// What the relay sends after the handshake.
///
/// Tagged externally on purpose: serde's internal tags buffer the input and break [`RawValue`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RelayFrame {
    Reply {
        id: u64,
        result: Outcome,
        /// What waits in the session's inbox, if anything: every tool result tells it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unread: Option<Unread>,
    },
    Event(Event),
}

/// A call's result: the reply that belongs to the call, or an error.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Ok(Box<RawValue>),
    Error(ApiError),
}
