//! Telephone calls.

use async_trait::async_trait;
use shared::ids::CallSid;
use shared::model::{CallStatus, Micros, PhoneNumber, Timestamp};

use crate::{ProviderError, nameless};

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

    /// What the provider took for a call: amount and currency. `None` while it does not say.
    async fn price(&self, call: &CallSid) -> Result<Option<(Micros, String)>, ProviderError>;
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

nameless!(OutboundCall);
