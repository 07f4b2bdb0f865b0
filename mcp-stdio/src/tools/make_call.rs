//! `comms_make_call`.

use rmcp::RoleServer;
use rmcp::handler::server::wrapper::Json;
use rmcp::service::RequestContext;
use rmcp::{tool, tool_router};
use shared::protocol::{CallPlaced, MakeCall};

use super::{Answer, WithUnread};
use crate::arguments::Arguments;
use crate::schema;
use crate::server::Server;

#[tool_router(router = make_call_tool, vis = "pub(crate)")]
impl Server {
    /// Places a phone call and returns its callSid at once, while it still rings. Then hold the call with
    /// comms_send_message {callSid, body, turnId}, which speaks and gives what the other side says next;
    /// comms_get_messages {callSid} only listens. The other side is told that an AI speaks.
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
        let told = self.wait(&context, self.relay.act(arguments.checked()?)).await?;
        Ok(Json(told.into()))
    }
}
