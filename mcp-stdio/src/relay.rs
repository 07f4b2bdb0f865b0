//! The link to the relay: made at the first tool call, made again when it broke, and never with a timer of its
//! own while nobody calls.

mod start;

use std::sync::{Arc, OnceLock};

use shared::ipc::{Client, ClientError, Told};
use shared::protocol::{
    ApiError, Call, ConfirmRead, Envelope, ErrorCode, Hello, PROTOCOL_VERSION, PeerProgram, RefusalReason,
};
use tokio::sync::Mutex;

use crate::settings::Settings;

/// A call that changes nothing, so that it may be asked again.
pub(crate) trait Question: Call + Clone {}

/// A call that does something, so that it must not be repeated behind the model's back.
pub(crate) trait Action: Call {
    /// The tool that shows whether it was done.
    const SEEN_BY: &'static str = "comms_get_messages";

    /// The argument that makes the same call safe to give again, if it was given.
    fn key(&self) -> Option<&'static str> {
        None
    }
}

/// The link. Clones share it.
#[derive(Clone)]
pub(crate) struct Relay(Arc<Link>);

struct Link {
    settings: Settings,
    host: OnceLock<PeerProgram>,
    client: Mutex<Option<Client>>,
}

impl Relay {
    pub(crate) fn new(settings: Settings) -> Self {
        Self(Arc::new(Link { settings, host: OnceLock::new(), client: Mutex::new(None) }))
    }

    /// Says which agent host this is, before the first call.
    pub(crate) fn introduce(&self, host: PeerProgram) {
        // A process has one host; what it says first holds.
        let _ = self.0.host.set(host);
    }

    /// Asks; if the connection breaks, once more over another.
    pub(crate) async fn ask<Q: Question>(
        &self,
        question: Q,
        envelope: Envelope,
    ) -> Result<Told<Q::Reply>, ApiError> {
        match self.connected().await?.call_with(question.clone(), envelope.clone()).await {
            Err(ClientError::Unreachable(_) | ClientError::Closed) => {
                self.connected().await?.call_with(question, envelope).await.map_err(explain)
            }
            answered => answered.map_err(explain),
        }
    }

    /// Acts; if the connection breaks, says what can be known.
    pub(crate) async fn act<A: Action>(
        &self,
        action: A,
        envelope: Envelope,
    ) -> Result<Told<A::Reply>, ApiError> {
        let key = action.key();
        match self.connected().await?.call_with(action, envelope).await {
            Err(ClientError::Closed) => Err(outcome_unknown(key, A::SEEN_BY)),
            answered => answered.map_err(explain),
        }
    }

    /// Confirms, if the connection still stands. The relay takes back what it handed over on one that broke.
    pub(crate) async fn confirm(&self, confirmation: ConfirmRead, envelope: Envelope) {
        let client = self.0.client.lock().await.clone();
        if let Some(client) = client {
            // Unconfirmed things are handed over again, which is what should happen if this fails.
            let _ = client.call_with(confirmation, envelope).await;
        }
    }

    /// The living connection, or a new one.
    async fn connected(&self) -> Result<Client, ApiError> {
        let mut held = self.0.client.lock().await;
        if let Some(client) = held.as_ref().filter(|client| !client.is_closed()) {
            return Ok(client.clone());
        }
        let client = self.0.connect().await?;
        *held = Some(client.clone());
        Ok(client)
    }
}

impl Link {
    async fn connect(&self) -> Result<Client, ApiError> {
        let socket = self.settings.paths.socket();
        match Client::connect(&socket, &self.hello()).await {
            Err(ClientError::Unreachable(error)) if start::is_absent(&error) => {
                if !self.settings.autostart {
                    return Err(not_running());
                }
                start::start(&self.settings, &self.hello()).await
            }
            connected => connected.map_err(explain),
        }
    }

    fn hello(&self) -> Hello {
        let client = PeerProgram { name: "comms-mcp".into(), version: env!("CARGO_PKG_VERSION").into() };
        let (host, token) = (self.host.get().cloned(), self.settings.token.clone());
        Hello { protocol: PROTOCOL_VERSION, client, host, token }
    }
}

/// What the model hears of a call that failed.
fn explain(error: ClientError) -> ApiError {
    match error {
        ClientError::Api(error) => error,
        ClientError::Unreachable(error) => {
            let text = format!("the relay cannot be reached: {error}");
            unavailable(text, "Ask the user to run `comms-relay status`.")
        }
        ClientError::Closed => {
            unavailable("the relay stopped while this call ran", "Call again; it changed nothing.")
                .retryable(Some(1))
        }
        ClientError::Refused { reason: RefusalReason::BadToken, message } => ApiError::new(
            ErrorCode::AuthRequired,
            message,
            "Ask the user for a valid COMMS_TOKEN; the host must be started again with it.",
        ),
        ClientError::Refused { reason: RefusalReason::ProtocolMismatch, message } => {
            unavailable(message, "Ask the user to install the same version of comms-mcp and comms-relay.")
        }
        ClientError::Refused { reason: RefusalReason::TooManyConnections, message } => {
            unavailable(message, "Other agent sessions hold all connections; close some.").retryable(Some(30))
        }
        ClientError::Malformed(_) => ApiError::new(
            ErrorCode::Internal,
            "the relay's answer has an unexpected shape",
            "Report this; it is a fault.",
        ),
    }
}

fn unavailable(message: impl Into<String>, hint: &str) -> ApiError {
    ApiError::new(ErrorCode::RelayUnavailable, message, hint)
}

fn not_running() -> ApiError {
    unavailable("no relay is running", "Ask the user to start it with `comms-relay run`.").retryable(None)
}

fn outcome_unknown(key: Option<&str>, seen_by: &str) -> ApiError {
    let message = "the relay stopped while this call ran; it may have taken effect";
    match key {
        Some(key) => {
            let hint = format!("Give the same {key} again: nothing is done twice.");
            ApiError::new(ErrorCode::OutcomeUnknown, message, hint).retryable(Some(1))
        }
        None => {
            let hint = format!("Do not repeat it blindly: look with {seen_by} first.");
            ApiError::new(ErrorCode::OutcomeUnknown, message, hint)
        }
    }
}
