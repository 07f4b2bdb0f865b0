//! What is settled about a call before it begins: who answers, how long things may take, what the relay says.

use std::sync::Arc;
use std::time::Duration;

use shared::model::Direction;

/// Everything that a call needs to know from the start.
#[derive(Clone, Debug)]
pub struct CallPlan {
    /// Who called whom.
    pub direction: Direction,
    /// Who is to answer first.
    pub responder: FirstResponder,
    /// Some session owns the call already: it placed it.
    pub claimed: bool,
    /// The clocks.
    pub timing: Timing,
    /// The relay's own sentences.
    pub words: Arc<Words>,
    /// What the carrier says as the call is connected, with the notice that an AI speaks; the first turn of the
    /// transcript.
    pub greeting: String,
}

/// Who is to answer first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstResponder {
    /// The agent, if it claims the call in time.
    Agent,
    /// The answering machine, at once.
    Machine,
}

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// For an agent to claim an inbound call.
    pub claim: Duration,
    /// Until the caller, who waits for an answer, hears the first filler.
    pub filler: Duration,
    /// And the second.
    pub second_filler: Duration,
    /// Until the answering machine takes the turn.
    pub give_up: Duration,
    /// The whole call.
    pub max_duration: Duration,
    /// How long the answering machine bears the caller's silence before it asks again, and then before it
    /// finishes.
    pub machine_patience: Duration,
    /// How long a character takes to be spoken. Nothing tells us when our words have been heard, so that is
    /// estimated: a call is not hung up, and silence does not count, before. Zero for a carrier without a voice.
    pub speech_per_char: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            claim: Duration::from_secs(6),
            filler: Duration::from_millis(900),
            second_filler: Duration::from_secs(4),
            give_up: Duration::from_secs(12),
            max_duration: Duration::from_secs(600),
            machine_patience: Duration::from_secs(8),
            speech_per_char: Duration::from_millis(65),
        }
    }
}

impl Timing {
    pub(super) fn speaking(&self, text: &str) -> Duration {
        self.speech_per_char.saturating_mul(u32::try_from(text.chars().count()).unwrap_or(u32::MAX))
    }
}

/// The relay's own sentences; the default says each in English.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// While an answer is awaited, in this order.
    pub fillers: [String; 2],
    /// The answering machine's first sentence, where nobody has claimed the call.
    pub apology: String,
    /// The same, where an agent has the call and does not answer.
    pub no_answer: String,
    /// Its first question.
    pub ask_name: String,
    /// Its second.
    pub ask_message: String,
    /// Its third: when and at which number to call back.
    pub ask_callback: String,
    /// The message is stored.
    pub thanks: String,
    /// The message could not be stored.
    pub not_stored: String,
    /// The call has lasted as long as it may.
    pub time_is_up: String,
    /// The last word of whatever the relay ends by itself.
    pub goodbye: String,
}

impl Default for Words {
    fn default() -> Self {
        Self {
            fillers: ["One moment, please.", "Thank you for waiting, I am still looking into it."]
                .map(str::to_owned),
            apology: "I am sorry, nobody can take your call right now, but I can take a message.".to_owned(),
            no_answer: "I am sorry, I cannot get an answer right now, but I can take a message.".to_owned(),
            ask_name: "Who is calling, please?".to_owned(),
            ask_message: "Thank you. What is it about?".to_owned(),
            ask_callback: "When and at which number can we call you back?".to_owned(),
            thanks: "Thank you. I have taken your message and will pass it on.".to_owned(),
            not_stored: "I am sorry, your message could not be saved. Please call again later.".to_owned(),
            time_is_up: "I am sorry, the time for this call is up.".to_owned(),
            goodbye: "Goodbye.".to_owned(),
        }
    }
}
