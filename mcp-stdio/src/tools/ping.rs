//! `comms_ping`.

use rmcp::RoleServer;
use rmcp::handler::server::wrapper::Json;
use rmcp::service::RequestContext;
use rmcp::{tool, tool_router};
use shared::protocol::{Ping, Pong};

use super::{Answer, WithUnread};
use crate::arguments::Arguments;
use crate::schema;
use crate::server::Server;

#[tool_router(router = ping_tool, vis = "pub(crate)")]
impl Server {
    /// Tells whether the relay answers, which agent this session is, and which providers are set up. In mode
    /// `demo` nothing leaves this machine.
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
        let told = self.wait(&context, self.relay.ask(arguments.checked()?)).await?;
        Ok(Json(told.into()))
    }
}
