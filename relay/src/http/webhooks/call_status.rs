//! `POST /webhooks/{agent}/call-status`: how a call or a sent message comes along, and the end of a live-call
//! session (`?relay=ended`), which alone is answered with TwiML.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use relay_core::delivery;
use shared::model::MessageStatus;

use super::{Signed, failure};
use crate::app::App;
use crate::services::ServiceError;
use crate::services::calls::{self, CallReport, RelayEnded};
use crate::services::messages::{self, DeliveryReport};

/// Answers 200 only once the news is stored.
pub(in crate::http) async fn receive(State(app): State<App>, signed: Signed) -> Response {
    let taken = if signed.query("relay") == Some("ended") {
        return relay_ended(&app, &signed).await;
    } else if signed.field("MessageSid").is_some() {
        message(&app, &signed).await
    } else {
        call(&app, &signed).await
    };
    taken.unwrap_or_else(IntoResponse::into_response)
}

async fn message(app: &App, signed: &Signed) -> Result<Response, StatusCode> {
    let Some(status) = signed.field("MessageStatus").and_then(delivery::from_twilio) else {
        return Ok(StatusCode::OK.into_response());
    };
    let failed = matches!(status, MessageStatus::Undelivered | MessageStatus::Failed);
    let report = DeliveryReport {
        message_id: signed.query("message").and_then(|id| id.parse().ok()),
        external_id: signed.required("MessageSid")?,
        status,
        error_code: signed.field("ErrorCode").filter(|_| failed).map(str::to_owned),
    };
    Ok(answer(messages::report_delivery(app, &signed.agent, report).await))
}

async fn call(app: &App, signed: &Signed) -> Result<Response, StatusCode> {
    // Others, such as the result of machine detection, bring no status of the call.
    let Some(status) = signed.field("CallStatus").and_then(delivery::call_from_twilio) else {
        return Ok(StatusCode::OK.into_response());
    };
    let number = |name| signed.field(name).and_then(|text| text.parse().ok());
    let report = CallReport {
        call_sid: signed.required("CallSid")?,
        status,
        session_id: signed.query("session").and_then(|id| id.parse().ok()),
        sequence: number("SequenceNumber"),
        duration_seconds: number("CallDuration"),
    };
    Ok(answer(calls::report_status(app, &signed.agent, report).await))
}

fn answer(taken: Result<(), ServiceError>) -> Response {
    match taken {
        Ok(()) => StatusCode::OK.into_response(),
        Err(problem) => failure("call-status", &problem),
    }
}

async fn relay_ended(app: &App, signed: &Signed) -> Response {
    let status = signed.field("CallStatus").and_then(delivery::call_from_twilio);
    let (Ok(call_sid), Some(call_status)) = (signed.required("CallSid"), status) else {
        return StatusCode::UNPROCESSABLE_ENTITY.into_response();
    };
    let ended = RelayEnded { call_sid, call_status, lost: signed.field("SessionStatus") == Some("failed") };
    match calls::relay_ended(app, &signed.agent, ended).await {
        Ok(document) => super::twiml(document),
        Err(problem) => failure("call-status", &problem),
    }
}
