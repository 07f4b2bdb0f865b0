//! `POST /webhooks/{agent}/voice`: a call comes in, or one that we placed was answered (`?session=`); and of a call
//! that was put through, what the other telephone hears alone (`&whisper=`) and how that went (`&dialled=`).

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use shared::ids::SessionId;

use super::{Signed, failure};
use crate::app::App;
use crate::services::ServiceError;
use crate::services::calls::{self, CarrierCall, DialEnded};

/// Answers with TwiML: what the carrier shall do with the call.
pub(in crate::http) async fn answer(State(app): State<App>, signed: Signed) -> Response {
    let document = if signed.query("whisper").is_some() {
        whisper(&app, &signed).await
    } else if signed.query("dialled").is_some() {
        dial_ended(&app, &signed).await
    } else {
        call(&app, &signed).await
    };
    match document {
        Ok(Ok(document)) => super::twiml(document),
        Ok(Err(problem)) => failure("voice", &problem),
        Err(status) => status.into_response(),
    }
}

/// An answer, or the status for what cannot be read.
type Document = Result<Result<String, ServiceError>, StatusCode>;

async fn call(app: &App, signed: &Signed) -> Document {
    let call = CarrierCall {
        call_sid: signed.required("CallSid")?,
        // A caller may hide the number.
        from: signed.address("From").unwrap_or_else(|| "anonymous".to_owned()),
        to: signed.address("To").ok_or(StatusCode::UNPROCESSABLE_ENTITY)?,
        session_id: signed.query("session").map(|_| session(signed)).transpose()?,
    };
    Ok(calls::answer(app, &signed.agent, call).await)
}

async fn whisper(app: &App, signed: &Signed) -> Document {
    Ok(calls::whisper(app, &signed.agent, session(signed)?).await)
}

async fn dial_ended(app: &App, signed: &Signed) -> Document {
    let transfer = signed.query("dialled").and_then(|id| id.parse().ok()).ok_or(StatusCode::NOT_FOUND)?;
    let status: String = signed.required("DialCallStatus")?;
    let seconds = signed.field("DialCallDuration").and_then(|seconds| seconds.parse().ok()).unwrap_or(0);
    let was_answered = matches!(status.as_str(), "completed" | "answered");
    let ended =
        DialEnded { session_id: session(signed)?, transfer, seconds: was_answered.then_some(seconds) };
    Ok(calls::dial_ended(app, &signed.agent, ended).await)
}

fn session(signed: &Signed) -> Result<SessionId, StatusCode> {
    signed.query("session").and_then(|id| id.parse().ok()).ok_or(StatusCode::NOT_FOUND)
}
