//! Calls and their turns.

use serde::{Deserialize, Serialize};

use super::{Direction, Timestamp, text_enum};
use crate::ids::{MessageId, TurnId};

text_enum!(
    /// Twilio's own words for how far a call has come.
    CallStatus {
        Queued = "queued",
        Ringing = "ringing",
        InProgress = "in-progress",
        Completed = "completed",
        Busy = "busy",
        Failed = "failed",
        NoAnswer = "no-answer",
        Canceled = "canceled",
    }
);
text_enum!(
    /// Who answers the other side in a call.
    Responder { Auto = "auto", Agent = "agent", Assistant = "assistant", Sampling = "sampling" }
);
text_enum!(
    /// Who said a turn.
    Speaker {
        Caller = "caller",
        Agent = "agent",
        Assistant = "assistant",
        /// The answering machine, or the relay itself (fillers, notices).
        Machine = "machine",
    }
);

impl CallStatus {
    /// No event can come after this one.
    #[must_use]
    pub fn is_final(self) -> bool {
        match self {
            Self::Queued | Self::Ringing | Self::InProgress => false,
            Self::Completed | Self::Busy | Self::Failed | Self::NoAnswer | Self::Canceled => true,
        }
    }
}

/// One turn of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(inline))]
#[serde(rename_all = "camelCase")]
pub struct CallTurn {
    pub id: MessageId,
    pub turn_id: TurnId,
    /// `inbound`: from the other side to us.
    pub direction: Direction,
    pub speaker: Speaker,
    pub text: String,
    /// How much of our speech was really heard, where the other side interrupted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard_until: Option<String>,
    /// Keys that were pressed, or that we sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digits: Option<String>,
    pub at: Timestamp,
}
