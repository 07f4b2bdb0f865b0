//! A failure as the model sees it: a tool result, never a protocol error.

use rmcp::ErrorData;
use rmcp::handler::server::tool::IntoCallToolResult;
use rmcp::model::{CallToolResponse, CallToolResult, ContentBlock};
use shared::protocol::{ApiError, ErrorCode};

/// Becomes `{"error": …}` as text only: clients check structured content against the tool's output schema even
/// when it is an error, and would hide it from the model.
#[derive(Debug)]
pub(crate) struct Failure(ApiError);

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl Failure {
    /// The arguments do not make sense.
    pub(crate) fn invalid(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self(ApiError::new(ErrorCode::InvalidInput, message, hint))
    }

    /// Nobody waits for the answer any more.
    pub(crate) fn cancelled() -> Self {
        Self(
            ApiError::new(ErrorCode::Internal, "the host cancelled this call", "Call again.").retryable(None),
        )
    }

    /// What went wrong in a tool's result, if it is a failure.
    pub(crate) fn in_result(result: &CallToolResult) -> Option<ApiError> {
        let text = result.content.first()?.as_text().filter(|_| result.is_error == Some(true))?;
        let mut body: serde_json::Value = serde_json::from_str(&text.text).ok()?;
        serde_json::from_value(body.get_mut("error")?.take()).ok()
    }

    pub(crate) fn into_result(self) -> CallToolResult {
        let text = serde_json::json!({ "error": self.0 }).to_string();
        CallToolResult::error(vec![ContentBlock::text(text)])
    }
}

impl IntoCallToolResult for Failure {
    fn into_call_tool_result(self) -> Result<CallToolResponse, ErrorData> {
        Ok(self.into_result().into())
    }
}
