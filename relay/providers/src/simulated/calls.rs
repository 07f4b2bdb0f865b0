//! The REST resource `Calls`, and the ways in which a call comes to be.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use shared::ids::CallSid;
use shared::model::{CallStatus, Channel, PhoneNumber};
use tokio::sync::mpsc;

use super::call::{Call, Command, Instructions};
use super::rest::{Answer, Fields, Refusal, page};
use super::sms::{LOST_ANSWER, parties};
use super::{Carrier, LineError, leg, person};
use crate::PlacedCall;

/// Older calls are forgotten, unless they are live.
const KEPT: usize = 100;
const LONGEST_RING_SECONDS: u64 = 600;

const CREATE_FIELDS: &str = "To From Method FallbackUrl FallbackMethod StatusCallback StatusCallbackEvent StatusCallbackMethod \
    SendDigits Timeout Record RecordingChannels RecordingStatusCallback RecordingStatusCallbackMethod \
    RecordingConfigurationId SipAuthUsername SipAuthPassword MachineDetection MachineDetectionTimeout \
    RecordingStatusCallbackEvent Trim CallerId MachineDetectionSpeechThreshold \
    MachineDetectionSpeechEndThreshold MachineDetectionSilenceTimeout AsyncAmd AsyncAmdStatusCallback \
    AsyncAmdStatusCallbackMethod Passports Byoc CallReason CallToken RecordingTrack TimeLimit \
    ClientNotificationUrl Url Twiml ApplicationSid";
const LIST_FIELDS: &str = "To From Status PageSize Page PageToken";
const UPDATE_FIELDS: &str = "Url Method Status FallbackUrl FallbackMethod Twiml";

/// `POST Calls.json`
pub(super) fn create(carrier: &Arc<Carrier>, form: &Fields) -> Answer {
    form.only(CREATE_FIELDS)?;
    let (from, to) = parties(carrier, Channel::Voice, form, [21201, 21213, 21210])?;
    let instructions = instructions(form)?.ok_or(Refusal::bad_request(21205, "Url parameter is required"))?;
    let (mut call, commands) = Call::new(&from, &to, instructions);
    let events: Vec<String> = form.all("StatusCallbackEvent").map(str::to_owned).collect();
    if !events.is_empty() {
        call.events = events;
    }
    call.status_callback = form.get("StatusCallback").map(str::to_owned);
    let detects = form.get("MachineDetection").is_some() && form.get("AsyncAmd") == Some("true");
    call.detection_callback = form.get("AsyncAmdStatusCallback").filter(|_| detects).map(str::to_owned);
    if let Some(seconds) = form.number("Timeout")? {
        call.ring = Duration::from_secs(seconds.min(LONGEST_RING_SECONDS));
    }
    if let Some(seconds) = form.number("TimeLimit")? {
        call.time_limit = Duration::from_secs(seconds);
    }
    let call = carrier.connect(call, commands).map_err(|_| Refusal {
        status: 429,
        code: 20429,
        message: "Too Many Requests",
    })?;
    if to.as_str() == LOST_ANSWER {
        return Err(Refusal { status: 500, code: 20500, message: "An internal server error has occurred" });
    }
    Ok((201, call.to_json(carrier)))
}

/// `GET Calls.json`
pub(super) fn list(carrier: &Carrier, query: &Fields) -> Answer {
    query.only(LIST_FIELDS)?;
    let entries: Vec<Value> = carrier
        .state()
        .calls
        .iter()
        .rev()
        .filter(|call| query.get("To").is_none_or(|to| call.to.as_str() == to))
        .filter(|call| query.get("From").is_none_or(|from| call.from.as_str() == from))
        .filter(|call| query.get("Status").is_none_or(|status| call.status().as_str() == status))
        .map(|call| call.to_json(carrier))
        .collect();
    page(carrier, "Calls", query, &entries)
}

/// `GET Calls/{Sid}.json`
pub(super) fn fetch(carrier: &Carrier, sid: &str) -> Answer {
    let call = sid.parse().ok().and_then(|sid| carrier.find_call(&sid).ok()).ok_or(Refusal::NOT_FOUND)?;
    Ok((200, call.to_json(carrier)))
}

