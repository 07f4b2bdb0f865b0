//! `comms_transfer_call`.

use rmcp::RoleServer;
use rmcp::service::RequestContext;
use rmcp::{tool, tool_router};
use shared::protocol::{CallTransferred, TransferCall};

use super::{Answer, WithUnread};
use crate::arguments::{Arguments, InEnvelope, ToolArguments};
use crate::relay::Action;
use crate::schema;
use crate::server::Server;

impl Action for TransferCall {
    const SEEN_BY: &'static str = "comms_get_messages {callSid}";
}

impl ToolArguments for TransferCall {
    const ENVELOPE: &'static [InEnvelope] = &[InEnvelope::AgentId, InEnvelope::ApprovalId];
}

#[tool_router(router = transfer_call_tool, vis = "pub(crate)")]
impl Server {
    /// Hands a live call over to another telephone or agent. The result comes when the other side begins to ring;
    /// comms_get_messages {callSid} tells how it went.
    #[tool(
        name = "comms_transfer_call",
        title = "Transfer a call",
        annotations(read_only_hint = false, destructive_hint = false, idempotent_hint = false, open_world_hint = true),
        input_schema = schema::input::<TransferCall>(),
        output_schema = schema::output::<WithUnread<CallTransferred>>()
    )]
    async fn transfer_call(
        &self,
        arguments: Arguments<TransferCall>,
        context: RequestContext<RoleServer>,
    ) -> Answer<WithUnread<CallTransferred>> {
        self.told(arguments, &context).await
    }
}
