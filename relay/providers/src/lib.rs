//! Everything that leaves this machine for a provider: one small trait per capability, an adapter per
//! provider, and the simulated carrier that stands in for them in demo mode.
//!
//! Services hold the traits and never learn which provider is behind them. Nothing here decides whether
//! something may be sent, and nothing here is retried: the caller does both, from [`ProviderError`].

mod error;
pub mod http;
pub mod registry;
mod secret;
pub mod simulated;
pub mod twilio;

use async_trait::async_trait;
use shared::ids::{CallSid, ExternalId};
use shared::model::{CallStatus, MessageStatus, Micros, PhoneNumber, Timestamp};

pub use error::{Cause, ProviderError};
pub use registry::{ProviderSettings, Providers, build};
pub use secret::Secret;

/// Sends text messages.
#[async_trait]
pub trait MessageSender: Send + Sync {
    /// Hands one message to the provider.
    async fn send(&self, message: &OutboundMessage) -> Result<Accepted, ProviderError>;

    /// After an unknown outcome: has the provider got it? Looked up by recipient, sender, text and time, not
    /// sent again.
    async fn find_sent(
        &self,
        message: &OutboundMessage,
        not_before: Timestamp,
    ) -> Result<Option<Accepted>, ProviderError>;
}

/// Places and steers telephone calls.
#[async_trait]
pub trait VoiceCaller: Send + Sync {
    /// Has the provider ring the number. The call's words come from `answer_url` once somebody picks up.
    async fn place(&self, call: &OutboundCall) -> Result<PlacedCall, ProviderError>;

    /// After an unknown outcome: does the provider know of the call? Looked up by recipient, caller and time.
    async fn find_placed(
        &self,
        call: &OutboundCall,
        not_before: Timestamp,
    ) -> Result<Option<PlacedCall>, ProviderError>;

    /// Gives a live call other instructions (TwiML, at most 4,000 characters).
    async fn redirect(&self, call: &CallSid, twiml: &str) -> Result<(), ProviderError>;

    /// Ends a call. One that is already over counts as ended.
    async fn hang_up(&self, call: &CallSid) -> Result<(), ProviderError>;
}

/// A message on its way out.
#[derive(Clone, PartialEq, Eq)]
pub struct OutboundMessage {
    pub from: PhoneNumber,
    pub to: PhoneNumber,
    pub body: String,
    pub media_urls: Vec<String>,
    /// Where the provider reports how far the message has come.
    pub status_callback: Option<String>,
}

/// What the provider says of a message that it has taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    pub external_id: ExternalId,
    pub status: MessageStatus,
    pub segments: Option<i64>,
    /// Amount and currency; most providers know them only later.
    pub cost: Option<(Micros, String)>,
}

/// A call on its way out.
#[derive(Clone, PartialEq, Eq)]
pub struct OutboundCall {
    pub from: PhoneNumber,
    pub to: PhoneNumber,
    /// Asked for instructions once somebody picks up.
    pub answer_url: String,
    /// Where the provider reports how far the call has come.
    pub status_callback: String,
    pub ring_seconds: u32,
    /// The provider ends the call after this long, whatever happens to us.
    pub time_limit_seconds: u32,
    pub detect_voicemail: bool,
}

/// What the provider says of a call that it has taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedCall {
    pub call_sid: CallSid,
    pub status: CallStatus,
}

// Numbers and words stay out of logs: these two print as their names only.
impl std::fmt::Debug for OutboundMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OutboundMessage").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for OutboundCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OutboundCall").finish_non_exhaustive()
    }
}
