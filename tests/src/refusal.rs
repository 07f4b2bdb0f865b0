//! What a session is told that may not, or cannot.

use std::fmt::Debug;

use anyhow::{Result, bail};
use shared::ipc::ClientError;
use shared::protocol::ApiError;

/// The refusal that a call over the local socket ended with.
pub fn refusal<T: Debug>(answer: Result<T, ClientError>) -> Result<ApiError> {
    match answer {
        Err(ClientError::Api(problem)) => Ok(problem),
        other => bail!("no refusal but {other:?}"),
    }
}
