//! `comms_provision_channels`, `comms_deprovision_channels` and `comms_onboard_customer`: giving an agent its
//! channels, and taking them back.

use rmcp::RoleServer;
use rmcp::service::RequestContext;
use rmcp::{tool, tool_router};
use shared::protocol::{
    ChannelsProvisioned, ChannelsReleased, CustomerOnboarded, DeprovisionChannels, OnboardCustomer,
    ProvisionChannels,
};

use super::{Answer, WithUnread};
use crate::arguments::{Arguments, InEnvelope, ToolArguments};
use crate::relay::Action;
use crate::schema;
use crate::server::Server;

impl Action for ProvisionChannels {
    const SEEN_BY: &'static str = "comms_get_channel_status";
}

impl Action for DeprovisionChannels {
    const SEEN_BY: &'static str = "comms_get_channel_status";
}

impl Action for OnboardCustomer {
    const SEEN_BY: &'static str = "comms_get_channel_status";
}

// The agentId of these calls is their own: it names whom they are about.
impl ToolArguments for ProvisionChannels {
    const ENVELOPE: &'static [InEnvelope] = &[InEnvelope::ApprovalId];
}

impl ToolArguments for DeprovisionChannels {
    const ENVELOPE: &'static [InEnvelope] = &[InEnvelope::ApprovalId];
}

impl ToolArguments for OnboardCustomer {
    const ENVELOPE: &'static [InEnvelope] = &[InEnvelope::ApprovalId];
}

#[tool_router(router = provisioning_tools, vis = "pub(crate)")]
impl Server {
    /// Gives an agent the channels named in capabilities; this may buy a number. Its token is shown this once.
    /// Needs an admin or an approval.
    #[tool(
        name = "comms_provision_channels",
        title = "Give an agent channels",
        annotations(read_only_hint = false, destructive_hint = false, idempotent_hint = false, open_world_hint = true),
        input_schema = schema::input::<ProvisionChannels>(),
        output_schema = schema::output::<WithUnread<ChannelsProvisioned>>()
    )]
    async fn provision_channels(
        &self,
        arguments: Arguments<ProvisionChannels>,
        context: RequestContext<RoleServer>,
    ) -> Answer<WithUnread<ChannelsProvisioned>> {
        self.told(arguments, &context).await
    }

    /// Takes an agent's channels away; a released number is lost. notUndone is what is left to do by hand. Needs
    /// an admin or an approval.
    #[tool(
        name = "comms_deprovision_channels",
        title = "Take an agent's channels away",
        annotations(read_only_hint = false, destructive_hint = true, idempotent_hint = false, open_world_hint = true),
        input_schema = schema::input::<DeprovisionChannels>(),
        output_schema = schema::output::<WithUnread<ChannelsReleased>>()
    )]
    async fn deprovision_channels(
        &self,
        arguments: Arguments<DeprovisionChannels>,
        context: RequestContext<RoleServer>,
    ) -> Answer<WithUnread<ChannelsReleased>> {
        self.told(arguments, &context).await
    }

    /// comms_provision_channels for a company: also gives the DNS records to enter and how to connect the agent's
    /// host. Needs an admin or an approval.
    #[tool(
        name = "comms_onboard_customer",
        title = "Set up a customer",
        annotations(read_only_hint = false, destructive_hint = false, idempotent_hint = false, open_world_hint = true),
        input_schema = schema::input::<OnboardCustomer>(),
        output_schema = schema::output::<WithUnread<CustomerOnboarded>>()
    )]
    async fn onboard_customer(
        &self,
        arguments: Arguments<OnboardCustomer>,
        context: RequestContext<RoleServer>,
    ) -> Answer<WithUnread<CustomerOnboarded>> {
        self.told(arguments, &context).await
    }
}
