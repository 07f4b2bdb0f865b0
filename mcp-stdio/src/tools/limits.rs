//! `comms_set_agent_limits` and `comms_set_billing_config`: what an agent may do, and what it is billed.

use rmcp::RoleServer;
use rmcp::service::RequestContext;
use rmcp::{tool, tool_router};
use shared::protocol::{BillingInForce, LimitsInForce, SetAgentLimits, SetBillingConfig};

use super::{Answer, WithUnread};
use crate::arguments::{Arguments, InEnvelope, ToolArguments};
use crate::relay::Action;
use crate::schema;
use crate::server::Server;

impl Action for SetAgentLimits {
    const SEEN_BY: &'static str = "comms_get_usage_dashboard";
}

impl Action for SetBillingConfig {
    const SEEN_BY: &'static str = "comms_get_billing_summary";
}

// The agentId of these calls is their own: it names whom they are about.
impl ToolArguments for SetAgentLimits {
    const ENVELOPE: &'static [InEnvelope] = &[InEnvelope::ApprovalId];
}

impl ToolArguments for SetBillingConfig {
    const ENVELOPE: &'static [InEnvelope] = &[InEnvelope::ApprovalId];
}

#[tool_router(router = limit_tools, vis = "pub(crate)")]
impl Server {
    /// Changes an agent's limits, and gives those in force; what is left out stays as it is. Needs an admin or an
    /// approval.
    #[tool(
        name = "comms_set_agent_limits",
        title = "Change an agent's limits",
        annotations(read_only_hint = false, destructive_hint = false, idempotent_hint = true, open_world_hint = false),
        input_schema = schema::input::<SetAgentLimits>(),
        output_schema = schema::output::<WithUnread<LimitsInForce>>()
    )]
    async fn set_agent_limits(
        &self,
        arguments: Arguments<SetAgentLimits>,
        context: RequestContext<RoleServer>,
    ) -> Answer<WithUnread<LimitsInForce>> {
        self.told(arguments, &context).await
    }

    /// Changes how an agent is billed, and gives what is in force; what is left out stays as it is. Needs an admin
    /// or an approval.
    #[tool(
        name = "comms_set_billing_config",
        title = "Change an agent's billing",
        annotations(read_only_hint = false, destructive_hint = false, idempotent_hint = true, open_world_hint = false),
        input_schema = schema::input::<SetBillingConfig>(),
        output_schema = schema::output::<WithUnread<BillingInForce>>()
    )]
    async fn set_billing_config(
        &self,
        arguments: Arguments<SetBillingConfig>,
        context: RequestContext<RoleServer>,
    ) -> Answer<WithUnread<BillingInForce>> {
        self.told(arguments, &context).await
    }
}
