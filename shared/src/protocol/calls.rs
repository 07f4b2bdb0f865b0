//! Placing calls.

use serde::{Deserialize, Serialize};

use crate::ids::{CallSid, SessionId};
use crate::model::{CallStatus, Responder, text_enum};

/// Behind `comms_make_call`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MakeCall {
    /// Number in E.164 form, such as +14155550123.
    pub to: String,
    /// What an assistant is told; unused while you hold the call yourself.
    #[serde(default)]
    pub system_prompt: Option<String>,
    /// First words when the call is answered; the notice that an AI speaks comes before them.
    #[serde(default)]
    pub greeting: Option<String>,
    /// The speech provider's name for a voice.
    #[serde(default)]
    pub voice: Option<String>,
    /// BCP 47, such as en-US.
    #[serde(default)]
    pub language: Option<String>,
    /// Who talks: `agent` is you, turn by turn; `auto` is you, else whatever else is set up.
    #[serde(default)]
    pub responder: Option<Responder>,
    #[serde(default)]
    pub max_duration_seconds: Option<i64>,
    #[serde(default)]
    pub record: Option<bool>,
    #[serde(default)]
    pub detect_voicemail: Option<bool>,
    /// The same key never places a second call.
    #[serde(default)]
    pub idempotency_key: Option<String>,
}

/// What [`MakeCall`] gives, at once: the call may still ring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct CallPlaced {
    pub call_sid: CallSid,
    pub session_id: SessionId,
    pub status: CallStatus,
    pub from: String,
    pub to: String,
    pub responder: Responder,
}

text_enum!(
    /// Who hears the announcement of a transfer.
    TransferMode {
        /// The person in the call, before the other telephone rings.
        Cold = "cold",
        /// The person who picks up, before the two are joined.
        Warm = "warm",
    }
);

/// Behind `comms_transfer_call`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TransferCall {
    pub call_sid: CallSid,
    /// Number in E.164 form, or another agent's id.
    pub to: String,
    #[serde(default)]
    pub announcement_text: Option<String>,
    /// Default cold: the caller hears the announcement. warm: the person who picks up does.
    #[serde(default)]
    pub mode: Option<TransferMode>,
}

/// What [`TransferCall`] gives once the carrier has taken it: the other telephone begins to ring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct CallTransferred {
    /// Always `transferring`.
    pub status: String,
    pub call_sid: CallSid,
    pub to: String,
}
