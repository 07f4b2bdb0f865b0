//! The simulated carrier: Twilio, played in this process, for demo mode, rehearsals and tests.
//!
//! Its REST side answers the real adapter through [`crate::http::HttpClient::to_carrier`]; its telephones are
//! the methods of [`Carrier`]. It signs what it posts, refuses what the real one refuses, and speaks to our
//! public listener over real sockets. Nothing that it does leaves this machine, provided that the hooks and the
//! TwiML name this machine.

mod available;
mod call;
mod calls;
mod dial;
mod leg;
mod line;
mod mailbox;
mod numbers;
mod person;
mod rest;
mod signing;
mod sms;
mod text;
mod twiml;
mod webhook;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared::ids::{CallSid, ExternalId};
use shared::model::{CallStatus, Channel, PhoneNumber};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::call::{Call, Command, Dialled};
pub use self::mailbox::{Mail, Mailbox};
use self::numbers::Owned;
use crate::http::{HttpClient, HttpRequest, HttpResponse, Limits};
use crate::{PlacedCall, Secret};

/// What the carrier is made of.
#[derive(Clone, Debug)]
pub struct CarrierSettings {
    /// `AC` and 32 hexadecimal digits.
    pub account_sid: String,
    /// Signs the webhooks and authorizes REST requests. Random, made by the caller.
    pub auth_token: Secret,
    /// Owns the carrier's tasks.
    pub spawn: TaskTracker,
    /// Ends them.
    pub cancel: CancellationToken,
}

/// Where one of our numbers posts what happens to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hooks {
    pub sms_url: String,
    pub voice_url: String,
    /// Told of the end of calls to the number. Calls from it name their own address.
    pub status_url: String,
}

/// A text that went over the carrier, in either direction.
#[derive(Clone, PartialEq, Eq)]
pub struct Text {
    pub sid: ExternalId,
    /// SMS or WhatsApp.
    pub channel: Channel,
    pub from: PhoneNumber,
    pub to: PhoneNumber,
    pub body: String,
    /// What our webhook answered, for a text to us.
    pub webhook_status: Option<u16>,
}

/// Why a telephone cannot do what it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    #[error("find that number among ours")]
    NotOurNumber,
    #[error("find that call")]
    NoSuchCall,
    #[error("act in a call that is over or too busy to listen")]
    NotInProgress,
    #[error("hear that telephone ring in time")]
    NotRinging,
    #[error("get an answer from the webhook")]
    WebhookUnreachable,
    #[error("find a free line")]
    Busy,
}

/// The carrier. Its methods are what people at the other end do; its REST side is [`Carrier::handle`].
pub struct Carrier {
    settings: CarrierSettings,
    http: HttpClient,
    state: Mutex<State>,
    /// Changes whenever a call's status does.
    rings: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    numbers: BTreeMap<PhoneNumber, Owned>,
    /// Our WhatsApp senders, and where their texts are posted.
    whatsapp: HashMap<PhoneNumber, String>,
    watched: HashSet<PhoneNumber>,
    /// Pairs of our number and a person who wants nothing from it.
    opted_out: HashSet<(PhoneNumber, PhoneNumber)>,
    texts: VecDeque<text::Record>,
    calls: VecDeque<Arc<Call>>,
}

impl Carrier {
    /// A carrier without numbers.
    #[must_use]
    pub fn new(settings: CarrierSettings) -> Arc<Self> {
        Arc::new(Self {
            settings,
            http: HttpClient::new(Limits::default()),
            state: Mutex::default(),
            rings: watch::Sender::new(()),
        })
    }

    /// Makes `number` one of ours, or changes where it posts.
    pub fn attach(&self, number: PhoneNumber, hooks: Hooks) {
        let mut state = self.state();
        match state.numbers.get_mut(&number) {
            Some(owned) => owned.hooks = hooks,
            None => _ = state.numbers.insert(number.clone(), Owned::new(&number, hooks)),
        }
    }

    /// Makes `number` one of our WhatsApp senders, or changes where its texts are posted.
    pub fn attach_whatsapp(&self, number: PhoneNumber, sms_url: String) {
        self.state().whatsapp.insert(number, sms_url);
    }

