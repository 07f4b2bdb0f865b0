//! `POST /webhooks/{agent}/sms`: a text or picture message came in.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use relay_core::twiml;
use shared::model::{Channel, Media};

use super::{Signed, failure};
use crate::app::App;
use crate::services::inbox::{self, InboundMessage};

/// Twilio's own limit for the pictures of one message.
pub(super) const MAX_MEDIA: usize = 10;

/// Answers 200 only once the message is stored and synced.
pub(in crate::http) async fn receive(State(app): State<App>, signed: Signed) -> Response {
    let inbound = match read(&signed) {
        Ok(inbound) => inbound,
        Err(status) => return status.into_response(),
    };
    match inbox::receive(&app, &signed.agent, inbound).await {
        Ok(()) => super::twiml(twiml::empty()),
        Err(problem) => failure("sms", &problem),
    }
}

fn read(signed: &Signed) -> Result<InboundMessage, StatusCode> {
    Ok(InboundMessage {
        channel: Channel::Sms,
        external_id: signed.required("MessageSid")?,
        from: signed.address("From").ok_or(StatusCode::UNPROCESSABLE_ENTITY)?,
        to: signed.address("To").ok_or(StatusCode::UNPROCESSABLE_ENTITY)?,
        sender_name: None,
        body: signed.field("Body").unwrap_or("").to_owned(),
        media: (0..MAX_MEDIA).map_while(|at| media(signed, at)).collect(),
    })
}

/// One of the media that came with a message.
pub(super) fn media(signed: &Signed, at: usize) -> Option<Media> {
    let kind = signed.field(&format!("MediaContentType{at}")).unwrap_or("application/octet-stream");
    Some(Media {
        url: signed.field(&format!("MediaUrl{at}"))?.to_owned(),
        content_type: kind.to_owned(),
        size_bytes: None,
    })
}
