//! `comms_ping`.

use rmcp::RoleServer;
use rmcp::service::RequestContext;
use rmcp::{tool, tool_router};
use shared::protocol::{Ping, Pong};

use super::{Answer, WithUnread};
use crate::arguments::{Arguments, InEnvelope, ToolArguments};
use crate::relay::Question;
use crate::schema;
use crate::server::Server;

impl Question for Ping {}

impl ToolArguments for Ping {
    const ENVELOPE: &'static [InEnvelope] = &[InEnvelope::AgentId];
}

#[tool_router(router = ping_tool, vis = "pub(crate)")]
impl Server {
    /// Tells whether the relay answers, which agent this session is and which providers are set up. In mode demo
    /// nothing leaves this machine.
    #[tool(
        name = "comms_ping",
        title = "Check the connection",
        annotations(read_only_hint = true, destructive_hint = false, idempotent_hint = true, open_world_hint = false),
        input_schema = schema::input::<Ping>(),
        output_schema = schema::output::<WithUnread<Pong>>()
    )]
    async fn ping(
        &self,
        arguments: Arguments<Ping>,
        context: RequestContext<RoleServer>,
    ) -> Answer<WithUnread<Pong>> {
        self.asked(arguments, &context).await
    }
}
