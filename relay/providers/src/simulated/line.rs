//! One call's WebSocket: Twilio's side of ConversationRelay.
//!
//! <https://www.twilio.com/docs/voice/conversationrelay/websocket-messages>

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::HeaderValue;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{sleep_until, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::call::{Command, Instructions, Utterance};
use super::leg::Leg;
use super::signing;
use super::twiml::Relay;
use super::webhook::{SIGNATURE, ascii};

const CONNECT: Duration = Duration::from_secs(5);
/// After so many frames in a row that it cannot read, Twilio closes the socket.
const MAX_BAD_FRAMES: u32 = 10;
/// How fast the voice speaks, for the duration that an interruption names.
const MILLIS_PER_CHARACTER: usize = 60;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Why the socket's part of the call is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Hangup {
    /// Our side sent `end`.
    ByRelay {
        handoff: Option<String>,
    },
    ByPerson,
    ByAccount,
    OutOfTime,
    Redirected(Instructions),
    Failed {
        code: u32,
        message: &'static str,
    },
}

impl Hangup {
    /// Twilio's word for it.
    pub(super) fn session_status(&self) -> &'static str {
        match self {
            Self::ByRelay { .. } => "ended",
            Self::ByPerson | Self::ByAccount | Self::OutOfTime | Self::Redirected(_) => "completed",
            Self::Failed { .. } => "failed",
        }
    }

    const LOST: Self =
        Self::Failed { code: 39001, message: "Network connection to WebSocket server failed." };
    const NOT_CONNECTED: Self = Self::Failed { code: 64102, message: "Unable to connect to WebSocket URL" };
    const BAD_FRAMES: Self = Self::Failed { code: 64105, message: "WebSocket ended" };
}

/// A frame from our side.
#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Frame {
    Text {
        token: String,
        #[serde(default)]
        last: bool,
        #[serde(default)]
        preemptible: bool,
    },
    Play {
        source: String,
    },
    SendDigits {
        digits: String,
    },
    Language {
        #[serde(default)]
        tts_language: Option<String>,
        #[serde(default)]
        transcription_language: Option<String>,
    },
    End {
        #[serde(default)]
        handoff_data: Option<String>,
    },
}

/// Speaks with our side until one of them ends it.
pub(super) async fn talk(leg: &mut Leg, relay: &Relay, session: &str) -> Hangup {
    let Some(socket) = open(leg, relay).await else { return Hangup::NOT_CONNECTED };
    let mut line = Line { socket, speech: String::new(), bad_frames: 0, lang: relay.language.clone() };
    if line.send(&setup(leg, relay, session)).await.is_err() {
        return Hangup::LOST;
    }
    if let Some(greeting) = &relay.welcome_greeting {
        leg.hear(greeting.clone());
    }
    let hangup = line.run(leg).await;
    let code = if hangup == Hangup::BAD_FRAMES { CloseCode::Invalid } else { CloseCode::Normal };
    // Whoever does not take the farewell has left already.
    _ = timeout(CONNECT, line.socket.close(Some(CloseFrame { code, reason: "".into() }))).await;
    hangup
}

async fn open(leg: &Leg, relay: &Relay) -> Option<Socket> {
    let none: &[(&str, &str)] = &[];
    let signature = signing::sign(&leg.carrier.settings.auth_token, &relay.url, none);
    let mut request = relay.url.as_str().into_client_request().ok()?;
    request.headers_mut().insert(SIGNATURE, ascii(signature));
    request.headers_mut().insert(http::header::USER_AGENT, HeaderValue::from_static("TwilioProxy/1.1"));
    match timeout(CONNECT, connect_async(request)).await {
        Ok(Ok((socket, _))) => Some(socket),
        Ok(Err(_)) | Err(_) => None,
    }
}

fn setup(leg: &Leg, relay: &Relay, session: &str) -> Value {
    let (call, settings) = (&leg.call, &leg.carrier.settings);
    let parameters: serde_json::Map<String, Value> =
        relay.parameters.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    json!({
        "type": "setup",
        "sessionId": session,
        "accountSid": settings.account_sid,
        "parentCallSid": "",
        "callSid": call.sid,
        "from": call.from,
        "to": call.to,
        "forwardedFrom": "",
        "callType": "PSTN",
        "callerName": "",
        "direction": if call.inbound { "inbound" } else { "outbound-api" },
        "callStatus": if call.inbound { "RINGING" } else { "IN-PROGRESS" },
        "customParameters": parameters,
    })
}

struct Line {
    socket: Socket,
    /// What our side has said of the utterance that it is in.
    speech: String,
    bad_frames: u32,
    lang: Option<String>,
}

enum Event {
    Command(Option<Command>),
    Message(Option<Message>),
    OutOfTime,
}

