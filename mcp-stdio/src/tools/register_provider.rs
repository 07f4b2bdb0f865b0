//! `comms_register_provider`.

use rmcp::RoleServer;
use rmcp::service::RequestContext;
use rmcp::{tool, tool_router};
use shared::protocol::{ProviderRegistered, RegisterProvider};

use super::{Answer, WithUnread};
use crate::arguments::{Arguments, InEnvelope, ToolArguments};
use crate::relay::Action;
use crate::schema;
use crate::server::Server;

impl Action for RegisterProvider {
    const SEEN_BY: &'static str = "comms_ping";
}

impl ToolArguments for RegisterProvider {
    const ENVELOPE: &'static [InEnvelope] = &[InEnvelope::AgentId, InEnvelope::ApprovalId];
}

#[tool_router(router = register_provider_tool, vis = "pub(crate)")]
impl Server {
    /// Stores a provider's credentials, encrypted, and never shows them again; but they pass through this
    /// conversation. Needs an admin or an approval.
    #[tool(
        name = "comms_register_provider",
        title = "Set up a provider",
        annotations(read_only_hint = false, destructive_hint = false, idempotent_hint = true, open_world_hint = true),
        input_schema = schema::input::<RegisterProvider>(),
        output_schema = schema::output::<WithUnread<ProviderRegistered>>()
    )]
    async fn register_provider(
        &self,
        arguments: Arguments<RegisterProvider>,
        context: RequestContext<RoleServer>,
    ) -> Answer<WithUnread<ProviderRegistered>> {
        self.told(arguments, &context).await
    }
}
