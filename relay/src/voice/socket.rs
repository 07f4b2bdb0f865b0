//! One live-call socket: frames in, frames out, and its end.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use relay_core::call::Event;
use relay_core::relay_frame::{self, Incoming, Outgoing, Setup};
use shared::ids::AgentId;
use tokio::time::{Instant, sleep_until, timeout};

use crate::app::App;
use crate::observability::events;
use crate::services::live_calls::{self, OpenProblem, Socket};

/// The first frame must come within this time.
const SETUP_WITHIN: Duration = Duration::from_secs(10);
/// A peer that is silent this long is asked whether it is there, and given up after twice as long.
const PING_AFTER: Duration = Duration::from_secs(8);
const GIVE_UP_AFTER: Duration = Duration::from_secs(18);
/// How long the peer may take to close after we have ended the session.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);
/// Twilio closes a socket after this many frames that it cannot read, and so do we.
const MAX_BAD_FRAMES: u32 = 10;

/// Why the socket ended.
enum End {
    /// The peer closed it, or is gone.
    Peer(&'static str),
    /// We close it.
    Ours(u16, &'static str),
}

/// Holds the socket until either side ends it.
pub(crate) async fn hold(app: App, agent: AgentId, mut web_socket: WebSocket) {
    let call_sid = match first_frame(&mut web_socket).await {
        Ok(setup) => setup.call_sid,
        Err(end) => return Box::pin(refuse(web_socket, end)).await,
    };
    // Boxed, as it is over soon: a socket that is held should cost little memory.
    let mut socket = match Box::pin(live_calls::open(&app, &agent, &call_sid)).await {
        Ok(socket) => socket,
        Err(problem) => {
            let code = match &problem {
                OpenProblem::NoCall | OpenProblem::Taken => close_code::POLICY,
                OpenProblem::Service(inside) => {
                    events::failed_inside("open a live call", inside);
                    close_code::ERROR
                }
            };
            return Box::pin(refuse(web_socket, End::Ours(code, "the call was refused"))).await;
        }
    };
    let end = Line { app: &app, web_socket: &mut web_socket, call_sid: &call_sid }.run(&mut socket).await;
    let reason = match &end {
        End::Peer(reason) | End::Ours(_, reason) => *reason,
    };
    events::socket_lost(&socket.call.call_sid, reason);
    socket.closed(&app);
    if let End::Ours(code, reason) = end {
        Box::pin(close(web_socket, code, reason)).await;
    }
}

async fn first_frame(socket: &mut WebSocket) -> Result<Setup, End> {
    let bad = End::Ours(close_code::POLICY, "the first frame must be `setup`");
    match timeout(SETUP_WITHIN, socket.recv()).await {
        Ok(Some(Ok(Message::Text(text)))) => match relay_frame::parse(&text) {
            Ok(Incoming::Setup(setup)) => Ok(setup),
            _ => Err(bad),
        },
        Ok(Some(Ok(_))) | Err(_) => Err(bad),
        Ok(Some(Err(_)) | None) => Err(End::Peer("closed before `setup`")),
    }
}

async fn refuse(socket: WebSocket, end: End) {
    match end {
        End::Peer(reason) => events::socket_refused(reason),
        End::Ours(code, reason) => {
            events::socket_refused(reason);
            close(socket, code, reason).await;
        }
    }
}

async fn close(mut socket: WebSocket, code: u16, reason: &'static str) {
    let frame = CloseFrame { code, reason: reason.into() };
    // A peer that is gone cannot be told.
    let _ = timeout(CLOSE_WITHIN, socket.send(Message::Close(Some(frame)))).await;
}

struct Line<'a> {
    app: &'a App,
    web_socket: &'a mut WebSocket,
    call_sid: &'a str,
}

/// What happens next on a line.
enum Next {
    Received(Option<Result<Message, axum::Error>>),
    ToSend(Option<Box<Outgoing>>),
    TimeIsUp,
    Quiet,
    Stop,
}

impl Line<'_> {
    async fn run(&mut self, socket: &mut Socket) -> End {
        let mut bad_frames = 0;
        let mut told_unknown = false;
        let mut heard_at = Instant::now();
        let mut pinged = false;
        loop {
            let quiet_until = heard_at + if pinged { GIVE_UP_AFTER } else { PING_AFTER };
            match self.next(socket, quiet_until).await {
                Next::Received(Some(Ok(message))) => {
                    (heard_at, pinged) = (Instant::now(), false);
                    let Message::Text(text) = message else {
                        if matches!(message, Message::Close(_)) {
                            return End::Peer("closed by the carrier");
                        }
                        continue;
                    };
                    match self.event(&text, &mut told_unknown) {
                        Ok(Some(event)) => {
                            bad_frames = 0;
                            Box::pin(socket.take(self.app, event)).await;
                        }
                        Ok(None) => bad_frames = 0,
                        Err(()) => bad_frames += 1,
                    }
                    if bad_frames == MAX_BAD_FRAMES {
                        return End::Ours(close_code::INVALID, "too many frames that cannot be read");
                    }
                }
                Next::Received(Some(Err(_)) | None) => return End::Peer("connection lost"),
                Next::ToSend(Some(frame)) => {
                    if let Some(end) = self.send(*frame).await {
                        return end;
                    }
                }
                Next::ToSend(None) => return End::Ours(close_code::NORMAL, "the call is over"),
                Next::TimeIsUp => Box::pin(socket.time_is_up(self.app)).await,
                Next::Quiet if pinged => return End::Peer("silent for too long"),
                Next::Quiet => {
                    pinged = true;
                    if self.web_socket.send(Message::Ping(Default::default())).await.is_err() {
                        return End::Peer("connection lost");
                    }
                }
                Next::Stop => return End::Ours(close_code::AWAY, "the relay stops"),
            }
        }
    }

