//! What happens to a call, and what is to be done about it.

use std::time::Duration;

use shared::ids::{MessageId, TurnId};
use shared::model::{CallTurn, Timestamp};

use crate::relay_frame::{Digits, Outgoing};

/// When something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// By the clock on the wall, for the transcript.
    pub at: Timestamp,
    /// Since the call's socket opened, for every decision; it never goes backwards.
    pub elapsed: Duration,
}

/// What happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The carrier's first frame.
    Setup,
    /// The caller speaks.
    Prompt {
        /// The words.
        text: String,
        /// The caller has finished; otherwise the next prompt replaces this one.
        last: bool,
    },
    /// The caller has pressed a key.
    Dtmf {
        /// The key.
        digit: String,
    },
    /// The caller has interrupted our speech.
    Interrupted {
        /// What was spoken until then.
        heard: String,
    },
    /// The carrier reports a fault. If it is a grave one, the carrier closes the call by itself.
    CarrierError,
    /// A session of the agent listens to the call.
    AgentAttached,
    /// The moment named by [`Effect::WakeAt`] has come. Coming early does no harm.
    Timer,
    /// The answer to an [`Effect::StoreVoicemail`]; it counts after the end of the call, too.
    VoicemailStored {
        /// It is on the disk.
        ok: bool,
    },
    /// The socket is gone.
    Closed,
}

/// What is to be done, in the order given; frames and the timer never in another order than they came from the
/// call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send a frame.
    Send(Outgoing),
    /// Append a turn to the transcript.
    Record(CallTurn),
    /// Note in the transcript how much of a recorded turn was heard.
    CutShort {
        /// The turn's id in the transcript.
        id: MessageId,
        /// What was spoken of it.
        heard_until: String,
    },
    /// Whoever listens to the call has something to look at.
    WakeAgent,
    /// Store the voicemail; a later one of the same call replaces an earlier one. There is no other until
    /// [`Event::VoicemailStored`] has answered it.
    StoreVoicemail(Voicemail),
    /// Set the call's one timer, in place of what it was set to.
    WakeAt(Option<Duration>),
    /// End the session and let the socket close.
    HangUp,
}

/// What a caller leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voicemail {
    /// What the caller said, a line for each turn, keys pressed in a row being one; empty if nothing.
    pub transcript: String,
    /// When and where to call back, in the caller's words or keys.
    pub callback: Option<String>,
    /// The caller has finished, or is gone.
    pub complete: bool,
}

/// What the agent wants to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Speech {
    /// The turn that this answers; the latest if absent.
    pub turn_id: Option<TurnId>,
    /// The words; may be empty.
    pub text: String,
    /// Keys to press after the words.
    pub digits: Option<Digits>,
    /// Hang up after both.
    pub end_call: bool,
}

impl Speech {
    pub(super) fn has_words(&self) -> bool {
        !self.text.trim().is_empty() || self.digits.is_some()
    }
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoken {
    /// It goes out.
    Yes,
    /// This turn, or a later one, was answered before. Nothing goes out.
    AlreadyAnswered,
    /// The answering machine has taken this turn. The next one is the agent's again.
    Passed,
    /// The call is over.
    Over,
}

/// What the agent hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// What the caller said, oldest first; keys pressed in a row are one turn.
    pub turns: Vec<CallTurn>,
    /// How much of our last speech was heard, if it was interrupted.
    pub heard_until: Option<String>,
    /// To be given with the next words.
    pub turn_id: TurnId,
    /// Since anybody made a sound.
    pub silence: Duration,
    /// The call goes on.
    pub live: bool,
}
