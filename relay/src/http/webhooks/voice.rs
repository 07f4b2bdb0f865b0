//! `POST /webhooks/{agent}/voice`: a call comes in, or one that we placed was answered (`?session=`).

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;

use super::{Signed, failure};
use crate::app::App;
use crate::services::calls::{self, CarrierCall};

/// Answers with TwiML that connects the caller to the live-call socket.
pub(in crate::http) async fn answer(State(app): State<App>, signed: Signed) -> Response {
    let call = match read(&signed) {
        Ok(call) => call,
        Err(status) => return status.into_response(),
    };
    match calls::answer(&app, &signed.agent, call).await {
        Ok(document) => super::twiml(document),
        Err(problem) => failure("voice", &problem),
    }
}

fn read(signed: &Signed) -> Result<CarrierCall, StatusCode> {
    let session = signed.query("session").map(str::parse).transpose();
    Ok(CarrierCall {
        call_sid: signed.required("CallSid")?,
        // A caller may hide the number.
        from: signed.address("From").unwrap_or_else(|| "anonymous".to_owned()),
        to: signed.address("To").ok_or(StatusCode::UNPROCESSABLE_ENTITY)?,
        session_id: session.map_err(|_| StatusCode::NOT_FOUND)?,
    })
}