    async fn next(&mut self, socket: &mut Socket, quiet_until: Instant) -> Next {
        let timer = *socket.timer.borrow_and_update();
        tokio::select! {
            // What is ready to be said goes first: the caller waits for it.
            biased;
            frame = socket.frames.recv() => Next::ToSend(frame),
            received = self.web_socket.recv() => Next::Received(received),
            () = sleep_until(timer.unwrap_or(quiet_until)), if timer.is_some() => Next::TimeIsUp,
            // Another moment was named; come back for it.
            _ = socket.timer.changed() => Box::pin(self.next(socket, quiet_until)).await,
            () = sleep_until(quiet_until) => Next::Quiet,
            () = self.app.stop.cancelled() => Next::Stop,
        }
    }

    /// What a frame means for the call; `None` if it means nothing, an error if it cannot be read.
    fn event(&self, text: &str, told_unknown: &mut bool) -> Result<Option<Event>, ()> {
        Ok(match relay_frame::parse(text).map_err(|_| ())? {
            Incoming::Setup(again) if again.call_sid == self.call_sid => None,
            // A socket belongs to one call for good.
            Incoming::Setup(_) => return Err(()),
            Incoming::Prompt { voice_prompt, last, .. } => Some(Event::Prompt { text: voice_prompt, last }),
            Incoming::Dtmf { digit } => Some(Event::Dtmf { digit }),
            Incoming::Interrupt { utterance_until_interrupt, .. } => {
                Some(Event::Interrupted { heard: utterance_until_interrupt })
            }
            Incoming::Error { .. } => Some(Event::CarrierError),
            Incoming::Info { .. } => None,
            Incoming::Unknown { kind } => {
                if !std::mem::replace(told_unknown, true) {
                    events::unknown_frame(self.call_sid, &kind);
                }
                None
            }
        })
    }

    /// Sends a frame. After an `end` the carrier closes; if it does not, we do.
    async fn send(&mut self, frame: Outgoing) -> Option<End> {
        let ends = matches!(frame, Outgoing::End { .. });
        let text = Message::Text(frame.to_json().into());
        if !matches!(timeout(CLOSE_WITHIN, self.web_socket.send(text)).await, Ok(Ok(()))) {
            return Some(End::Peer("the carrier does not read"));
        }
        if !ends {
            return None;
        }
        let closed = async { while let Some(Ok(_)) = self.web_socket.recv().await {} };
        match Box::pin(timeout(CLOSE_WITHIN, closed)).await {
            Ok(()) => Some(End::Peer("ended by us")),
            Err(_) => Some(End::Ours(close_code::NORMAL, "the call is over")),
        }
    }
}