    /// Answers a REST request as Twilio would. Must be called within a Tokio runtime.
    #[must_use]
    pub fn handle(self: &Arc<Self>, request: &HttpRequest) -> HttpResponse {
        rest::answer(self, request)
    }

    /// A person texts one of our numbers. Gives the text's id and the HTTP status that our webhook answered.
    pub async fn text(
        &self,
        from: &PhoneNumber,
        to: &PhoneNumber,
        body: &str,
    ) -> Result<(ExternalId, u16), LineError> {
        self.receive(Channel::Sms, (from, to), body).await
    }

    /// The same over WhatsApp.
    pub async fn text_whatsapp(
        &self,
        from: &PhoneNumber,
        to: &PhoneNumber,
        body: &str,
    ) -> Result<(ExternalId, u16), LineError> {
        self.receive(Channel::Whatsapp, (from, to), body).await
    }

    /// The texts that reached `number`, oldest first.
    #[must_use]
    pub fn texts_to(&self, number: &PhoneNumber) -> Vec<Text> {
        self.texts_at(number)
    }

    /// A person calls one of our numbers. Returns once our side has answered or refused.
    pub async fn call(
        self: &Arc<Self>,
        from: &PhoneNumber,
        to: &PhoneNumber,
    ) -> Result<PlacedCall, LineError> {
        self.dial(from, to).await
    }

    /// From here on, calls to `number` ring until [`Carrier::answer`], instead of being taken by the scripted
    /// person.
    pub fn watch(&self, number: PhoneNumber) {
        self.state().watched.insert(number);
    }

    /// Picks up the telephone `number`, waiting at most `wait` for it to ring.
    pub async fn answer(&self, number: &PhoneNumber, wait: Duration) -> Result<PlacedCall, LineError> {
        self.pick_up(number, wait).await
    }

    /// The person in the call speaks.
    pub fn say(&self, call: &CallSid, text: &str) -> Result<(), LineError> {
        self.find_call(call)?.command(Command::Say(text.to_owned()))
    }

    /// The person in the call presses keys.
    pub fn press(&self, call: &CallSid, digits: &str) -> Result<(), LineError> {
        self.find_call(call)?.command(Command::Press(digits.to_owned()))
    }

    /// The person in the call speaks over the voice after it has said `heard`.
    pub fn interrupt(&self, call: &CallSid, heard: &str) -> Result<(), LineError> {
        self.find_call(call)?.command(Command::Interrupt(heard.to_owned()))
    }

    /// The person hangs up, or declines a call that rings.
    pub fn hang_up(&self, call: &CallSid) -> Result<(), LineError> {
        self.find_call(call)?.command(Command::HangUp)
    }

    /// Everything that the person in the call has heard and how the call stands, once that is more than `seen`
    /// utterances, the call is over, or the time is.
    pub async fn heard(
        &self,
        call: &CallSid,
        seen: usize,
        wait: Duration,
    ) -> Result<(Vec<String>, CallStatus), LineError> {
        let call = self.find_call(call)?;
        let mut view = call.view.subscribe();
        let more = view.wait_for(|view| view.heard.len() > seen || view.status.is_final());
        _ = tokio::time::timeout(wait, more).await;
        let view = call.view.borrow();
        Ok((view.heard.iter().map(|utterance| utterance.text.clone()).collect(), view.status))
    }

    /// The other telephones that a call was put through to, in their order.
    #[must_use]
    pub fn dialled(&self, call: &CallSid) -> Vec<PhoneNumber> {
        self.legs(call).into_iter().map(|leg| leg.number).collect()
    }

    /// What only those telephones heard, each before it was joined with the call.
    #[must_use]
    pub fn whispered(&self, call: &CallSid) -> Vec<String> {
        self.legs(call).into_iter().flat_map(|leg| leg.told).collect()
    }

    fn legs(&self, call: &CallSid) -> Vec<Dialled> {
        self.find_call(call).map(|call| call.view.borrow().dialled.clone()).unwrap_or_default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is a single insertion, so a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let cancel = self.settings.cancel.clone();
        self.settings.spawn.spawn(async move { _ = cancel.run_until_cancelled(task).await });
    }
}

// Numbers, words and the token stay out of logs.
impl fmt::Debug for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Carrier").finish_non_exhaustive()
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Text").field("sid", &self.sid).finish_non_exhaustive()
    }
}
