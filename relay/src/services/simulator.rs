//! The simulated carrier's telephones, for `comms-relay rehearse` and whoever wants to play the other side.
//!
//! Nothing here touches an agent's data: it moves telephones, and everything else comes by signed webhooks.

use std::sync::Arc;
use std::time::Duration;

use relay_providers::simulated::{Carrier, LineError, Text};
use shared::protocol::{
    Confirmed, ErrorCode, SimulateAct, SimulateAnswer, SimulateCall, SimulateHear, SimulateText,
    SimulatedCall, SimulatedHeard, SimulatedOutbox, SimulatedText, WatchNumber,
};

use super::ServiceError;
use crate::app::App;

const MAX_WAIT: Duration = Duration::from_secs(60);

fn carrier(app: &App) -> Result<Arc<Carrier>, ServiceError> {
    app.providers().carrier.clone().ok_or_else(|| {
        ServiceError::refused(
            ErrorCode::Forbidden,
            "There are no simulated telephones in live mode.",
            "Start the relay with mode = \"demo\".",
        )
    })
}

fn line(problem: &LineError) -> ServiceError {
    ServiceError::refused(ErrorCode::InvalidInput, problem.to_string(), "Check the number and the call.")
}

/// A person texts one of our numbers.
pub async fn text(app: &App, wanted: SimulateText) -> Result<SimulatedText, ServiceError> {
    let sent = carrier(app)?.text(&wanted.from, &wanted.to, &wanted.body).await;
    let (sid, webhook_status) = sent.map_err(|problem| line(&problem))?;
    Ok(SimulatedText {
        sid,
        from: wanted.from.to_string(),
        to: wanted.to.to_string(),
        body: wanted.body,
        webhook_status: Some(webhook_status),
    })
}

/// What reached a telephone.
pub fn outbox(app: &App, wanted: &SimulatedOutbox) -> Result<Vec<SimulatedText>, ServiceError> {
    let told = |text: Text| SimulatedText {
        sid: text.sid,
        from: text.from.to_string(),
        to: text.to.to_string(),
        body: text.body,
        webhook_status: None,
    };
    Ok(carrier(app)?.texts_to(&wanted.to).into_iter().map(told).collect())
}

/// A person calls one of our numbers.
pub async fn call(app: &App, wanted: SimulateCall) -> Result<SimulatedCall, ServiceError> {
    let placed = carrier(app)?.call(&wanted.from, &wanted.to).await.map_err(|problem| line(&problem))?;
    Ok(SimulatedCall { call_sid: placed.call_sid, status: placed.status })
}

/// From here on, calls to this number ring until somebody answers.
pub fn watch(app: &App, wanted: WatchNumber) -> Result<Confirmed, ServiceError> {
    carrier(app)?.watch(wanted.number);
    Ok(Confirmed {})
}

/// Picks up a telephone that rings or is about to.
pub async fn answer(app: &App, wanted: SimulateAnswer) -> Result<SimulatedCall, ServiceError> {
    let patience = Duration::from_secs(wanted.wait_seconds).min(MAX_WAIT);
    let placed = carrier(app)?.answer(&wanted.number, patience).await.map_err(|problem| line(&problem))?;
    Ok(SimulatedCall { call_sid: placed.call_sid, status: placed.status })
}

/// What the person in a call does.
pub fn act(app: &App, wanted: &SimulateAct) -> Result<Confirmed, ServiceError> {
    let carrier = carrier(app)?;
    let done = match wanted {
        SimulateAct::Say { call_sid, text } => carrier.say(call_sid, text),
        SimulateAct::Press { call_sid, digits } => carrier.press(call_sid, digits),
        SimulateAct::Interrupt { call_sid, heard } => carrier.interrupt(call_sid, heard),
        SimulateAct::HangUp { call_sid } => carrier.hang_up(call_sid),
    };
    done.map(|()| Confirmed {}).map_err(|problem| line(&problem))
}

/// What the person in a call has heard.
pub async fn hear(app: &App, wanted: SimulateHear) -> Result<SimulatedHeard, ServiceError> {
    let patience = Duration::from_secs(wanted.wait_seconds).min(MAX_WAIT);
    let heard = carrier(app)?.heard(&wanted.call_sid, wanted.seen, patience).await;
    let (utterances, status) = heard.map_err(|problem| line(&problem))?;
    Ok(SimulatedHeard { utterances, status })
}
