//! Twilio's end of one live call, written apart from the code under test: rings, opens the socket, sends frames,
//! collects ours.
//!
//! <https://www.twilio.com/docs/voice/conversationrelay/websocket-messages>

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::relay::{Answer, OUR_NUMBER, PERSON, TestRelay};

/// Where calls of the default agent ring.
pub const VOICE: &str = "/webhooks/default/voice";
/// Where their sockets are.
pub const SOCKET: &str = "/webhooks/default/voice-ws";
/// Where news of them go.
pub const CALL_STATUS: &str = "/webhooks/default/call-status";

const PATIENCE: Duration = Duration::from_secs(30);

/// An open socket. Dropped, the connection breaks without a word.
pub struct Line(WebSocketStream<TcpStream>);

/// The socket was not opened: the status that was answered instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotOpened(pub u16);

/// The form of a call that comes in.
#[must_use]
pub fn call_form<'a>(sid: &'a str, from: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("CallSid", sid),
        ("AccountSid", "AC00000000000000000000000000000001"),
        ("From", from),
        ("To", OUR_NUMBER),
        ("CallStatus", "ringing"),
        ("Direction", "inbound"),
        ("ApiVersion", "2010-04-01"),
    ]
}

/// Calls the default agent; gives the answer, which is TwiML.
pub async fn ring(relay: &TestRelay, sid: &str) -> Result<Answer> {
    relay.post_signed(VOICE, &call_form(sid, PERSON)).await
}

/// Tells the relay, at the address of the TwiML's `action`, that the live-call session is over.
pub async fn session_ended(
    relay: &TestRelay,
    sid: &str,
    [session_status, call_status]: [&str; 2],
) -> Result<Answer> {
    let form = [("CallSid", sid), ("CallStatus", call_status), ("SessionStatus", session_status)];
    relay.post_signed(&format!("{CALL_STATUS}?relay=ended"), &form).await
}

/// Tells how a call comes along.
pub async fn call_status(relay: &TestRelay, sid: &str, status: &str) -> Result<u16> {
    Ok(relay.post_signed(CALL_STATUS, &[("CallSid", sid), ("CallStatus", status)]).await?.status)
}

/// The value of an attribute in the TwiML that connects a call.
#[must_use]
pub fn attribute(twiml: &str, name: &str) -> Option<String> {
    let (_, rest) = twiml.split_once(&format!(" {name}=\""))?;
    Some(rest.split_once('"')?.0.replace("&amp;", "&"))
}

impl Line {
    /// Rings, opens the socket and introduces the call.
    pub async fn call(relay: &TestRelay, sid: &str) -> Result<Self> {
        let answer = ring(relay, sid).await?;
        ensure!(answer.status == 200, "the call was not answered: {answer:?}");
        Self::open(relay, sid).await
    }

    /// Opens the socket of a call that was announced before, and introduces the call.
    pub async fn open(relay: &TestRelay, sid: &str) -> Result<Self> {
        let mut line = Self::connect(relay, SOCKET).await?;
        line.set_up(sid).await?;
        Ok(line)
    }

    /// Opens a socket, signed, and sends nothing.
    pub async fn connect(relay: &TestRelay, path: &str) -> Result<Self> {
        let opened = Self::try_connect(relay, path, &relay.sign_socket(path)).await?;
        opened.map_err(|NotOpened(status)| anyhow::anyhow!("the socket was refused: {status}"))
    }

    /// Asks for a socket with any signature.
    pub async fn try_connect(
        relay: &TestRelay,
        path: &str,
        signature: &str,
    ) -> Result<Result<Self, NotOpened>> {
        let public = relay.public().replace("http://", "");
        let stream = TcpStream::connect(&public).await.context("failed to connect")?;
        let mut request = format!("ws://{public}{path}").into_client_request()?;
        request.headers_mut().insert("x-twilio-signature", signature.parse()?);
        match timeout(PATIENCE, client_async(request, stream)).await? {
            Ok((socket, _)) => Ok(Ok(Self(socket))),
            Err(Error::Http(answer)) => Ok(Err(NotOpened(answer.status().as_u16()))),
            Err(problem) => Err(problem).context("failed to open the socket"),
        }
    }

    /// Introduces the call.
    pub async fn set_up(&mut self, sid: &str) -> Result<()> {
        self.send(&json!({
            "type": "setup", "sessionId": "VX00000000000000000000000000000001", "callSid": sid,
            "accountSid": "AC00000000000000000000000000000001", "parentCallSid": null, "from": PERSON,
            "to": OUR_NUMBER, "forwardedFrom": null, "callerName": null, "direction": "inbound",
            "callType": "PSTN", "callStatus": "RINGING", "customParameters": {},
        }))
        .await
    }

    /// The caller has said this.
    pub async fn say(&mut self, words: &str) -> Result<()> {
        self.send(&json!({ "type": "prompt", "voicePrompt": words, "lang": "en-US", "last": true })).await
    }

    /// The caller is about to say this.
    pub async fn say_so_far(&mut self, words: &str) -> Result<()> {
        self.send(&json!({ "type": "prompt", "voicePrompt": words, "lang": "en-US", "last": false })).await
    }

    /// The caller presses keys, one by one.
    pub async fn press(&mut self, keys: &str) -> Result<()> {
        for key in keys.chars() {
            self.send(&json!({ "type": "dtmf", "digit": key.to_string() })).await?;
        }
        Ok(())
    }

    /// The caller speaks over our words after this much of them.
    pub async fn interrupt(&mut self, heard: &str) -> Result<()> {
        let frame = json!({
            "type": "interrupt", "utteranceUntilInterrupt": heard, "durationUntilInterruptMs": 460,
        });
        self.send(&frame).await
    }

    /// Sends a frame.
    pub async fn send(&mut self, frame: &Value) -> Result<()> {
        self.send_text(frame.to_string()).await
    }

    /// Sends anything as a frame.
    pub async fn send_text(&mut self, text: impl Into<String>) -> Result<()> {
        self.0.send(Message::text(text.into())).await.context("failed to send a frame")
    }

    /// Our next frame.
    pub async fn next(&mut self) -> Result<Value> {
        match self.message().await? {
            Some(Message::Text(text)) => Ok(serde_json::from_str(&text)?),
            other => bail!("no frame but {other:?}"),
        }
    }

    /// What the caller hears next.
    pub async fn hears(&mut self) -> Result<String> {
        let frame = self.next().await?;
        let words = frame["token"].as_str().with_context(|| format!("no words but {frame}"))?;
        Ok(words.to_owned())
    }

    /// Waits for the end of the socket, passing over what comes before; gives the code that we closed it with, if
    /// we said one.
    pub async fn closed(&mut self) -> Result<Option<u16>> {
        loop {
            match self.message().await? {
                Some(Message::Close(frame)) => return Ok(frame.map(|frame| frame.code.into())),
                Some(_) => (),
                None => return Ok(None),
            }
        }
    }

    /// Hangs up as the carrier does, by closing the socket, and waits until the relay has let go of it.
    pub async fn hang_up(mut self) -> Result<()> {
        self.0.close(None).await.context("failed to close the socket")?;
        while self.message().await?.is_some() {}
        Ok(())
    }

    /// The next message that is not of the protocol's own; `None` at the end of the stream.
    async fn message(&mut self) -> Result<Option<Message>> {
        let next = async {
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => (),
                    Some(Ok(message)) => return Some(message),
                    // A connection that is cut off is over as well.
                    Some(Err(_)) | None => return None,
                }
            }
        };
        timeout(PATIENCE, next).await.context("the relay says nothing")
    }
}
