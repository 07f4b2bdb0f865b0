//! What an agent may do in a time, and whom it may reach.

use serde::{Deserialize, Serialize};

use super::{Micros, text_enum};

text_enum!(
    /// Whom an agent may write to or call on its own.
    RecipientPolicy {
        /// Everybody.
        Open = "open",
        /// Who wrote or called before, and who was approved; a first contact needs a person's yes.
        ApproveNew = "approve-new",
        /// Who stands on the agent's list.
        AllowList = "allow-list",
    }
);
text_enum!(
    /// A set of limits that goes by a name.
    Tier { Free = "free", Starter = "starter", Pro = "pro", Enterprise = "enterprise" }
);

/// The limits that are in force for an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(inline))]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// In any 60 seconds. An action is a message, a call, a voice message or a transfer.
    pub max_actions_per_minute: i64,
    /// In any 60 minutes.
    pub max_actions_per_hour: i64,
    /// In a calendar day of the agent's time zone.
    pub max_actions_per_day: i64,
    /// In USD, as the providers charge it.
    pub max_spend_per_day: Micros,
    pub max_spend_per_month: Micros,
    pub max_call_duration_minutes: i64,
    pub max_calls_per_day_to_same_number: i64,
}

/// The limits that are to change; what is left out stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(inline))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LimitsPatch {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_actions_per_minute: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_actions_per_hour: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_actions_per_day: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_spend_per_day: Option<Micros>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_spend_per_month: Option<Micros>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_call_duration_minutes: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_calls_per_day_to_same_number: Option<i64>,
}
