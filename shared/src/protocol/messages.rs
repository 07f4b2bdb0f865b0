//! Sending.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::{CallSid, ExternalId, MessageId};
use crate::model::{Attachment, Channel, MessageStatus, Micros, Timestamp, text_enum};

/// Behind `comms_send_message`, where no live call is named and the channel is not voice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SendMessage {
    /// A number in E.164 form, an e-mail address, or another agent's id.
    pub to: String,
    pub body: String,
    pub channel: Channel,
    /// E-mail only, as are `html`, `attachments` and `reply_to`.
    #[serde(default)]
    pub subject: Option<String>,
    #[serde(default)]
    pub html: Option<String>,
    #[serde(default)]
    pub media_urls: Vec<String>,
    #[serde(default)]
    pub attachments: Vec<Attachment>,
    /// The provider's name for an approved template, which takes the place of the body.
    #[serde(default)]
    pub template_id: Option<String>,
    #[serde(default)]
    pub template_vars: BTreeMap<String, String>,
    #[serde(default)]
    pub reply_to: Option<String>,
    #[serde(default)]
    pub idempotency_key: Option<String>,
    /// Not before this; at once if left out.
    #[serde(default)]
    pub schedule_at: Option<Timestamp>,
}

impl SendMessage {
    /// A text and nothing else.
    pub fn sms(to: impl Into<String>, body: impl Into<String>) -> Self {
        Self {
            to: to.into(),
            body: body.into(),
            channel: Channel::Sms,
            subject: None,
            html: None,
            media_urls: Vec::new(),
            attachments: Vec::new(),
            template_id: None,
            template_vars: BTreeMap::new(),
            reply_to: None,
            idempotency_key: None,
            schedule_at: None,
        }
    }
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

text_enum!(
    /// How a voice message gets there.
    VoiceRoad { Phone = "phone", Whatsapp = "whatsapp" }
);

/// Behind `comms_send_voice_message`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SendVoiceMessage {
    /// Number in E.164 form, or another agent's id.
    pub to: String,
    /// The words to speak.
    pub text: String,
    /// The speech provider's name for a voice.
    #[serde(default)]
    pub voice: Option<String>,
    /// Default phone: a call that speaks the words and hangs up.
    #[serde(default)]
    pub channel: Option<VoiceRoad>,
    /// The same key never sends a second one.
    #[serde(default)]
    pub idempotency_key: Option<String>,
}

/// What [`SendVoiceMessage`] gives, at once: the call may still ring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct VoiceMessageSent {
    pub message_id: MessageId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_sid: Option<CallSid>,
    /// Where the audio can be fetched; absent where the carrier speaks the words itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio_url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio_duration_ms: Option<i64>,
    pub status: MessageStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Micros>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
}
