//! Giving an agent its channels, and taking them back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::AgentId;
use crate::model::{Channel, SecretText};

/// Behind `comms_provision_channels`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProvisionChannels {
    pub display_name: String,
    pub capabilities: Vec<Channel>,
    /// 1 to 64 of a-z, 0-9, - and _. Made from the name if left out.
    #[serde(default)]
    pub agent_id: Option<AgentId>,
    /// ISO 3166, such as US (the default).
    #[serde(default)]
    pub country: Option<String>,
    #[serde(default)]
    pub area_code: Option<String>,
    #[serde(default)]
    pub email_domain: Option<String>,
    /// First words of its calls.
    #[serde(default)]
    pub greeting: Option<String>,
    #[serde(default)]
    pub system_prompt: Option<String>,
    #[serde(default)]
    pub voice: Option<String>,
    /// BCP 47, such as en-US.
    #[serde(default)]
    pub language: Option<String>,
    /// A number is bought only with true.
    #[serde(default)]
    pub confirm: Option<bool>,
}

/// What [`ProvisionChannels`] gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ChannelsProvisioned {
    pub agent_id: AgentId,
    pub channels: Vec<ProvisionedChannel>,
    /// The agent's token. It is shown this once.
    pub token: SecretText,
    pub slots_remaining: i64,
    /// Channel to the address that the provider calls.
    pub webhook_urls: BTreeMap<String, String>,
}

/// A channel that an agent has been given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(inline))]
#[serde(rename_all = "camelCase")]
pub struct ProvisionedChannel {
    pub channel: Channel,
    pub address: String,
    pub provider: String,
}

/// Behind `comms_deprovision_channels`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeprovisionChannels {
    pub agent_id: AgentId,
    /// Default true: a number that the relay bought goes back to the provider. Others are only let go of.
    #[serde(default)]
    pub release_number: Option<bool>,
    /// Must be true: a number that is released is lost.
    #[serde(default)]
    pub confirm: Option<bool>,
}

/// What [`DeprovisionChannels`] gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ChannelsReleased {
    pub agent_id: AgentId,
    pub channels: Vec<ReleasedChannel>,
    /// What is still there, and must be taken care of by hand.
    pub not_undone: Vec<String>,
    pub slots_remaining: i64,
}

/// A channel that an agent had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(inline))]
#[serde(rename_all = "camelCase")]
pub struct ReleasedChannel {
    pub channel: Channel,
    pub address: String,
    /// Whether it went back to the provider or the pool; else it is only the agent's no more.
    pub released: bool,
}

/// Behind `comms_onboard_customer`: [`ProvisionChannels`] for a company.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OnboardCustomer {
    pub display_name: String,
    pub capabilities: Vec<Channel>,
    #[serde(default)]
    pub company_name: Option<String>,
    /// Gets the bills.
    #[serde(default)]
    pub contact_email: Option<String>,
    /// Made from the name if left out.
    #[serde(default)]
    pub agent_id: Option<AgentId>,
    /// ISO 3166, such as US (the default).
    #[serde(default)]
    pub country: Option<String>,
    #[serde(default)]
    pub area_code: Option<String>,
    #[serde(default)]
    pub email_domain: Option<String>,
    #[serde(default)]
    pub greeting: Option<String>,
    #[serde(default)]
    pub system_prompt: Option<String>,
    #[serde(default)]
    pub voice: Option<String>,
    /// BCP 47, such as en-US.
    #[serde(default)]
    pub language: Option<String>,
    /// A number is bought only with true.
    #[serde(default)]
    pub confirm: Option<bool>,
}

/// What [`OnboardCustomer`] gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct CustomerOnboarded {
    pub agent_id: AgentId,
    pub channels: Vec<ProvisionedChannel>,
    /// The agent's token. It is shown this once.
    pub token: SecretText,
    pub slots_remaining: i64,
    pub webhook_urls: BTreeMap<String, String>,
    /// To be entered at the domain's DNS provider before e-mail works.
    pub dns_records: Vec<DnsRecord>,
    pub connection_instructions: ConnectionInstructions,
}

/// A record that a domain must have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(inline))]
#[serde(rename_all = "camelCase")]
pub struct DnsRecord {
    /// `TXT`, `MX` or `CNAME`.
    pub kind: String,
    pub name: String,
    pub value: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i64>,
}

/// How an agent's host is connected. No text holds a secret: each says where the token goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(inline))]
#[serde(rename_all = "camelCase")]
pub struct ConnectionInstructions {
    pub claude_desktop: String,
    pub cursor: String,
    /// Absent while the relay serves no MCP over HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
}

/// Behind `comms_register_provider`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RegisterProvider {
    /// Such as twilio.
    pub provider: String,
    /// By the provider's names: accountSid, authToken, apiKey, apiSecret.
    pub credentials: BTreeMap<String, SecretText>,
    /// Default true: tried with a call that changes nothing.
    #[serde(default)]
    pub verify: Option<bool>,
    /// Default true: used from here on, in live mode.
    #[serde(default)]
    pub activate: Option<bool>,
}

/// What [`RegisterProvider`] gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ProviderRegistered {
    pub provider: String,
    /// `active`: in use. `stored`: kept, not in use.
    pub status: String,
    pub capabilities: Vec<Channel>,
    /// What the provider says of the account, if it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
}
