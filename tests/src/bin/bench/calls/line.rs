//! The carrier's end of one live call.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, handshake::client::Request};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::agent::OwnTime;
use crate::http_load::Connection;
use crate::twilio::{self, Call, Connect};

const PROMPT: &str = r#"{"type":"prompt","voicePrompt":"Hi, could you move my appointment to Thursday at three pm please?","lang":"en-US","last":true}"#;

/// An open call.
pub(super) struct Line {
    socket: WebSocketStream<TcpStream>,
    agent: OwnTime,
}

#[derive(Deserialize)]
struct Frame {
    r#type: String,
    #[serde(default)]
    last: bool,
}

impl Line {
    /// Calls the relay: webhook, then the socket that the answer names.
    pub(super) async fn open(relay: SocketAddr, call: &Call) -> Result<Self> {
        let mut webhook = Connection::open(relay).await?;
        let twiml = webhook.send(&twilio::call(call)).await?;
        let connect = Connect::parse(std::str::from_utf8(twiml)?)?;
        let path = connect.url.splitn(4, '/').nth(3).context("the socket's address has no path")?;
        let mut request = format!("ws://{relay}/{path}").into_client_request()?;
        request.headers_mut().insert("x-twilio-signature", twilio::signature(&connect.url).parse()?);
        let mut line = Self::connect(relay, request).await?;
        line.socket.send(Message::text(call.setup(&connect.parameters))).await?;
        Ok(line)
    }

    pub(super) async fn open_bare(server: SocketAddr) -> Result<Self> {
        Self::connect(server, format!("ws://{server}/").into_client_request()?).await
    }

    /// Names the agent whose own time is not the relay's.
    pub(super) fn answered_by(self, agent: OwnTime) -> Self {
        Self { agent, ..self }
    }

    /// Says something and waits for the whole answer; gives the time to its first words, less the agent's own.
    pub(super) async fn turn(&mut self) -> Result<Duration> {
        let start = Instant::now();
        self.socket.send(Message::text(PROMPT)).await?;
        let mut first = None;
        loop {
            let message = self.socket.next().await.context("the server closed the call")??;
            let Message::Text(text) = message else { continue };
            let frame: Frame = serde_json::from_str(&text)?;
            if frame.r#type != "text" {
                bail!("a frame of type {} in place of words", frame.r#type);
            }
            let elapsed = *first.get_or_insert_with(|| start.elapsed());
            if frame.last {
                return Ok(elapsed.saturating_sub(self.agent.get()));
            }
        }
    }

    async fn connect(server: SocketAddr, request: Request) -> Result<Self> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        let config = WebSocketConfig::default().read_buffer_size(4096).write_buffer_size(0);
        let (socket, _) = client_async_with_config(request, stream, Some(config))
            .await
            .context("failed to open the socket")?;
        Ok(Self { socket, agent: OwnTime::default() })
    }
}
