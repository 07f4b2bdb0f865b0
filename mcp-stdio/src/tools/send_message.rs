//! `comms_send_message`: one tool, three jobs. With a callSid it speaks in that call; else it sends a message, or
//! on the channel voice a spoken one.

mod job;

use rmcp::RoleServer;
use rmcp::handler::server::wrapper::Json;
use rmcp::service::RequestContext;
use rmcp::{tool, tool_router};
use schemars::JsonSchema;
use serde::Serialize;
use shared::ids::{ExternalId, MessageId, TurnId};
use shared::ipc::Told;
use shared::model::{CallStatus, CallTurn, Channel, MessageStatus, Micros, Unread};
use shared::protocol::{ConfirmRead, Envelope, Heard, MessageSent, SendMessage, Speak, VoiceMessageSent};

use self::job::{Job, NOT_IN_A_CALL, SendArguments, job, refuse};
use super::Answer;
use crate::arguments::Arguments;
use crate::relay::Action;
use crate::server::Server;
use crate::{host, schema};

impl Action for SendMessage {
    fn key(&self) -> Option<&'static str> {
        self.idempotency_key.as_ref().map(|_| "idempotencyKey")
    }
}

impl Action for Speak {
    const SEEN_BY: &'static str = "comms_get_messages {callSid}";

    fn key(&self) -> Option<&'static str> {
        self.turn_id.as_ref().map(|_| "turnId")
    }
}

/// Of a message: messageId to segments. Of a call: spoken to callStatus.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Sent {
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<MessageId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    external_id: Option<ExternalId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<MessageStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<Micros>,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<Channel>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    segments: Option<i64>,
    /// Whether the words went out; if not, warnings says why.
    #[serde(skip_serializing_if = "Option::is_none")]
    spoken: Option<bool>,
    /// Everything that the other side said since the last turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    heard: Option<Vec<CallTurn>>,
    /// How much of the previous speech was really heard, where it was interrupted.
    #[serde(skip_serializing_if = "Option::is_none")]
    heard_until: Option<String>,
    /// Give it with the next words.
    #[serde(skip_serializing_if = "Option::is_none")]
    turn_id: Option<TurnId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    silence_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    call_status: Option<CallStatus>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    /// What waits in the inbox, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    unread: Option<Unread>,
}

#[tool_router(router = send_message_tool, vis = "pub(crate)")]
impl Server {
    /// Sends a message to `to`, or speaks in the live call callSid and gives what the other side says next. A
    /// message is recorded before it is sent; status and cost are what is known now (cost is an estimate until the
    /// provider tells), later news are in comms_get_messages. In a call: an empty body only listens; spoken:false
    /// comes with the reason in warnings; heard is all that was said since the last turn, and may be empty when the
    /// wait is over (call again); give turnId with the next words; while callStatus is queued, ringing or
    /// in-progress, go on.
    #[tool(
        name = "comms_send_message",
        title = "Send a message or speak in a call",
        annotations(read_only_hint = false, destructive_hint = false, idempotent_hint = false, open_world_hint = true),
        input_schema = schema::input::<SendArguments>(),
        output_schema = schema::output::<Sent>()
    )]
    async fn send_message(
        &self,
        arguments: Arguments<SendArguments>,
        context: RequestContext<RoleServer>,
    ) -> Answer<Sent> {
        let (arguments, envelope) = arguments.checked()?;
        match job(arguments)? {
            Job::Write(message) => {
                Ok(Json(self.wait(&context, self.relay.act(message, envelope)).await?.into()))
            }
            Job::Say(message) => {
                Ok(Json(self.wait(&context, self.relay.act(message, envelope)).await?.into()))
            }
            Job::Speak(speak) => self.speak(speak, envelope, &context).await,
        }
    }

    async fn speak(
        &self,
        speak: Speak,
        envelope: Envelope,
        context: &RequestContext<RoleServer>,
    ) -> Answer<Sent> {
        refuse(&[("approvalId", envelope.approval_id.is_some())], NOT_IN_A_CALL)?;
        let call_sid = speak.call_sid.clone();
        let wait_seconds = Some(host::listening(super::host(context).as_deref(), speak.wait_seconds));
        let speak = Speak { wait_seconds, ..speak };
        let told = self.wait(context, self.relay.act(speak, envelope.clone())).await?;
        if let Some(last) = told.reply.heard.last() {
            let until = last.turn_id.clone();
            self.deliveries.note(context.id.clone(), (ConfirmRead::Turns { call_sid, until }, envelope));
        }
        Ok(Json(told.into()))
    }
}

impl From<Told<MessageSent>> for Sent {
    fn from(Told { reply, unread }: Told<MessageSent>) -> Self {
        Self {
            message_id: Some(reply.message_id),
            external_id: reply.external_id,
            status: Some(reply.status),
            cost: reply.cost,
            currency: reply.currency,
            channel: Some(reply.channel),
            from: Some(reply.from),
            to: Some(reply.to),
            segments: reply.segments,
            warnings: reply.warnings,
            unread,
            ..Self::default()
        }
    }
}

impl From<Told<VoiceMessageSent>> for Sent {
    fn from(Told { reply, unread }: Told<VoiceMessageSent>) -> Self {
        Self {
            message_id: Some(reply.message_id),
            status: Some(reply.status),
            cost: reply.cost,
            currency: reply.currency,
            channel: Some(Channel::Voice),
            unread,
            ..Self::default()
        }
    }
}

impl From<Told<Heard>> for Sent {
    fn from(Told { reply, unread }: Told<Heard>) -> Self {
        Self {
            spoken: Some(reply.spoken),
            heard: Some(reply.heard),
            heard_until: reply.heard_until,
            turn_id: Some(reply.turn_id),
            silence_seconds: Some(reply.silence_seconds),
            call_status: Some(reply.call_status),
            warnings: reply.warnings,
            unread,
            ..Self::default()
        }
    }
}
