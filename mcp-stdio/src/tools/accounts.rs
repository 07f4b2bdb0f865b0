//! `comms_get_channel_status`, `comms_get_usage_dashboard` and `comms_get_billing_summary`: what an agent has,
//! what it has used, and what that costs.

use rmcp::RoleServer;
use rmcp::service::RequestContext;
use rmcp::{tool, tool_router};
use shared::protocol::{
    BillingSummary, ChannelStatuses, GetBilling, GetChannelStatus, GetUsage, UsageDashboard,
};

use super::{Answer, WithUnread};
use crate::arguments::{Arguments, InEnvelope, ToolArguments};
use crate::relay::Question;
use crate::schema;
use crate::server::Server;

impl Question for GetChannelStatus {}
impl Question for GetUsage {}
impl Question for GetBilling {}

impl ToolArguments for GetChannelStatus {
    const ENVELOPE: &'static [InEnvelope] = &[InEnvelope::AgentId];
}

impl ToolArguments for GetUsage {
    const ENVELOPE: &'static [InEnvelope] = &[InEnvelope::AgentId];
}

impl ToolArguments for GetBilling {
    const ENVELOPE: &'static [InEnvelope] = &[InEnvelope::AgentId];
}

#[tool_router(router = account_tools, vis = "pub(crate)")]
impl Server {
    /// Lists the agent's channels: address, provider, status, health (ok, degraded, down), last traffic, problems.
    #[tool(
        name = "comms_get_channel_status",
        title = "Look at the channels",
        annotations(read_only_hint = true, destructive_hint = false, idempotent_hint = true, open_world_hint = false),
        input_schema = schema::input::<GetChannelStatus>(),
        output_schema = schema::output::<WithUnread<ChannelStatuses>>()
    )]
    async fn get_channel_status(
        &self,
        arguments: Arguments<GetChannelStatus>,
        context: RequestContext<RoleServer>,
    ) -> Answer<WithUnread<ChannelStatuses>> {
        self.asked(arguments, &context).await
    }

    /// Gives counts and cost by channel, each limit with what is used and left of it, and how often one refused
    /// something (limitHits). For an admin without agentId: all agents.
    #[tool(
        name = "comms_get_usage_dashboard",
        title = "Look at usage and limits",
        annotations(read_only_hint = true, destructive_hint = false, idempotent_hint = true, open_world_hint = false),
        input_schema = schema::input::<GetUsage>(),
        output_schema = schema::output::<WithUnread<UsageDashboard>>()
    )]
    async fn get_usage_dashboard(
        &self,
        arguments: Arguments<GetUsage>,
        context: RequestContext<RoleServer>,
    ) -> Answer<WithUnread<UsageDashboard>> {
        self.asked(arguments, &context).await
    }

    /// Sums up what the providers charge (providerCost; estimated until they tell) and what is billed with the
    /// markup (billingCost). For an admin without agentId: all agents.
    #[tool(
        name = "comms_get_billing_summary",
        title = "Look at the costs",
        annotations(read_only_hint = true, destructive_hint = false, idempotent_hint = true, open_world_hint = false),
        input_schema = schema::input::<GetBilling>(),
        output_schema = schema::output::<WithUnread<BillingSummary>>()
    )]
    async fn get_billing_summary(
        &self,
        arguments: Arguments<GetBilling>,
        context: RequestContext<RoleServer>,
    ) -> Answer<WithUnread<BillingSummary>> {
        self.asked(arguments, &context).await
    }
}
