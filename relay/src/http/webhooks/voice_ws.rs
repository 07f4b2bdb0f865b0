//! `GET /webhooks/{agent}/voice-ws`: Twilio's ConversationRelay opens the socket of a live call.

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{FromRequestParts, Request, State};
use axum::response::{IntoResponse, Response};
use relay_core::signature::Body;

use super::{agent, refuse_unsigned};
use crate::app::App;
use crate::voice;

/// No frame that the carrier sends is nearly as long.
const MAX_FRAME_BYTES: usize = 64 * 1024;
/// Held by every open call. A caller's words are a few hundred bytes; tungstenite would take 128 KiB.
const READ_BUFFER_BYTES: usize = 1024;
/// What may wait for a socket that does not read.
const WRITE_BUFFER_BYTES: usize = 64 * 1024;

/// Upgrades only what the carrier has signed.
pub(in crate::http) async fn upgrade(State(app): State<App>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    let scheme = if app.public_base.scheme() == "https" { "wss" } else { "ws" };
    if let Some(refusal) = refuse_unsigned(&app, &parts, Body::None, scheme) {
        return refusal;
    }
    let agent = match agent(&app, &mut parts).await {
        Ok(agent) => agent,
        Err(refusal) => return refusal,
    };
    match WebSocketUpgrade::from_request_parts(&mut parts, &app).await {
        Ok(upgrade) => upgrade
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(WRITE_BUFFER_BYTES)
            .max_message_size(MAX_FRAME_BYTES)
            .max_frame_size(MAX_FRAME_BYTES)
            .on_upgrade(move |socket| voice::hold(app, agent, socket)),
        Err(refusal) => refusal.into_response(),
    }
}
