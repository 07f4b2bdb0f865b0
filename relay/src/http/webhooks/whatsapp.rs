//! `POST /webhooks/{agent}/whatsapp`: a WhatsApp message came in.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use relay_core::twiml;
use shared::model::Channel;

use super::sms::{MAX_MEDIA, media};
use super::{Signed, failure};
use crate::app::App;
use crate::services::inbox::{self, InboundMessage};

/// What Twilio puts before numbers that are reached this way.
const PREFIX: &str = "whatsapp:";

/// Answers 200 only once the message is stored and synced.
pub(in crate::http) async fn receive(State(app): State<App>, signed: Signed) -> Response {
    let inbound = match read(&signed) {
        Ok(inbound) => inbound,
        Err(status) => return status.into_response(),
    };
    match inbox::receive(&app, &signed.agent, inbound).await {
        Ok(()) => super::twiml(twiml::empty()),
        Err(problem) => failure("whatsapp", &problem),
    }
}

fn read(signed: &Signed) -> Result<InboundMessage, StatusCode> {
    Ok(InboundMessage {
        channel: Channel::Whatsapp,
        external_id: signed.required("MessageSid")?,
        from: address(signed, "From")?,
        to: address(signed, "To")?,
        sender_name: signed.address("ProfileName"),
        body: signed.field("Body").unwrap_or("").to_owned(),
        media: (0..MAX_MEDIA).map_while(|at| media(signed, at)).collect(),
    })
}

/// The number without the prefix; what has none is taken as it is.
fn address(signed: &Signed, field: &str) -> Result<String, StatusCode> {
    let address = signed.address(field).ok_or(StatusCode::UNPROCESSABLE_ENTITY)?;
    Ok(address.strip_prefix(PREFIX).map(str::to_owned).unwrap_or(address))
}
