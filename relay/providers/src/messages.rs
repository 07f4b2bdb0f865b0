//! Text messages, over SMS or WhatsApp.

use std::collections::BTreeMap;

use async_trait::async_trait;
use shared::ids::ExternalId;
use shared::model::{Channel, MessageStatus, Micros, PhoneNumber, Timestamp};

use crate::{ProviderError, nameless};

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

    /// What the provider took for a message: amount and currency. `None` while it does not say.
    async fn price(&self, message: &ExternalId) -> Result<Option<(Micros, String)>, ProviderError>;
}

/// A message on its way out.
#[derive(Clone, PartialEq, Eq)]
pub struct OutboundMessage {
    /// [`Channel::Whatsapp`], or else SMS.
    pub channel: Channel,
    pub from: PhoneNumber,
    pub to: PhoneNumber,
    pub body: String,
    pub media_urls: Vec<String>,
    /// Takes the place of the body and the media.
    pub template: Option<Template>,
    /// Where the provider reports how far the message has come.
    pub status_callback: Option<String>,
}

/// An approved text that the provider keeps, and what goes into its gaps.
#[derive(Clone, PartialEq, Eq)]
pub struct Template {
    pub id: String,
    pub vars: BTreeMap<String, String>,
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

nameless!(OutboundMessage, Template);
