//! A WebSocket that answers each prompt frame with a text frame.

use anyhow::Result;
use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::get;
use axum::serve::ListenerExt;
use serde::{Deserialize, Serialize};

/// Large enough for the frames of a call, small enough for many calls.
const BUFFER_BYTES: usize = 4096;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Prompt {
    voice_prompt: String,
}

#[derive(Serialize)]
struct Text<'a> {
    r#type: &'a str,
    token: &'a str,
    last: bool,
}

pub(crate) async fn serve() -> Result<()> {
    let router = Router::new().route("/", get(upgrade));
    // A socket that refuses the option is slower, not wrong.
    let listener = super::listen().await?.tap_io(|stream| drop(stream.set_nodelay(true)));
    Ok(axum::serve(listener, router).await?)
}

async fn upgrade(upgrade: WebSocketUpgrade) -> Response {
    upgrade.read_buffer_size(BUFFER_BYTES).write_buffer_size(0).on_upgrade(answer)
}

async fn answer(mut socket: WebSocket) {
    while let Some(Ok(Message::Text(frame))) = socket.recv().await {
        let Ok(prompt) = serde_json::from_str::<Prompt>(&frame) else { continue };
        let text = Text { r#type: "text", token: &prompt.voice_prompt, last: true };
        let text = serde_json::to_string(&text).expect("text always encodes");
        if socket.send(Message::Text(text.into())).await.is_err() {
            break;
        }
    }
}
