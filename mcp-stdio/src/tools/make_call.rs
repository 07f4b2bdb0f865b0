//! `comms_make_call`.

use rmcp::RoleServer;
use rmcp::service::RequestContext;
use rmcp::{tool, tool_router};
use shared::protocol::{CallPlaced, MakeCall};

use super::{Answer, WithUnread};
use crate::arguments::{Arguments, InEnvelope, ToolArguments};
use crate::relay::Action;
use crate::schema;
use crate::server::Server;

impl Action for MakeCall {
    fn key(&self) -> Option<&'static str> {
        self.idempotency_key.as_ref().map(|_| "idempotencyKey")
    }
}

impl ToolArguments for MakeCall {
    const ENVELOPE: &'static [InEnvelope] = &[InEnvelope::AgentId, InEnvelope::ApprovalId];
}

#[tool_router(router = make_call_tool, vis = "pub(crate)")]
impl Server {
    /// Places a phone call and returns its callSid at once, while it rings. Hold the call with comms_send_message
    /// {callSid, body, turnId}, which speaks and gives what the other side says next; comms_get_messages {callSid}
    /// only listens. The other side is told that an AI speaks.
    #[tool(
        name = "comms_make_call",
        title = "Call a phone number",
        annotations(read_only_hint = false, destructive_hint = false, idempotent_hint = false, open_world_hint = true),
        input_schema = schema::input::<MakeCall>(),
        output_schema = schema::output::<WithUnread<CallPlaced>>()
    )]
    async fn make_call(
        &self,
        arguments: Arguments<MakeCall>,
        context: RequestContext<RoleServer>,
    ) -> Answer<WithUnread<CallPlaced>> {
        self.told(arguments, &context).await
    }
}
