//! The body of an error: `application/problem+json` (RFC 9457) with a fixed text and the request's id.
//!
//! Called by the outermost layer. A framework's or handler's own plain text is replaced, because it may repeat
//! what the client sent.

use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use super::request_id::RequestId;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Problem {
    /// That the status says it all.
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'static str,
    request_id: String,
}

/// The response with a problem as its body, if it is an error that has no typed body of its own.
pub(super) fn explained(response: Response, id: RequestId) -> Response {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) || is_typed(&response) {
        return response;
    }
    let problem = Problem {
        r#type: "about:blank",
        title: status.canonical_reason().unwrap_or("Error"),
        status: status.as_u16(),
        detail: detail(status),
        request_id: id.to_string(),
    };
    let body = serde_json::to_vec(&problem).expect("texts and a number are always JSON");
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    Response::from_parts(parts, body.into())
}

fn is_typed(response: &Response) -> bool {
    let content_type = response.headers().get(header::CONTENT_TYPE);
    content_type.is_some_and(|content_type| !content_type.as_bytes().starts_with(b"text/plain"))
}

fn detail(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => "The request could not be understood.",
        StatusCode::UNAUTHORIZED => "A valid credential is needed here.",
        StatusCode::FORBIDDEN => "This request is not allowed.",
        StatusCode::NOT_FOUND => "There is nothing at this address.",
        StatusCode::METHOD_NOT_ALLOWED => "This address does not support the method; see Allow.",
        StatusCode::PAYLOAD_TOO_LARGE => "The body is larger than 1 MiB.",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "The body's type is not supported here.",
        StatusCode::TOO_MANY_REQUESTS => "Too many requests; wait for the seconds in Retry-After.",
        StatusCode::SERVICE_UNAVAILABLE => "This is not available at the moment; try again later.",
        status if status.is_server_error() => "Something went wrong; the request id finds it in the log.",
        _ => "The request cannot be served.",
    }
}
