//! A person's yes or no.

use serde::{Deserialize, Serialize};

use crate::ids::ApprovalId;
use crate::model::text_enum;

text_enum!(
    /// What a person says to a question.
    Decision { Approve = "approve", Deny = "deny" }
);

/// What the person at the agent's host has said to the question behind `approval_pending`. Not a tool: only
/// `comms-mcp` asks people, by MCP's elicitation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DecideApproval {
    pub approval_id: ApprovalId,
    pub decision: Decision,
}
