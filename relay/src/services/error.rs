//! The one error type that entry points see, and its words for an agent.

use relay_providers::ProviderError;
use relay_store::StoreError;
use shared::ids::MessageId;
use shared::protocol::{ApiError, ErrorCode};

/// Why a use case did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    #[error("`{field}` is not valid: {problem}")]
    Invalid { field: &'static str, problem: String },
    /// Absent, or somebody else's: the answer is the same.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// By a rule.
    #[error("{0}")]
    Refused(Box<ApiError>),
    /// A person must say yes first. Asked by [`super::approvals`]; no answer to anybody as it is.
    #[error("a person must approve this first")]
    NeedsApproval(Box<super::approvals::Question>),
    /// A limit is reached. Counted by [`super::policy`]; no answer to anybody as it is.
    #[error("a limit is reached")]
    OverLimit(Box<super::policy::OverLimit>),
    #[error("the call is over")]
    CallEnded,
    #[error("the provider failed")]
    Provider {
        #[source]
        source: ProviderError,
        message_id: Option<MessageId>,
    },
    #[error("the database failed")]
    Store(#[from] StoreError),
}

impl ServiceError {
    /// A refusal by a rule.
    pub(crate) fn refused(code: ErrorCode, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Refused(Box::new(ApiError::new(code, message, hint)))
    }

    /// In words that a model can act on. Sources stay inside: they are for the log.
    #[must_use]
    pub fn to_api_error(&self) -> ApiError {
        match self {
            Self::Invalid { .. } => {
                ApiError::new(ErrorCode::InvalidInput, self.to_string(), "Correct it and call again.")
            }
            Self::NotFound(what) => ApiError::new(
                ErrorCode::NotFound,
                format!("There is no such {what}, or it is not this agent's; nothing was done."),
                "Use an identifier that an earlier result gave.",
            ),
            Self::Refused(error) => (**error).clone(),
            Self::NeedsApproval(question) => question.unasked(),
            Self::OverLimit(limit) => limit.to_api_error(),
            Self::CallEnded => ApiError::new(
                ErrorCode::CallEnded,
                "The call is over; nothing was spoken.",
                "Read its transcript with comms_get_messages and the same callSid.",
            ),
            Self::Provider { source, message_id } => {
                ApiError { message_id: message_id.clone(), ..provider_error(source) }
            }
            Self::Store(StoreError::Unavailable(_)) => ApiError::new(
                ErrorCode::Internal,
                "The database cannot be written; nothing was done.",
                "Try again in a moment. If it stays, the disk may be full: see the relay's log.",
            )
            .retryable(Some(5)),
            Self::Store(StoreError::CommitUnknown(_)) => ApiError::new(
                ErrorCode::OutcomeUnknown,
                "The database may have recorded this, but its answer was lost.",
                "Repeat it only with the same idempotencyKey. Without one, look first whether it was done.",
            ),
            Self::Store(_) => ApiError::new(
                ErrorCode::Internal,
                "The relay failed inside; nothing was done.",
                "Try again once. If it fails again, see the relay's log.",
            )
            .retryable(None),
        }
    }
}

fn provider_error(problem: &ProviderError) -> ApiError {
    match problem {
        ProviderError::Rejected { code, problem, retryable } => {
            let hint = if *retryable { "Try again later." } else { "The same call will be refused again." };
            let error = ApiError::new(ErrorCode::ProviderRejected, problem.to_string(), hint);
            ApiError { provider_code: code.clone(), retryable: *retryable, ..error }
        }
        ProviderError::Unauthorized { .. } => ApiError::new(
            ErrorCode::ProviderRejected,
            "The provider does not accept the relay's credentials; nothing was sent.",
            "The person who runs the relay must correct the account settings.",
        ),
        ProviderError::RateLimited { retry_after } => ApiError::new(
            ErrorCode::ProviderUnavailable,
            "The provider accepts no more for the moment; nothing was sent.",
            "Try again later.",
        )
        .retryable(retry_after.map(|after| after.as_secs().max(1))),
        ProviderError::Unavailable(_) => ApiError::new(
            ErrorCode::ProviderUnavailable,
            "The provider cannot be reached; nothing was sent.",
            "Try again in a minute.",
        )
        .retryable(Some(60)),
        ProviderError::Unknown(_) | ProviderError::Malformed => ApiError::new(
            ErrorCode::OutcomeUnknown,
            "The provider may have acted, but its answer was lost.",
            "Do not send it again. The relay asks the provider; the message's status will tell.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::commit_without_an_answer(StoreError::CommitUnknown("cut".into()), ErrorCode::OutcomeUnknown, false)]
    #[case::full_disk(StoreError::Unavailable("full".into()), ErrorCode::Internal, true)]
    #[case::bug(StoreError::Misuse("on purpose"), ErrorCode::Internal, true)]
    fn nothing_is_said_to_be_undone_that_may_have_been_done(
        #[case] problem: StoreError,
        #[case] code: ErrorCode,
        #[case] is_undone: bool,
    ) {
        let told = ServiceError::Store(problem).to_api_error();
        assert_eq!((told.code, told.message.contains("nothing was done")), (code, is_undone), "{told:?}");
    }
}
