//! Sending.

use serde::{Deserialize, Serialize};

use crate::ids::{ExternalId, MessageId};
use crate::model::{Channel, MessageStatus, Micros};

/// Behind `comms_send_message`, where no live call is named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SendMessage {
    pub to: String,
    pub body: String,
    pub channel: Channel,
    #[serde(default)]
    pub media_urls: Vec<String>,
    #[serde(default)]
    pub idempotency_key: Option<String>,
}

/// What [`SendMessage`] gives: what is known of the message now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageSent {
    pub message_id: MessageId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<ExternalId>,
    pub status: MessageStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Micros>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    pub channel: Channel,
    pub from: String,
    pub to: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segments: Option<i64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}
