//! How a provider can fail us, told apart by what the caller may do next.
//!
//! Texts are our own: a provider's words may quote numbers and bodies, so they are read for their code and
//! dropped.

use std::time::Duration;

use crate::http::HttpError;

/// Why the provider did not do it, or may not have.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// It said no, and did nothing.
    #[error("have it accepted by the provider: {problem}")]
    Rejected {
        /// The provider's own code.
        code: Option<String>,
        /// What the code means and what helps.
        problem: &'static str,
        /// The same request may be accepted later.
        retryable: bool,
    },
    /// It does not accept our credentials, or they lack the right.
    #[error("be authorized by the provider: {problem}")]
    Unauthorized { code: Option<String>, problem: &'static str },
    /// It did nothing, because we ask too often.
    #[error("stay under the provider's rate limit")]
    RateLimited { retry_after: Option<Duration> },
    /// It surely did nothing: the request did not reach it, or it only asked for something.
    #[error("reach the provider")]
    Unavailable(#[source] Cause),
    /// It may have acted. Ask it before anything is sent again.
    #[error("learn whether the provider acted")]
    Unknown(#[source] Cause),
    /// It answered a question with something unreadable.
    #[error("read the provider's answer")]
    Malformed,
}

/// What stood in the way.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    #[error("exchange a request and an answer")]
    Http(#[source] HttpError),
    #[error("get another status than {0}")]
    Status(u16),
    #[error("read the answer")]
    Unreadable,
    #[error("tell among that many entries")]
    TooMany,
}

impl ProviderError {
    /// The same failure of a request that only asks: whatever the provider did, nothing has changed.
    pub(crate) fn of_question(self) -> Self {
        match self {
            Self::Unknown(Cause::Unreadable) => Self::Malformed,
            Self::Unknown(cause) => Self::Unavailable(cause),
            Self::Rejected { .. }
            | Self::Unauthorized { .. }
            | Self::RateLimited { .. }
            | Self::Unavailable(_)
            | Self::Malformed => self,
        }
    }
}

impl From<HttpError> for ProviderError {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::NotSent(_) => Self::Unavailable(Cause::Http(error)),
            HttpError::NoAnswer(_) | HttpError::TooLarge => Self::Unknown(Cause::Http(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_has_no_unknown_outcome() {
        let failed = ProviderError::Unknown(Cause::Status(500)).of_question();
        assert!(matches!(failed, ProviderError::Unavailable(Cause::Status(500))), "{failed:?}");
        let garbled = ProviderError::Unknown(Cause::Unreadable).of_question();
        assert!(matches!(garbled, ProviderError::Malformed), "{garbled:?}");
    }
}
