//! One call as the simulated carrier remembers it: who, how far, and what was heard. The course of a call is
//! in `leg`.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use shared::ids::CallSid;
use shared::model::{CallStatus, PhoneNumber};
use tokio::sync::{mpsc, watch};

use super::webhook::{API_VERSION, Form, places, random_sid, rfc2822};
use super::{Carrier, LineError};
use crate::PlacedCall;

/// What a person may do ahead of the call's course.
const QUEUED_COMMANDS: usize = 64;
/// Twilio's own limits, where nobody sets any.
const LONGEST: Duration = Duration::from_secs(4 * 60 * 60);
const RING: Duration = Duration::from_secs(60);
/// What one minute costs, in hundred-thousandths of a US dollar.
const MINUTE_PRICE: u64 = 1_400;

/// Where the next TwiML comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Instructions {
    Url(String),
    Twiml(String),
}

/// What a person or the REST side does to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    PickUp,
    Say(String),
    Press(String),
    /// Speaks over the voice after it has said this.
    Interrupt(String),
    HangUp,
    /// The account ends the call.
    End,
    Redirect(Instructions),
}

/// A whole utterance of ours at the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Utterance {
    pub(super) text: String,
    /// It only bridges a pause: nobody answers it.
    pub(super) is_filler: bool,
}

/// A second telephone that a call was put through to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dialled {
    pub(super) number: PhoneNumber,
    /// What only that telephone heard, before it was joined with the call.
    pub(super) told: Vec<String>,
}

/// What can be seen of a call from outside.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) status: CallStatus,
    pub(super) heard: Vec<Utterance>,
    pub(super) dialled: Vec<Dialled>,
    pub(super) answered: Option<Timestamp>,
    pub(super) ended: Option<Timestamp>,
}

/// A call in the carrier's memory.
pub(super) struct Call {
    pub(super) sid: CallSid,
    pub(super) from: PhoneNumber,
    pub(super) to: PhoneNumber,
    pub(super) inbound: bool,
    pub(super) instructions: Instructions,
    pub(super) status_callback: Option<String>,
    /// The kinds of progress that are reported.
    pub(super) events: Vec<String>,
    /// Told whether a person or a machine picked up.
    pub(super) detection_callback: Option<String>,
    pub(super) ring: Duration,
    pub(super) time_limit: Duration,
    created: Timestamp,
    commands: mpsc::Sender<Command>,
    pub(super) view: watch::Sender<View>,
}

impl Call {
    /// A call that somebody makes to one of our numbers.
    pub(super) fn to_us(
        (from, to): (&PhoneNumber, &PhoneNumber),
        voice_url: String,
        status_url: String,
    ) -> (Self, mpsc::Receiver<Command>) {
        let (mut call, commands) = Self::new(from, to, Instructions::Url(voice_url));
        call.inbound = true;
        call.status_callback = Some(status_url);
        (call, commands)
    }

    pub(super) fn new(
        from: &PhoneNumber,
        to: &PhoneNumber,
        instructions: Instructions,
    ) -> (Self, mpsc::Receiver<Command>) {
        let (commands, received) = mpsc::channel(QUEUED_COMMANDS);
        let view = View {
            status: CallStatus::Queued,
            heard: Vec::new(),
            dialled: Vec::new(),
            answered: None,
            ended: None,
        };
        let call = Self {
            sid: random_sid("CA").parse().expect("letters and digits are a call sid"),
            from: from.clone(),
            to: to.clone(),
            inbound: false,
            instructions,
            status_callback: None,
            // Without a wish only the end is reported: https://www.twilio.com/docs/voice/api/call-resource
            events: vec!["completed".to_owned()],
            detection_callback: None,
            ring: RING,
            time_limit: LONGEST,
            created: Timestamp::now(),
            commands,
            view: watch::Sender::new(view),
        };
        (call, received)
    }

    pub(super) fn status(&self) -> CallStatus {
        self.view.borrow().status
    }

    pub(super) fn command(&self, command: Command) -> Result<(), LineError> {
        if self.status().is_final() {
            return Err(LineError::NotInProgress);
        }
        self.commands.try_send(command).map_err(|_| LineError::NotInProgress)
    }

    /// Seconds that the call has lasted, or lasts.
    pub(super) fn seconds(&self) -> u64 {
        let view = self.view.borrow();
        let Some(answered) = view.answered else { return 0 };
        let length = view.ended.unwrap_or_else(Timestamp::now).duration_since(answered);
        u64::try_from(length.as_secs()).unwrap_or(0)
    }

    /// The fields that every webhook of this call carries.
    pub(super) fn form(&self, carrier: &Carrier) -> Form {
        let mut form = vec![
            ("CallSid", self.sid.to_string()),
            ("AccountSid", carrier.settings.account_sid.clone()),
            ("From", self.from.to_string()),
            ("To", self.to.to_string()),
            ("Caller", self.from.to_string()),
            ("Called", self.to.to_string()),
            ("Direction", self.direction().to_owned()),
            ("CallStatus", self.status().to_string()),
            ("ApiVersion", API_VERSION.to_owned()),
        ];
        form.extend(places());
        form
    }

    fn direction(&self) -> &'static str {
        if self.inbound { "inbound" } else { "outbound-api" }
    }

    pub(super) fn placed(&self) -> PlacedCall {
        PlacedCall { call_sid: self.sid.clone(), status: self.status() }
    }

    pub(super) fn to_json(&self, carrier: &Carrier) -> Value {
        let view = self.view.borrow().clone();
        let (sid, seconds) = (&self.sid, self.seconds());
        let price = view.ended.map(|_| seconds.div_ceil(60) * MINUTE_PRICE);
        let price = price.map(|price| format!("-{}.{:05}", price / 100_000, price % 100_000));
        let below = |part: &str| carrier.uri(&format!("Calls/{sid}/{part}.json"));
        json!({
            "account_sid": carrier.settings.account_sid,
            "answered_by": null,
            "api_version": API_VERSION,
            "caller_name": null,
            "date_created": rfc2822(self.created),
            "date_updated": rfc2822(view.ended.or(view.answered).unwrap_or(self.created)),
            "direction": self.direction(),
            "duration": view.ended.map(|_| seconds.to_string()),
            "end_time": view.ended.map(rfc2822),
            "forwarded_from": null,
            "from": self.from,
            "from_formatted": self.from,
            "group_sid": null,
            "parent_call_sid": null,
            "phone_number_sid": null,
            "price": price,
            "price_unit": "USD",
            "queue_time": "0",
            "sid": sid,
            "start_time": view.answered.map(rfc2822),
            "status": view.status,
            "subresource_uris": {
                "events": below("Events"),
                "notifications": below("Notifications"),
                "recordings": below("Recordings"),
            },
            "to": self.to,
            "to_formatted": self.to,
            "trunk_sid": null,
            "uri": carrier.uri(&format!("Calls/{sid}.json")),
        })
    }
}
