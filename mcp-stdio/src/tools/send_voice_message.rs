//! `comms_send_voice_message`.

use rmcp::RoleServer;
use rmcp::service::RequestContext;
use rmcp::{tool, tool_router};
use shared::protocol::{SendVoiceMessage, VoiceMessageSent};

use super::{Answer, WithUnread};
use crate::arguments::{Arguments, InEnvelope, ToolArguments};
use crate::relay::Action;
use crate::schema;
use crate::server::Server;

impl Action for SendVoiceMessage {
    fn key(&self) -> Option<&'static str> {
        self.idempotency_key.as_ref().map(|_| "idempotencyKey")
    }
}

impl ToolArguments for SendVoiceMessage {
    const ENVELOPE: &'static [InEnvelope] = &[InEnvelope::AgentId, InEnvelope::ApprovalId];
}

#[tool_router(router = send_voice_message_tool, vis = "pub(crate)")]
impl Server {
    /// Speaks a text to somebody who need not answer: a call that says it and hangs up, or a WhatsApp voice
    /// message. Returns at once; later news are in comms_get_messages.
    #[tool(
        name = "comms_send_voice_message",
        title = "Send a voice message",
        annotations(read_only_hint = false, destructive_hint = false, idempotent_hint = false, open_world_hint = true),
        input_schema = schema::input::<SendVoiceMessage>(),
        output_schema = schema::output::<WithUnread<VoiceMessageSent>>()
    )]
    async fn send_voice_message(
        &self,
        arguments: Arguments<SendVoiceMessage>,
        context: RequestContext<RoleServer>,
    ) -> Answer<WithUnread<VoiceMessageSent>> {
        self.told(arguments, &context).await
    }
}
