//! The simulated carrier's telephones: what a person at the other end does. Refused in live mode.

use serde::{Deserialize, Serialize};

use crate::ids::{CallSid, ExternalId};
use crate::model::{CallStatus, PhoneNumber};

/// A person at `from` texts `to`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SimulateText {
    pub from: PhoneNumber,
    pub to: PhoneNumber,
    pub body: String,
}

/// A text that went over the simulated carrier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SimulatedText {
    pub sid: ExternalId,
    pub from: String,
    pub to: String,
    pub body: String,
    /// The HTTP status that our webhook answered with, for a text to us.
    #[serde(default)]
    pub webhook_status: Option<u16>,
}

/// The texts that reached the telephone `to`, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SimulatedOutbox {
    pub to: PhoneNumber,
}

/// A person at `from` calls `to`; gives the call once our side has answered or refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SimulateCall {
    pub from: PhoneNumber,
    pub to: PhoneNumber,
}

/// A call at the carrier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SimulatedCall {
    pub call_sid: CallSid,
    pub status: CallStatus,
}

/// From here on, calls to `number` ring until [`SimulateAnswer`] instead of being taken by the scripted person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WatchNumber {
    pub number: PhoneNumber,
}

/// Picks up the telephone `number`, waiting for it to ring if it does not yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SimulateAnswer {
    pub number: PhoneNumber,
    pub wait_seconds: u64,
}

/// What the person in a call does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SimulateAct {
    Say {
        call_sid: CallSid,
        text: String,
    },
    Press {
        call_sid: CallSid,
        digits: String,
    },
    /// Speaks over the voice after it has said `heard`.
    Interrupt {
        call_sid: CallSid,
        heard: String,
    },
    HangUp {
        call_sid: CallSid,
    },
}

/// Everything that the person in a call has heard, once it is more than `seen` pieces or the time is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SimulateHear {
    pub call_sid: CallSid,
    pub seen: usize,
    pub wait_seconds: u64,
}

/// What [`SimulateHear`] gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SimulatedHeard {
    /// Complete utterances, the greeting first; key tones as `[keys 12#]`.
    pub utterances: Vec<String>,
    pub status: CallStatus,
}