/// `POST Calls/{Sid}.json`
pub(super) fn update(carrier: &Carrier, sid: &str, form: &Fields) -> Answer {
    form.only(UPDATE_FIELDS)?;
    let call = sid.parse().ok().and_then(|sid| carrier.find_call(&sid).ok()).ok_or(Refusal::NOT_FOUND)?;
    let over = Refusal::bad_request(21220, "Call is not in-progress. Cannot redirect.");
    let command = match (form.get("Status"), instructions(form)?) {
        (Some("completed"), None) => Command::End,
        // Only a call that nobody has answered yet can be taken back.
        (Some("canceled"), None) if call.status() != CallStatus::InProgress => Command::End,
        (None, Some(instructions)) if call.status() == CallStatus::InProgress => {
            Command::Redirect(instructions)
        }
        (Some("canceled"), None) | (None, Some(_)) => return Err(over),
        _ => return Err(Refusal::bad_request(21218, "Invalid ApplicationSid, Url, Twiml or Status")),
    };
    call.command(command).map_err(|_| over)?;
    Ok((200, call.to_json(carrier)))
}

/// `Url` wins over `Twiml`.
fn instructions(form: &Fields) -> Result<Option<Instructions>, Refusal> {
    if let Some(url) = form.get("Url") {
        return Ok(Some(Instructions::Url(url.to_owned())));
    }
    match form.get("Twiml") {
        Some(twiml) if twiml.chars().count() > 4000 => {
            Err(Refusal::bad_request(32018, "Twiml parameter exceeds the limit of 4000 characters"))
        }
        twiml => Ok(twiml.map(|twiml| Instructions::Twiml(twiml.to_owned()))),
    }
}

impl Carrier {
    /// Takes a call in and lets it run.
    pub(super) fn connect(
        self: &Arc<Self>,
        call: Call,
        commands: mpsc::Receiver<Command>,
    ) -> Result<Arc<Call>, LineError> {
        let call = Arc::new(call);
        {
            let mut state = self.state();
            if state.calls.len() == KEPT {
                let over = state.calls.iter().position(|call| call.status().is_final());
                state.calls.remove(over.ok_or(LineError::Busy)?);
            }
            state.calls.push_back(Arc::clone(&call));
            if !call.inbound && !state.watched.contains(&call.to) {
                self.spawn(person::take(Arc::clone(&call)));
            }
        }
        self.spawn(leg::run(Arc::clone(self), Arc::clone(&call), commands));
        Ok(call)
    }

    pub(super) fn find_call(&self, sid: &CallSid) -> Result<Arc<Call>, LineError> {
        let state = self.state();
        state.calls.iter().find(|call| call.sid == *sid).cloned().ok_or(LineError::NoSuchCall)
    }

    /// A person's call to one of our numbers, once our side has answered or refused.
    pub(super) async fn dial(
        self: &Arc<Self>,
        from: &PhoneNumber,
        to: &PhoneNumber,
    ) -> Result<PlacedCall, LineError> {
        let hooks = self.state().numbers.get(to).map(|owned| owned.hooks.clone());
        let hooks = hooks.ok_or(LineError::NotOurNumber)?;
        let (call, commands) = Call::to_us((from, to), hooks.voice_url, hooks.status_url);
        let call = self.connect(call, commands)?;
        settle(&call).await
    }

    /// Picks up the telephone `number`, waiting for it to ring.
    pub(super) async fn pick_up(
        &self,
        number: &PhoneNumber,
        wait: Duration,
    ) -> Result<PlacedCall, LineError> {
        let mut rings = self.rings.subscribe();
        let ringing = async {
            loop {
                rings.mark_unchanged();
                let state = self.state().calls.clone();
                let call = state
                    .iter()
                    .find(|call| !call.inbound && call.to == *number && call.status() == CallStatus::Ringing);
                if let Some(call) = call {
                    return Arc::clone(call);
                }
                if rings.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        let call = tokio::time::timeout(wait, ringing).await.map_err(|_| LineError::NotRinging)?;
        call.command(Command::PickUp)?;
        settle(&call).await
    }
}

/// Waits until a call is answered or over.
async fn settle(call: &Call) -> Result<PlacedCall, LineError> {
    let mut view = call.view.subscribe();
    let settled = view.wait_for(|view| !matches!(view.status, CallStatus::Queued | CallStatus::Ringing));
    // The sender is the call itself, so the only other outcome is a carrier that is being shut down.
    _ = tokio::time::timeout(leg::ANSWER_LIMIT, settled).await;
    Ok(call.placed())
}
