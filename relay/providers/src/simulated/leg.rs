//! The course of one call: it rings, is answered, follows TwiML, and ends; every step is reported.
//!
//! One task runs it. Nothing outside touches the call but by its queue of commands.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use shared::model::CallStatus;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::Carrier;
use super::call::{Call, Command, Instructions, Utterance};
use super::line::{self, Hangup};
use super::twiml::{self, Verb};
use super::webhook::{Form, random_sid, rfc2822};

/// Our side must have answered a call by then: a webhook may take 15 seconds, and the first report may too.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(40);
/// A call that is sent from document to document without an end is given up.
const MAX_DOCUMENTS: usize = 20;
/// What a call is remembered by; more is not needed to see what went wrong.
const MAX_UTTERANCES: usize = 1000;
const QUEUED_REPORTS: usize = 8;
const FAREWELL: &str = "We are sorry, an application error has occurred. Goodbye.";

/// A call on its way.
pub(super) struct Leg {
    pub(super) carrier: Arc<Carrier>,
    pub(super) call: Arc<Call>,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) deadline: Instant,
    reports: mpsc::Sender<Form>,
    sequence: u32,
}

/// What comes after a document.
pub(super) enum Next {
    Document(Source),
    Over(CallStatus),
}

/// Where a document comes from, and what is told when it is asked for.
pub(super) struct Source {
    instructions: Instructions,
    extra: Form,
}

/// Runs a call from its first ring to its last report.
pub(super) async fn run(carrier: Arc<Carrier>, call: Arc<Call>, commands: mpsc::Receiver<Command>) {
    let (reports, queue) = mpsc::channel(QUEUED_REPORTS);
    if let Some(url) = call.status_callback.clone() {
        carrier.spawn(report(Arc::clone(&carrier), url, queue));
    }
    let deadline = Instant::now() + call.time_limit;
    let mut leg = Leg { carrier, call, commands, deadline, reports, sequence: 0 };
    let status = leg.course().await;
    leg.end(status);
}

/// Posts a call's reports one after the other, so that they arrive in their order.
async fn report(carrier: Arc<Carrier>, url: String, mut queue: mpsc::Receiver<Form>) {
    while let Some(form) = queue.recv().await {
        carrier.tell(&url, &form).await;
    }
}

impl Leg {
    async fn course(&mut self) -> CallStatus {
        if self.call.inbound {
            self.see(CallStatus::Ringing);
        } else {
            self.report("initiated", "initiated");
            self.see(CallStatus::Ringing);
            self.report("ringing", "ringing");
            if let Err(status) = self.ring().await {
                return status;
            }
            self.answer();
        }
        self.follow(Source::of(self.call.instructions.clone())).await
    }

    /// Rings until the person picks up, or the call is over before it began.
    async fn ring(&mut self) -> Result<(), CallStatus> {
        let call = Arc::clone(&self.call);
        let decided = async {
            loop {
                match self.commands.recv().await {
                    Some(Command::PickUp) => return Ok(()),
                    Some(Command::HangUp) => return Err(CallStatus::Busy),
                    Some(Command::End) | None => return Err(CallStatus::Canceled),
                    Some(
                        Command::Say(_) | Command::Press(_) | Command::Interrupt(_) | Command::Redirect(_),
                    ) => {}
                }
            }
        };
        timeout(call.ring, decided).await.unwrap_or(Err(CallStatus::NoAnswer))
    }

    fn answer(&mut self) {
        if self.call.status() == CallStatus::InProgress {
            return;
        }
        self.deadline = Instant::now() + self.call.time_limit;
        self.call.view.send_modify(|view| view.answered = Some(Timestamp::now()));
        self.see(CallStatus::InProgress);
        self.report("answered", CallStatus::InProgress.as_str());
        if let Some(url) = self.call.detection_callback.clone() {
            let mut form = self.call.form(&self.carrier);
            form.extend([("AnsweredBy", "human".to_owned()), ("MachineDetectionDuration", "300".to_owned())]);
            let carrier = Arc::clone(&self.carrier);
            self.carrier.spawn(async move { carrier.tell(&url, &form).await });
        }
    }

    async fn follow(&mut self, mut source: Source) -> CallStatus {
        for _ in 0..MAX_DOCUMENTS {
            let Some(verbs) = self.fetch(source).await else { break };
            match self.perform(verbs).await {
                Next::Document(next) => source = next,
                Next::Over(status) => return status,
            }
        }
        if self.call.status() != CallStatus::InProgress {
            return CallStatus::Failed;
        }
        self.hear(FAREWELL.to_owned());
        CallStatus::Completed
    }

    async fn fetch(&self, source: Source) -> Option<Vec<Verb>> {
        let document = match source.instructions {
            Instructions::Twiml(document) => document,
            Instructions::Url(url) => {
                let mut form = self.call.form(&self.carrier);
                form.extend(source.extra);
                let answer = self.carrier.post(&url, &form).await.ok()?;
                let document = (200..300).contains(&answer.status).then_some(answer.body)?;
                String::from_utf8(document).ok()?
            }
        };
        twiml::parse(&document).ok()
    }

