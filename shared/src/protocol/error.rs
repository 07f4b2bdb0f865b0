//! The error that crosses the process boundary.

use serde::{Deserialize, Serialize};

use crate::model::text_enum;

text_enum!(
    /// Every code that a tool can answer with.
    ErrorCode {
        InvalidInput = "invalid_input",
        AuthRequired = "auth_required",
        Forbidden = "forbidden",
        ApprovalPending = "approval_pending",
        ApprovalDenied = "approval_denied",
        NotFound = "not_found",
        ChannelNotProvisioned = "channel_not_provisioned",
        ChannelBlocked = "channel_blocked",
        BlockedDnc = "blocked_dnc",
        BlockedQuietHours = "blocked_quiet_hours",
        BlockedContent = "blocked_content",
        NoConsent = "no_consent",
        ContactFrequency = "contact_frequency",
        RateLimited = "rate_limited",
        SpendLimit = "spend_limit",
        PoolExhausted = "pool_exhausted",
        ProviderNotConfigured = "provider_not_configured",
        ProviderRejected = "provider_rejected",
        ProviderUnavailable = "provider_unavailable",
        OutcomeUnknown = "outcome_unknown",
        CallEnded = "call_ended",
        RelayUnavailable = "relay_unavailable",
        Internal = "internal",
    }
);

/// A failure in words that a model can act on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
#[serde(rename_all = "camelCase")]
pub struct ApiError {
    pub code: ErrorCode,
    /// What happened. Never a phone number, a body or a secret.
    pub message: String,
    /// What to do about it.
    pub hint: String,
    /// Whether the same call may succeed later without a change.
    pub retryable: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<u64>,
    /// The provider's own code, where one refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_code: Option<String>,
    /// The message that the failure is about, where one was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<crate::ids::MessageId>,
    /// The question that a person must answer first: the same call with this id goes through once they have said
    /// yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_id: Option<crate::ids::ApprovalId>,
    /// What was done and could not be undone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_undone: Vec<String>,
}

impl ApiError {
    /// A failure that the same call cannot get past.
    pub fn new(code: ErrorCode, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hint: hint.into(),
            retryable: false,
            retry_after_seconds: None,
            provider_code: None,
            message_id: None,
            approval_id: None,
            not_undone: Vec::new(),
        }
    }

    /// The same failure, but worth another try after `seconds`, if they are known.
    #[must_use]
    pub fn retryable(self, seconds: Option<u64>) -> Self {
        Self { retryable: true, retry_after_seconds: seconds, ..self }
    }
}
