//! What an agent has, what it has used, and what that costs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::AgentId;
use crate::model::{Channel, Limits, LimitsPatch, Micros, Tier, Timestamp, text_enum};

text_enum!(
    /// Whether a channel works.
    Health {
        Ok = "ok",
        /// It works in part; `problems` says what does not.
        Degraded = "degraded",
        Down = "down",
    }
);
text_enum!(
    /// A stretch of time that ends now, by the agent's time zone. A week begins on Monday.
    UsagePeriod { Today = "today", Week = "week", Month = "month", All = "all" }
);

/// Behind `comms_get_channel_status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GetChannelStatus {}

/// What [`GetChannelStatus`] gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ChannelStatuses {
    pub agent_id: AgentId,
    pub channels: Vec<ChannelStatus>,
}

/// One channel of an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(inline))]
#[serde(rename_all = "camelCase")]
pub struct ChannelStatus {
    pub channel: Channel,
    pub address: String,
    pub provider: String,
    /// `active` or `blocked`.
    pub status: String,
    pub health: Health,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_inbound_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_outbound_at: Option<Timestamp>,
    pub problems: Vec<String>,
}

/// Behind `comms_get_usage_dashboard`. An admin who names no agent asks about all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GetUsage {
    /// Default today.
    #[serde(default)]
    pub period: Option<UsagePeriod>,
}

/// What [`GetUsage`] gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct UsageDashboard {
    /// Absent if it is about all agents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<AgentId>,
    pub period: UsagePeriod,
    /// The beginning of the period; absent if it is all time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    pub time_zone: String,
    /// Channel (`sms`, `whatsapp`, `email`, `voice`) to what went over it.
    pub by_channel: BTreeMap<String, ChannelUsage>,
    pub cost: Micros,
    pub currency: String,
    /// What is in force, and what is left of it; empty if it is about all agents and no limit covers them together.
    pub limits: Vec<LimitState>,
    /// How often a limit refused something in the period.
    pub limit_hits: i64,
}

/// What went over one channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(inline))]
#[serde(rename_all = "camelCase")]
pub struct ChannelUsage {
    /// Messages, or calls on the channel voice.
    pub inbound: i64,
    pub outbound: i64,
    /// Of calls.
    pub seconds: i64,
    pub cost: Micros,
}

/// A limit and what is left of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(inline))]
#[serde(rename_all = "camelCase")]
pub struct LimitState {
    /// As in `comms_set_agent_limits`, such as `maxActionsPerDay`.
    pub name: String,
    /// A count, or an amount in USD.
    pub limit: String,
    pub used: String,
    pub left: String,
    /// When all of it is there again; absent while nothing is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resets_at: Option<Timestamp>,
}

/// Behind `comms_get_billing_summary`. An admin who names no agent asks about all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GetBilling {
    /// Default month.
    #[serde(default)]
    pub period: Option<UsagePeriod>,
}

/// What [`GetBilling`] gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct BillingSummary {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<AgentId>,
    pub period: UsagePeriod,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// What the providers charge, where they have told; else what they are expected to.
    pub provider_cost: Micros,
    /// With the markup.
    pub billing_cost: Micros,
    pub currency: String,
    /// Absent if it is about all agents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub markup_percent: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<Tier>,
    /// Channel to the provider's cost.
    pub by_channel: BTreeMap<String, Micros>,
}

/// Behind `comms_set_agent_limits`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetAgentLimits {
    pub agent_id: AgentId,
    pub limits: LimitsPatch,
}

/// What [`SetAgentLimits`] gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct LimitsInForce {
    pub agent_id: AgentId,
    pub limits: Limits,
}

/// Behind `comms_set_billing_config`. What is left out stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetBillingConfig {
    pub agent_id: AgentId,
    /// Sets the limits that go with it, where none were set by comms_set_agent_limits.
    #[serde(default)]
    pub tier: Option<Tier>,
    /// 0 to 500.
    #[serde(default)]
    pub markup_percent: Option<i64>,
    #[serde(default)]
    pub billing_email: Option<String>,
}

/// What [`SetBillingConfig`] gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct BillingInForce {
    pub agent_id: AgentId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<Tier>,
    pub markup_percent: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billing_email: Option<String>,
    pub limits: Limits,
}