    async fn perform(&mut self, verbs: Vec<Verb>) -> Next {
        if let Some(Verb::Reject { busy }) = verbs.first()
            && self.call.status() != CallStatus::InProgress
        {
            return Next::Over(if *busy { CallStatus::Busy } else { CallStatus::NoAnswer });
        }
        self.answer();
        for verb in verbs {
            let next = match verb {
                Verb::Say(text) => {
                    self.hear(text);
                    None
                }
                Verb::Play => {
                    self.hear("[audio]".to_owned());
                    None
                }
                Verb::Pause { seconds } => {
                    let end = Instant::now() + Duration::from_secs(seconds);
                    sleep_until(end.min(self.deadline)).await;
                    None
                }
                Verb::Connect { action, relay } => self.relay(action, &relay).await,
                Verb::Dial(dial) => self.dial(dial).await,
                Verb::Record { action } => self.record(action).await,
                Verb::Redirect(url) => Some(Next::Document(Source::url(url, Form::new()))),
                Verb::Hangup | Verb::Reject { .. } => Some(Next::Over(CallStatus::Completed)),
                Verb::Other(_) => None,
            };
            if let Some(next) = next {
                return next;
            }
        }
        Next::Over(CallStatus::Completed)
    }

    /// Lends the call to a WebSocket. `None`: go on with the verb after it.
    async fn relay(&mut self, action: Option<String>, relay: &twiml::Relay) -> Option<Next> {
        let (session, start) = (random_sid("VX"), Instant::now());
        let hangup = line::talk(self, relay, &session).await;
        let mut extra = vec![
            ("SessionId", session),
            ("SessionStatus", hangup.session_status().to_owned()),
            ("SessionDuration", start.elapsed().as_secs().to_string()),
        ];
        match hangup {
            Hangup::Redirected(instructions) => {
                return Some(Next::Document(Source::of(instructions)));
            }
            Hangup::ByPerson | Hangup::ByAccount | Hangup::OutOfTime => {
                return Some(self.leave(action, extra).await);
            }
            Hangup::ByRelay { handoff } => extra.extend(handoff.map(|text| ("HandoffData", text))),
            Hangup::Failed { code, message } => {
                extra.extend([("ErrorCode", code.to_string()), ("ErrorMessage", message.to_owned())]);
            }
        }
        action.map(|url| Next::Document(Source::url(url, extra)))
    }

    /// The call is over while `action` still waits for news of it.
    pub(super) async fn leave(&self, action: Option<String>, extra: Form) -> Next {
        self.call.view.send_modify(|view| view.ended = Some(Timestamp::now()));
        self.see(CallStatus::Completed);
        if let Some(url) = action {
            let mut form = self.call.form(&self.carrier);
            form.extend(extra);
            self.carrier.tell(&url, &form).await;
        }
        Next::Over(CallStatus::Completed)
    }

    /// Takes down one thing that the person says.
    async fn record(&mut self, action: Option<String>) -> Option<Next> {
        self.hear("[beep]".to_owned());
        let start = Instant::now();
        let spoken = async {
            loop {
                match self.commands.recv().await {
                    Some(Command::Say(_)) => return None,
                    Some(Command::Redirect(instructions)) => {
                        return Some(Next::Document(Source::of(instructions)));
                    }
                    Some(Command::HangUp | Command::End) | None => {
                        return Some(Next::Over(CallStatus::Completed));
                    }
                    Some(Command::PickUp | Command::Press(_) | Command::Interrupt(_)) => {}
                }
            }
        };
        let deadline = self.deadline;
        let cut_short = tokio::select! {
            next = spoken => next,
            () = sleep_until(deadline) => Some(Next::Over(CallStatus::Completed)),
        };
        cut_short.or_else(|| {
            let sid = random_sid("RE");
            let uri = self.carrier.uri(&format!("Recordings/{sid}"));
            let seconds = start.elapsed().as_secs().to_string();
            let extra = vec![("RecordingSid", sid), ("RecordingUrl", uri), ("RecordingDuration", seconds)];
            action.map(|url| Next::Document(Source::url(url, extra)))
        })
    }

    /// The other end has heard a whole utterance.
    pub(super) fn hear(&self, text: String) {
        self.hear_utterance(Utterance { text, is_filler: false });
    }

    pub(super) fn hear_utterance(&self, utterance: Utterance) {
        self.call.view.send_modify(|view| {
            if view.heard.len() < MAX_UTTERANCES {
                view.heard.push(utterance);
            }
        });
    }

    fn see(&self, status: CallStatus) {
        self.call.view.send_modify(|view| view.status = status);
        self.carrier.rings.send_replace(());
    }

    fn end(&mut self, status: CallStatus) {
        self.call.view.send_modify(|view| view.ended = view.ended.or(Some(Timestamp::now())));
        self.see(status);
        self.report("completed", status.as_str());
    }

    /// Queues a report, if this kind was asked for.
    fn report(&mut self, event: &str, status: &str) {
        let number = self.sequence;
        self.sequence += 1;
        if !self.call.events.iter().any(|wanted| wanted == event) {
            return;
        }
        let mut form = self.call.form(&self.carrier);
        form.retain(|(name, _)| *name != "CallStatus");
        form.extend([
            ("CallStatus", status.to_owned()),
            ("SequenceNumber", number.to_string()),
            ("Timestamp", rfc2822(Timestamp::now())),
            ("CallbackSource", "call-progress-events".to_owned()),
        ]);
        if event == "completed" {
            let seconds = self.call.seconds();
            form.push(("CallDuration", seconds.to_string()));
            form.push(("Duration", seconds.div_ceil(60).to_string()));
        }
        // There are fewer events than places in the queue.
        _ = self.reports.try_send(form);
    }
}

impl Source {
    pub(super) fn of(instructions: Instructions) -> Self {
        Self { instructions, extra: Form::new() }
    }

    pub(super) fn url(url: String, extra: Form) -> Self {
        Self { instructions: Instructions::Url(url), extra }
    }
}
