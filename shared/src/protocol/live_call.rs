//! Holding a call: speak, hear.

use serde::{Deserialize, Serialize};

use crate::ids::{CallSid, TurnId};
use crate::model::{CallStatus, CallTurn};

/// Behind `comms_send_message` with a `callSid`: says something, then hears the next turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Speak {
    pub call_sid: CallSid,
    /// The turn that these words answer, from the last answer. The same turn is never spoken to twice.
    #[serde(default)]
    pub turn_id: Option<TurnId>,
    /// Empty: say nothing, only listen.
    #[serde(default)]
    pub body: String,
    /// Keys to press, `0-9`, `*`, `#` and `w` for half a second's pause.
    #[serde(default)]
    pub digits: Option<String>,
    /// Hang up after the words.
    #[serde(default)]
    pub end_call: bool,
    #[serde(default)]
    pub wait_seconds: Option<u64>,
}

/// What [`Speak`] gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Heard {
    /// Whether the words went out. If not, `warnings` says why.
    pub spoken: bool,
    /// Everything that the other side said since the last turn.
    pub heard: Vec<CallTurn>,
    /// How much of the previous speech was really heard, where it was interrupted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard_until: Option<String>,
    /// To be given with the next words.
    pub turn_id: TurnId,
    pub silence_seconds: u64,
    pub call_status: CallStatus,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Behind `comms_get_messages` with a `callSid`: hears, and claims the call if nobody has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListenToCall {
    pub call_sid: CallSid,
    #[serde(default)]
    pub wait_seconds: Option<u64>,
}

/// What [`ListenToCall`] gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallTurns {
    /// While the call lives: what the other side said since the last turn. Afterwards: the whole transcript.
    pub turns: Vec<CallTurn>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard_until: Option<String>,
    /// To be given with the next words; absent once the call is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn_id: Option<TurnId>,
    pub silence_seconds: u64,
    pub call_status: CallStatus,
}