impl Line {
    async fn run(&mut self, leg: &mut Leg) -> Hangup {
        loop {
            let event = tokio::select! {
                command = leg.commands.recv() => Event::Command(command),
                message = self.socket.next() => Event::Message(message.and_then(Result::ok)),
                () = sleep_until(leg.deadline) => Event::OutOfTime,
            };
            let outcome = match event {
                Event::Command(command) => self.obey(command).await,
                Event::Message(message) => self.receive(leg, message).await,
                Event::OutOfTime => Err(Hangup::OutOfTime),
            };
            if let Err(hangup) = outcome {
                return hangup;
            }
        }
    }

    async fn obey(&mut self, command: Option<Command>) -> Result<(), Hangup> {
        match command {
            Some(Command::Say(text)) => {
                let lang = self.lang.as_deref().unwrap_or("en-US");
                self.send(&json!({ "type": "prompt", "voicePrompt": text, "lang": lang, "last": true })).await
            }
            Some(Command::Press(digits)) => {
                for digit in digits.chars() {
                    self.send(&json!({ "type": "dtmf", "digit": digit.to_string() })).await?;
                }
                Ok(())
            }
            Some(Command::Interrupt(heard)) => {
                self.speech.clear();
                self.send(&json!({
                    "type": "interrupt",
                    "durationUntilInterruptMs": heard.chars().count() * MILLIS_PER_CHARACTER,
                    "utteranceUntilInterrupt": heard,
                }))
                .await
            }
            Some(Command::PickUp) => Ok(()),
            Some(Command::HangUp) | None => Err(Hangup::ByPerson),
            Some(Command::End) => Err(Hangup::ByAccount),
            Some(Command::Redirect(instructions)) => Err(Hangup::Redirected(instructions)),
        }
    }

    async fn receive(&mut self, leg: &Leg, message: Option<Message>) -> Result<(), Hangup> {
        match message {
            Some(Message::Text(text)) => match read(&text) {
                Some(frame) => {
                    self.bad_frames = 0;
                    self.play(leg, frame)
                }
                None => self.complain(&text).await,
            },
            Some(Message::Binary(_)) => self.complain("").await,
            Some(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => Ok(()),
            Some(Message::Close(_)) | None => Err(Hangup::LOST),
        }
    }

    fn play(&mut self, leg: &Leg, frame: Frame) -> Result<(), Hangup> {
        match frame {
            Frame::Text { token, last, preemptible } => {
                self.speech.push_str(&token);
                if last {
                    let text = std::mem::take(&mut self.speech);
                    leg.hear_utterance(Utterance { text, is_filler: preemptible });
                }
            }
            Frame::Play { .. } => leg.hear("[audio]".to_owned()),
            Frame::SendDigits { digits } => leg.hear(format!("[keys {digits}]")),
            Frame::Language { transcription_language, .. } => {
                self.lang = transcription_language.or(self.lang.take());
            }
            Frame::End { handoff_data } => return Err(Hangup::ByRelay { handoff: handoff_data }),
        }
        Ok(())
    }

    async fn complain(&mut self, text: &str) -> Result<(), Hangup> {
        self.bad_frames += 1;
        if self.bad_frames == MAX_BAD_FRAMES {
            return Err(Hangup::BAD_FRAMES);
        }
        let description = format!("Invalid message received: {text}");
        self.send(&json!({ "type": "error", "description": description })).await
    }

    async fn send(&mut self, frame: &Value) -> Result<(), Hangup> {
        let sent = timeout(CONNECT, self.socket.send(Message::text(frame.to_string()))).await;
        sent.map_err(|_| Hangup::LOST)?.map_err(|_| Hangup::LOST)
    }
}

/// A frame as Twilio takes it; anything else it answers with an error.
fn read(text: &str) -> Option<Frame> {
    let frame: Frame = serde_json::from_str(text).ok()?;
    let is_valid = match &frame {
        Frame::Text { .. } | Frame::End { .. } => true,
        Frame::Play { source } => url::Url::parse(source).is_ok(),
        Frame::SendDigits { digits } => {
            !digits.is_empty() && digits.chars().all(|digit| digit.is_ascii_digit() || "w#*".contains(digit))
        }
        Frame::Language { tts_language, transcription_language } => {
            tts_language.is_some() || transcription_language.is_some()
        }
    };
    is_valid.then_some(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Vectors {
        to_twilio_valid: Vec<Value>,
        to_twilio_invalid: Vec<Invalid>,
    }

    #[derive(Deserialize)]
    struct Invalid {
        why: String,
        message: Value,
    }

    fn vectors() -> Vectors {
        serde_json::from_str(include_str!("../fixtures/conversationrelay_messages.json")).unwrap()
    }

    #[test]
    fn every_valid_frame_is_read() {
        for frame in vectors().to_twilio_valid {
            assert!(read(&frame.to_string()).is_some(), "{frame}");
        }
    }

    #[test]
    fn every_invalid_frame_is_refused() {
        for Invalid { why, message } in vectors().to_twilio_invalid {
            assert_eq!(read(&message.to_string()), None, "{why}");
        }
    }

    #[test]
    fn an_unidentified_frame_is_refused() {
        assert_eq!(read(r#"{"type":"shout"}"#), None);
        assert_eq!(read("502 Bad Gateway"), None);
    }
}
