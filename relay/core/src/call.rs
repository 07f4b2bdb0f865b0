//! The live call: what happens when somebody speaks, is silent, interrupts or hangs up.
//!
//! One [`Call`] per socket. The voice entry point feeds it events and performs the effects in their order; the
//! services let the agent speak and hear through it. It is pure: it neither waits nor sends, and asks for nothing
//! but the moment. It must never leave the caller in silence, never say an answer after a newer one, and never let
//! go of what the caller said.
//!
//! The call is held by nobody yet, by the agent, or by the answering machine (`Holder`). What the caller says is a
//! question (`Question`) as long as the agent owes the answer; an agent that owes it for too long loses the call
//! to the machine, and gets it back by speaking to a later turn.

mod answering_machine;
mod ending;
mod event;
mod history;
mod plan;
mod question;
mod saying;
mod standing_in;

use std::time::Duration;

use shared::ids::TurnId;
use shared::model::{CallTurn, Direction, Speaker};

use answering_machine::AnsweringMachine;
use history::{History, State};
use question::Question;
use saying::LastSpeech;

pub use event::{Effect, Event, Moment, Speech, Spoken, View, Voicemail};
pub use plan::{CallPlan, FirstResponder, Timing, Words};

/// Keys come one by one: whoever types a number is not waiting between two of them.
const BETWEEN_KEYS: Duration = Duration::from_millis(1_200);

/// One live call.
#[derive(Clone)]
pub struct Call {
    plan: CallPlan,
    stage: Stage,
    holder: Holder,
    history: History,
    question: Option<Question>,
    machine: AnsweringMachine,
    /// The machine took the call from an agent that owed an answer for too long. It must speak to have it again.
    gave_up: bool,
    /// Since the machine took the call an agent has come, or come back, and gets the caller's next turn.
    agent_is_back: bool,
    /// Our latest speech, until it is interrupted.
    speech: Option<LastSpeech>,
    heard_until: Option<String>,
    /// What the caller is saying, not finished.
    partial: String,
    caller_heard_at: Duration,
    /// When our words will have been spoken, by estimate.
    speaking_until: Duration,
    armed: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The carrier has not introduced the call.
    Connecting,
    Live,
    /// The last words are being spoken.
    Leaving {
        until: Duration,
    },
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    /// The machine takes the call at that moment, unless an agent claims it.
    Nobody {
        until: Duration,
    },
    Agent,
    /// The machine waits for the caller, or for the disk, until that moment.
    Machine {
        until: Duration,
    },
}

impl Call {
    /// A call whose socket has just opened.
    #[must_use]
    pub fn new(plan: CallPlan) -> Self {
        let holder = if plan.claimed { Holder::Agent } else { Holder::Nobody { until: plan.timing.claim } };
        Self {
            plan,
            stage: Stage::Connecting,
            holder,
            history: History::new(),
            question: None,
            machine: AnsweringMachine::default(),
            gave_up: false,
            agent_is_back: false,
            speech: None,
            heard_until: None,
            partial: String::new(),
            caller_heard_at: Duration::ZERO,
            speaking_until: Duration::ZERO,
            armed: None,
        }
    }

    /// Takes an event in, and tells what to do.
    pub fn handle(&mut self, event: Event, now: &Moment) -> Vec<Effect> {
        let mut effects = Vec::new();
        match (self.stage, event) {
            // What the caller has left may not be stored yet.
            (_, Event::VoicemailStored { ok }) => self.stored(ok, now, &mut effects),
            (Stage::Over, _) => {}
            (_, Event::Closed) => self.close(now, &mut effects),
            (_, Event::AgentAttached) => self.attach(),
            (_, Event::Timer) => {
                self.armed = None;
                self.tick(now, &mut effects);
            }
            (Stage::Connecting, Event::Setup) => self.begin(now, &mut effects),
            // Nothing of a call counts before its introduction, and it is introduced once.
            (Stage::Connecting, _) | (_, Event::Setup | Event::CarrierError) => {}
            (_, Event::Prompt { text, last: true }) => self.hear(text.trim(), None, now, &mut effects),
            (_, Event::Prompt { text, last: false }) => self.hear_partial(text, now),
            (_, Event::Dtmf { digit }) => self.hear("", Some(digit), now, &mut effects),
            (_, Event::Interrupted { heard }) => self.interrupt(heard, now, &mut effects),
        }
        self.arm(&mut effects);
        effects
    }

    /// The agent speaks. To each turn it does so once: whoever repeats a request hears that it was answered, and
    /// nothing is said again. An answer to an earlier turn than the latest leaves the later ones open.
    pub fn speak(&mut self, speech: Speech, now: &Moment) -> (Spoken, Vec<Effect>) {
        if self.is_ending() {
            return (Spoken::Over, Vec::new());
        }
        self.attach();
        let turn_id = speech.turn_id.clone().unwrap_or_else(|| self.history.latest().clone());
        let mut effects = Vec::new();
        let spoken = match self.history.state(&turn_id) {
            _ if !speech.has_words() && !speech.end_call => Spoken::Yes,
            State::Passed => {
                self.agent_is_back = true;
                Spoken::Passed
            }
            // Nothing is said twice by hanging up.
            State::Open(_) | State::Answered if !speech.has_words() => Spoken::Yes,
            State::Answered => Spoken::AlreadyAnswered,
            State::Open(seq) => {
                effects = self.answer(seq, turn_id, &speech, now);
                Spoken::Yes
            }
        };
        if spoken == Spoken::Yes && speech.end_call {
            self.leave(now, &mut effects);
        }
        self.arm(&mut effects);
        (spoken, effects)
    }

    /// What the agent hears: everything after the given turn, or else after the last confirmed one.
    #[must_use]
    pub fn heard(&self, after: Option<&TurnId>, now: &Moment) -> View {
        View {
            turns: self.history.said_after(after),
            heard_until: self.heard_until.clone(),
            turn_id: self.history.latest().clone(),
            silence: now.elapsed.saturating_sub(self.caller_heard_at.max(self.speaking_until)),
            live: !self.is_ending(),
        }
    }

    /// The agent's host has everything up to this turn.
    pub fn confirm(&mut self, until: &TurnId) {
        self.history.confirm(until);
    }

    /// It has been hung up, or the socket is gone. Only a voicemail may still be on its way to the disk.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// Some session of the agent has claimed the call, or placed it.
    #[must_use]
    pub fn has_claim(&self) -> bool {
        self.plan.claimed
    }

    fn is_ending(&self) -> bool {
        matches!(self.stage, Stage::Leaving { .. } | Stage::Over)
    }

    fn begin(&mut self, now: &Moment, effects: &mut Vec<Effect>) {
        self.stage = Stage::Live;
        self.caller_heard_at = now.elapsed;
        effects.push(Effect::WakeAgent);
        let greeting = std::mem::take(&mut self.plan.greeting);
        if !greeting.is_empty() {
            // What an outbound call opens with are the words of the agent that placed it.
            let speaker = match self.plan.direction {
                Direction::Outbound => Speaker::Agent,
                Direction::Inbound => Speaker::Machine,
            };
            self.greeted(speaker, &greeting, now, effects);
        }
        if self.plan.responder == FirstResponder::Machine {
            self.hand_to_machine(now, effects);
        } else if let Holder::Nobody { until } = &mut self.holder {
            *until = now.elapsed.saturating_add(self.plan.timing.claim);
        }
    }

    fn attach(&mut self) {
        self.plan.claimed = true;
        match self.holder {
            Holder::Nobody { .. } => self.holder = Holder::Agent,
            Holder::Agent => {}
            Holder::Machine { .. } => self.agent_is_back |= !self.gave_up,
        }
    }

    fn hear_partial(&mut self, text: String, now: &Moment) {
        self.partial = text;
        self.caller_heard_at = now.elapsed;
        self.bear_with_caller(now);
    }

    fn hear(&mut self, text: &str, digits: Option<String>, now: &Moment, effects: &mut Vec<Effect>) {
        self.partial.clear();
        self.caller_heard_at = now.elapsed;
        self.speaking_until = self.speaking_until.min(now.elapsed);
        if text.is_empty() && digits.is_none() {
            return;
        }
        let turn = self.record_caller(text, digits, now, effects);
        effects.push(Effect::WakeAgent);
        match self.holder {
            _ if self.is_ending() => {}
            Holder::Machine { .. } if self.agent_is_back => {
                self.holder = Holder::Agent;
                self.ask(&turn, now);
            }
            Holder::Machine { .. } => self.tell_machine(&turn, now, effects),
            Holder::Agent | Holder::Nobody { .. } => self.ask(&turn, now),
        }
    }

    fn ask(&mut self, turn: &CallTurn, now: &Moment) {
        let pause = if turn.digits.is_some() { BETWEEN_KEYS } else { Duration::ZERO };
        let (at, timing) = (now.elapsed + pause, &self.plan.timing);
        match &mut self.question {
            Some(question) => question.asked_further(at, timing),
            none => *none = Some(Question::asked(at, timing)),
        }
    }

    fn interrupt(&mut self, heard: String, now: &Moment, effects: &mut Vec<Effect>) {
        self.caller_heard_at = now.elapsed;
        self.speaking_until = self.speaking_until.min(now.elapsed);
        self.bear_with_caller(now);
        let Some(speech) = self.speech.take() else { return };
        effects.push(Effect::CutShort { id: speech.id, heard_until: heard.clone() });
        // How much of a filler was heard would be mistaken for how much of the agent's words was.
        if !speech.is_filler {
            self.heard_until = Some(heard);
        }
        effects.push(Effect::WakeAgent);
    }

    /// Nobody talks over a caller who is making sounds, or loses patience with one.
    fn bear_with_caller(&mut self, now: &Moment) {
        if let Some(question) = &mut self.question {
            question.caller_speaks(now.elapsed);
        }
        if let Holder::Machine { until } = &mut self.holder {
            *until = now.elapsed.saturating_add(self.plan.timing.machine_patience);
        }
    }

    fn answer(&mut self, seq: u64, turn_id: TurnId, speech: &Speech, now: &Moment) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.holder = Holder::Agent;
        self.say_for_agent(turn_id, speech, now, &mut effects);
        self.history.answer(seq);
        // What the caller has said since waits for its own answer, after this one.
        let waits = self.history.unanswered().next().is_some();
        self.question = waits.then(|| Question::asked(self.speaking_until, &self.plan.timing));
        effects
    }

    fn arm(&mut self, effects: &mut Vec<Effect>) {
        let next = self.next_timer();
        if self.armed != next {
            self.armed = next;
            effects.push(Effect::WakeAt(next));
        }
    }

    fn next_timer(&self) -> Option<Duration> {
        let timing = &self.plan.timing;
        let held = match self.holder {
            Holder::Agent => None,
            Holder::Nobody { until } | Holder::Machine { until } => Some(until),
        };
        let asked = self.question.as_ref().map(|question| question.next(timing));
        match self.stage {
            Stage::Connecting | Stage::Over => None,
            Stage::Live => [held, asked, Some(timing.max_duration)].into_iter().flatten().min(),
            Stage::Leaving { until } if self.machine.waits_for_disk() => Some(self.latest_leave(until)),
            Stage::Leaving { until } => Some(until),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use rstest::rstest;
    use shared::model::Timestamp;

    use super::*;
    use crate::relay_frame::Outgoing;

    const APOLOGY: &str =
        "I am sorry, nobody can take your call right now, but I can take a message. Who is calling, please?";
    const NO_ANSWER: &str =
        "I am sorry, I cannot get an answer right now, but I can take a message. Who is calling, please?";
    const ASK_MESSAGE: &str = "Thank you. What is it about?";
    const ASK_CALLBACK: &str = "When and at which number can we call you back?";
    const THANKS: &str = "Thank you. I have taken your message and will pass it on. Goodbye.";
    const NOT_STORED: &str = "I am sorry, your message could not be saved. Please call again later. Goodbye.";
    const TIME_IS_UP: &str = "I am sorry, the time for this call is up. Goodbye.";

    /// A call with a clock, which fires the call's timer and notes every effect with its time in milliseconds, and
    /// with a disk that answers at once, or not by itself.
    struct Line {
        disk: Option<bool>,
        call: Call,
        elapsed: Duration,
        timer: Option<Duration>,
        effects: Vec<(u128, Effect)>,
    }

    fn plan(direction: Direction) -> CallPlan {
        CallPlan {
            direction,
            responder: FirstResponder::Agent,
            claimed: direction == Direction::Outbound,
            timing: Timing { speech_per_char: Duration::ZERO, ..Timing::default() },
            words: Arc::new(Words::default()),
            greeting: String::new(),
        }
    }

    fn prompt(text: &str) -> Event {
        Event::Prompt { text: text.to_owned(), last: true }
    }

    fn key(digit: &str) -> Event {
        Event::Dtmf { digit: digit.to_owned() }
    }

    impl Line {
        fn new(plan: CallPlan) -> Self {
            Self {
                disk: Some(true),
                call: Call::new(plan),
                elapsed: Duration::ZERO,
                timer: None,
                effects: Vec::new(),
            }
        }

        /// An outbound call, so one that an agent owns.
        fn claimed() -> Self {
            Self::new(plan(Direction::Outbound)).after([Event::Setup])
        }

        fn unclaimed() -> Self {
            Self::new(plan(Direction::Inbound)).after([Event::Setup])
        }

        fn after(mut self, events: impl IntoIterator<Item = Event>) -> Self {
            events.into_iter().for_each(|event| self.happens(event));
            self.effects.clear();
            self
        }

        fn now(&self) -> Moment {
            Moment { at: Timestamp::from_millis(0).plus(self.elapsed), elapsed: self.elapsed }
        }

        fn note(&mut self, effects: Vec<Effect>) {
            let stores = effects.iter().any(|effect| matches!(effect, Effect::StoreVoicemail(_)));
            for effect in effects {
                if let Effect::WakeAt(at) = effect {
                    self.timer = at;
                } else {
                    self.effects.push((self.elapsed.as_millis(), effect));
                }
            }
            if let Some(ok) = self.disk.filter(|_| stores) {
                self.happens(Event::VoicemailStored { ok });
            }
        }

        fn happens(&mut self, event: Event) {
            let effects = self.call.handle(event, &self.now());
            self.note(effects);
        }

        fn wait(&mut self, millis: u64) {
            let end = self.elapsed + Duration::from_millis(millis);
            while let Some(at) = self.timer.filter(|at| *at <= end) {
                self.elapsed = self.elapsed.max(at);
                self.timer = None;
                self.happens(Event::Timer);
            }
            self.elapsed = end;
        }

        fn speak(&mut self, speech: Speech) -> Spoken {
            let (spoken, effects) = self.call.speak(speech, &self.now());
            self.note(effects);
            spoken
        }

        fn answer(&mut self, turn_id: &TurnId, text: &str) -> Spoken {
            self.speak(Speech { turn_id: Some(turn_id.clone()), text: text.to_owned(), ..Speech::default() })
        }

        fn say(&mut self, text: &str) -> Spoken {
            self.speak(Speech { text: text.to_owned(), ..Speech::default() })
        }

        fn view(&self) -> View {
            self.call.heard(None, &self.now())
        }

        fn turn(&self) -> TurnId {
            self.view().turn_id
        }

        fn heard(&self) -> Vec<String> {
            self.view().turns.iter().map(words).collect()
        }

        /// What is noticed on the line and on the disk.
        fn log(&self) -> Vec<String> {
            let lines =
                self.effects.iter().filter_map(|(at, effect)| Some(format!("{at} {}", visible(effect)?)));
            lines.collect()
        }

        fn voicemails(&self) -> Vec<Voicemail> {
            let voicemails = self.effects.iter().filter_map(|(_, effect)| match effect {
                Effect::StoreVoicemail(voicemail) => Some(voicemail.clone()),
                _ => None,
            });
            voicemails.collect()
        }
    }

    fn words(turn: &CallTurn) -> String {
        turn.text.clone() + turn.digits.as_deref().unwrap_or_default()
    }

    fn visible(effect: &Effect) -> Option<String> {
        match effect {
            Effect::Send(Outgoing::Text { token, preemptible: None, .. }) => Some(format!("says {token}")),
            Effect::Send(Outgoing::Text { token, .. }) => Some(format!("fills {token}")),
            Effect::Send(Outgoing::SendDigits { digits }) => Some(format!("presses {digits}")),
            Effect::Send(Outgoing::End { .. }) => Some("ends".to_owned()),
            Effect::StoreVoicemail(voicemail) => {
                let done = if voicemail.complete { "all" } else { "so far" };
                let callback = voicemail.callback.as_ref().map(|back| format!(", back {back}"));
                let text = voicemail.transcript.replace('\n', "/");
                Some(format!("stores {done} {text}{}", callback.unwrap_or_default()))
            }
            Effect::HangUp => Some("hangs up".to_owned()),
            Effect::CutShort { heard_until, .. } => Some(format!("cut to {heard_until}")),
            Effect::Record(_) | Effect::WakeAgent | Effect::WakeAt(_) => None,
        }
    }

    fn voicemail(transcript: &str, callback: Option<&str>, complete: bool) -> Voicemail {
        Voicemail { transcript: transcript.to_owned(), callback: callback.map(str::to_owned), complete }
    }

    #[test]
    fn a_turn_is_recorded_and_the_agent_woken() {
        let mut line = Line::claimed();
        line.happens(prompt(" Hello? "));
        let [(_, Effect::Record(turn)), (_, Effect::WakeAgent)] = &line.effects[..] else {
            panic!("{:?}", line.effects)
        };
        let expected = CallTurn {
            id: turn.id.clone(),
            turn_id: line.turn(),
            direction: Direction::Inbound,
            speaker: Speaker::Caller,
            text: "Hello?".to_owned(),
            heard_until: None,
            digits: None,
            at: Timestamp::from_millis(0),
        };
        assert_eq!(*turn, expected);
        assert_eq!(line.view().turns, [expected]);
    }

    #[test]
    fn an_answer_goes_out_before_it_is_recorded() {
        let mut line = Line::claimed().after([prompt("Hello?")]);
        let asked = line.turn();
        assert_eq!(line.answer(&asked, "Hi, it is me."), Spoken::Yes);
        let [(_, Effect::Send(frame)), (_, Effect::Record(turn))] = &line.effects[..] else {
            panic!("{:?}", line.effects)
        };
        assert_eq!(*frame, Outgoing::text("Hi, it is me."));
        assert_eq!(
            (&turn.turn_id, turn.speaker, turn.direction),
            (&asked, Speaker::Agent, Direction::Outbound)
        );
    }

    #[test]
    fn the_greeting_is_the_first_turn() {
        let greeting = "Hello, an assistant speaks.".to_owned();
        let mut line = Line::new(CallPlan { greeting: greeting.clone(), ..plan(Direction::Inbound) });
        line.happens(Event::Setup);
        let [(_, Effect::WakeAgent), (_, Effect::Record(turn))] = &line.effects[..] else {
            panic!("{:?}", line.effects)
        };
        assert_eq!((&turn.text, turn.speaker), (&greeting, Speaker::Machine));
    }

    #[test]
    fn a_call_is_introduced_only_once() {
        let mut line = Line::new(CallPlan { greeting: "Hi.".to_owned(), ..plan(Direction::Inbound) });
        line.happens(prompt("too early"));
        assert_eq!(line.effects, []);
        line.happens(Event::Setup);
        line.effects.clear();
        line.happens(Event::Setup);
        assert_eq!(line.effects, []);
    }

    #[test]
    fn a_silent_agent_is_covered_and_then_stood_in_for() {
        let mut line = Line::claimed();
        line.happens(prompt("Can you move my appointment?"));
        line.wait(13_000);
        assert_eq!(
            line.log(),
            [
                "900 fills One moment, please.".to_owned(),
                "4000 fills Thank you for waiting, I am still looking into it.".to_owned(),
                format!("12000 says {NO_ANSWER}"),
                "12000 stores so far Can you move my appointment?".to_owned(),
            ]
        );
    }

    #[test]
    fn an_answer_cancels_the_fillers() {
        let mut line = Line::claimed();
        line.happens(prompt("Hello?"));
        line.wait(1_000);
        line.say("Hi.");
        line.wait(60_000);
        assert_eq!(line.log(), ["900 fills One moment, please.", "1000 says Hi."]);
    }

    #[test]
    fn further_words_restart_the_fillers_and_once_the_time_to_give_up() {
        let mut line = Line::claimed();
        line.happens(prompt("Well"));
        line.wait(5_000);
        line.happens(prompt("I mean"));
        line.wait(5_000);
        line.happens(prompt("you know"));
        line.wait(10_000);
        let times: Vec<_> =
            line.log().iter().map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(
            times,
            [
                "900 fills",
                "4000 fills",
                "5900 fills",
                "9000 fills",
                "10900 fills",
                "14000 fills",
                "17000 says",
                "17000 stores"
            ]
        );
    }

    #[test]
    fn a_filler_does_not_talk_over_the_caller() {
        let mut line = Line::claimed();
        line.happens(prompt("Well"));
        line.wait(800);
        line.happens(Event::Prompt { text: "and".to_owned(), last: false });
        line.wait(500);
        assert_eq!(line.log(), [""; 0]);
    }

    #[test]
    fn a_turn_that_was_passed_cannot_be_answered_but_the_next_can() {
        let mut line = Line::claimed();
        line.happens(prompt("First?"));
        let first = line.turn();
        line.wait(12_000);
        line.effects.clear();
        assert_eq!(line.answer(&first, "Late."), Spoken::Passed);
        assert_eq!(line.say("Late."), Spoken::Passed);
        line.happens(prompt("Second?"));
        assert_eq!(line.say("In time."), Spoken::Yes);
        line.wait(60_000);
        assert_eq!(line.log(), ["12000 says In time."]);
    }

    #[test]
    fn an_agent_that_speaks_takes_the_call_from_the_machine() {
        let mut line = Line::claimed();
        line.happens(prompt("First?"));
        line.wait(12_000);
        line.effects.clear();
        line.happens(prompt("It is Bob."));
        let bob = line.turn();
        line.wait(1_000);
        assert_eq!(line.answer(&bob, "Hi Bob, I am back."), Spoken::Yes);
        line.happens(prompt("Good."));
        line.say("Right.");
        line.wait(60_000);
        assert_eq!(
            line.log(),
            [
                &format!("12000 says {ASK_MESSAGE}"),
                "12000 stores so far First?/It is Bob.",
                "13000 says Hi Bob, I am back.",
                "13000 says Right.",
            ]
        );
    }

    #[test]
    fn an_agent_that_comes_back_and_fails_again_is_stood_in_for_again() {
        let mut line = Line::claimed();
        line.happens(prompt("First?"));
        line.wait(12_000);
        line.say("Late.");
        line.effects.clear();
        line.happens(prompt("Bob."));
        line.wait(12_000);
        let opening = "I am sorry, I cannot get an answer right now, but I can take a message.";
        assert_eq!(
            line.log(),
            [
                "12900 fills One moment, please.".to_owned(),
                "16000 fills Thank you for waiting, I am still looking into it.".to_owned(),
                format!("24000 says {opening} {ASK_MESSAGE}"),
                "24000 stores so far First?/Bob.".to_owned(),
            ]
        );
    }

    #[test]
    fn listening_alone_does_not_win_back_a_call_that_was_lost() {
        let mut line = Line::claimed();
        line.happens(prompt("First?"));
        line.wait(12_000);
        line.effects.clear();
        line.happens(Event::AgentAttached);
        line.happens(prompt("Bob."));
        assert_eq!(line.log(), [&format!("12000 says {ASK_MESSAGE}"), "12000 stores so far First?/Bob."]);
    }

    #[test]
    fn coming_back_counts_for_one_absence() {
        let mut line = Line::claimed();
        line.happens(prompt("First?"));
        line.wait(12_000);
        line.say("Late.");
        line.happens(prompt("Second?"));
        line.wait(12_000);
        line.effects.clear();
        line.happens(prompt("Third?"));
        let expected = [&format!("24000 says {ASK_CALLBACK}"), "24000 stores so far First?/Second?/Third?"];
        assert_eq!(line.log(), expected);
    }

    #[test]
    fn nobody_claims_so_the_machine_takes_the_call() {
        let mut line = Line::unclaimed();
        line.wait(6_000);
        assert_eq!(line.log(), [format!("6000 says {APOLOGY}")]);
        assert!(!line.call.has_claim());
    }

    #[test]
    fn whoever_speaks_before_the_claim_is_bridged_and_not_forgotten() {
        let mut line = Line::unclaimed();
        line.wait(3_000);
        line.happens(prompt("Hello, it is Bob."));
        line.wait(3_000);
        assert_eq!(
            line.log(),
            [
                "3900 fills One moment, please.".to_owned(),
                format!("6000 says {APOLOGY}"),
                "6000 stores so far Hello, it is Bob.".to_owned(),
            ]
        );
        assert_eq!(line.heard(), ["Hello, it is Bob."]);
    }

    #[test]
    fn listening_claims_the_call_and_keeps_the_machine_away() {
        let mut line = Line::unclaimed();
        line.wait(5_999);
        line.happens(Event::AgentAttached);
        line.wait(60_000);
        assert_eq!(line.log(), [""; 0]);
        assert!(line.call.has_claim());
    }

    #[test]
    fn speaking_claims_the_call() {
        let mut line = Line::unclaimed();
        assert_eq!(line.say("Hello, how can I help?"), Spoken::Yes);
        line.wait(60_000);
        assert_eq!(line.log(), ["0 says Hello, how can I help?"]);
        assert!(line.call.has_claim());
    }

    #[test]
    fn an_agent_that_listens_late_gets_the_next_turn() {
        let mut line = Line::unclaimed();
        line.wait(6_000);
        line.happens(Event::AgentAttached);
        line.effects.clear();
        line.happens(prompt("It is Bob."));
        line.wait(1_000);
        line.say("Hi Bob.");
        assert_eq!(line.log(), ["6900 fills One moment, please.", "7000 says Hi Bob."]);
    }

    #[test]
    fn the_machine_may_be_the_first_to_answer() {
        let machine = CallPlan { responder: FirstResponder::Machine, ..plan(Direction::Inbound) };
        let mut line = Line::new(machine);
        line.happens(Event::Setup);
        assert_eq!(line.log(), [format!("0 says {APOLOGY}")]);
    }

    fn with_machine() -> Line {
        let mut line = Line::unclaimed();
        line.wait(6_000);
        line.after([])
    }

    #[rstest]
    #[case::stored(true, THANKS)]
    #[case::not_stored(false, NOT_STORED)]
    fn the_machine_takes_a_message_and_says_what_became_of_it(#[case] ok: bool, #[case] last_words: &str) {
        let mut line = with_machine();
        line.happens(prompt("It is Bob."));
        line.happens(prompt("About the roof."));
        line.disk = Some(ok);
        line.happens(prompt("Tomorrow, 555 0100."));
        assert_eq!(
            line.log(),
            [
                &format!("6000 says {ASK_MESSAGE}"),
                "6000 stores so far It is Bob.",
                &format!("6000 says {ASK_CALLBACK}"),
                "6000 stores so far It is Bob./About the roof.",
                "6000 stores all It is Bob./About the roof./Tomorrow, 555 0100., back Tomorrow, 555 0100.",
                &format!("6000 says {last_words}"),
                "6000 hangs up",
            ]
        );
    }

    /// The script up to the point where all is said and the first of it is being stored.
    fn with_slow_disk() -> Line {
        let mut line = with_machine();
        line.disk = None;
        line.after(["Bob", "Roof", "Tomorrow"].map(prompt))
    }

    #[test]
    fn one_voicemail_at_a_time_is_stored_and_the_last_one_counts() {
        let mut line = with_slow_disk();
        line.happens(Event::VoicemailStored { ok: false });
        line.happens(Event::VoicemailStored { ok: true });
        assert_eq!(
            line.log(),
            [
                "6000 stores all Bob/Roof/Tomorrow, back Tomorrow",
                &format!("6000 says {THANKS}"),
                "6000 hangs up"
            ]
        );
    }

    #[test]
    fn a_disk_that_does_not_answer_is_not_vouched_for() {
        let mut line = with_slow_disk();
        line.wait(8_000);
        assert_eq!(line.log(), [format!("14000 says {NOT_STORED}"), "14000 hangs up".to_owned()]);
        line.happens(Event::VoicemailStored { ok: true });
        let all = voicemail("Bob\nRoof\nTomorrow", Some("Tomorrow"), true);
        assert_eq!(line.voicemails(), [all]);
    }

    /// A caller has just left something, and the time is nearly up.
    fn with_little_time() -> Line {
        let timing = Timing { max_duration: Duration::from_secs(7), ..plan(Direction::Inbound).timing };
        let mut line = Line::new(CallPlan { timing, ..plan(Direction::Inbound) }).after([Event::Setup]);
        line.wait(6_500);
        line.after([prompt("Bob")])
    }

    #[test]
    fn the_call_is_let_go_once_the_voicemail_is_stored() {
        let mut line = with_little_time();
        line.disk = None;
        line.wait(1_000);
        line.happens(Event::VoicemailStored { ok: true });
        let time_is_up = format!("7000 says {TIME_IS_UP}");
        assert_eq!(line.log(), [&time_is_up, "7000 stores all Bob", "7500 hangs up"]);
    }

    #[test]
    fn the_call_is_let_go_even_if_the_disk_does_not_answer() {
        let mut line = with_little_time();
        line.disk = None;
        line.wait(60_000);
        let time_is_up = format!("7000 says {TIME_IS_UP}");
        assert_eq!(line.log(), [&time_is_up, "7000 stores all Bob", "15000 hangs up"]);
    }

    #[test]
    fn a_silent_caller_is_asked_once_more_and_then_let_go() {
        let mut line = with_machine();
        line.wait(16_000);
        assert_eq!(
            line.log(),
            [
                "14000 says Who is calling, please?",
                "22000 stores all ",
                "22000 says Goodbye.",
                "22000 hangs up",
            ]
        );
    }

    #[test]
    fn each_question_may_be_repeated_once() {
        let mut line = with_machine();
        line.wait(8_000);
        line.happens(prompt("Bob"));
        line.wait(8_000);
        let repeated = format!("22000 says {ASK_MESSAGE}");
        assert_eq!(line.log().pop(), Some(repeated));
    }

    #[test]
    fn a_typed_number_needs_no_hash_key() {
        let mut line = with_machine();
        for event in [prompt("Bob"), prompt("Roof"), key("5"), key("5")] {
            line.happens(event);
        }
        line.effects.clear();
        line.disk = None;
        line.wait(8_000);
        assert_eq!(line.log(), ["14000 stores all Bob/Roof/55, back 55"]);
    }

    #[test]
    fn a_machine_that_takes_the_call_again_is_as_patient_as_before() {
        let mut line = with_machine();
        line.wait(8_000);
        line.happens(Event::AgentAttached);
        line.happens(prompt("Bob"));
        line.wait(12_000);
        line.effects.clear();
        line.wait(8_000);
        assert_eq!(line.log(), [format!("34000 says {ASK_MESSAGE}")]);
    }

    #[test]
    fn what_a_listener_has_confirmed_and_not_answered_is_kept_for_the_machine() {
        let mut line = Line::claimed().after([prompt("First?")]);
        line.call.confirm(&line.turn());
        line.wait(12_000);
        assert_eq!(line.voicemails(), [voicemail("First?", None, false)]);
    }

    #[test]
    fn a_voicemail_that_was_complete_is_taken_up_again() {
        let mut line = with_slow_disk();
        line.say("Wait, I am here.");
        line.disk = Some(true);
        line.happens(Event::VoicemailStored { ok: true });
        line.happens(prompt("Good, then listen."));
        line.wait(12_000);
        line.happens(Event::Closed);
        let all = voicemail("Bob\nRoof\nTomorrow\nGood, then listen.", Some("Tomorrow"), true);
        assert_eq!(line.voicemails().pop(), Some(all));
    }

    #[test]
    fn a_number_may_be_typed_and_ended_by_the_hash_key() {
        let mut line = with_machine();
        line.happens(prompt("Bob"));
        line.happens(prompt("Roof"));
        for digit in ["5", "5", "5", "#"] {
            line.happens(key(digit));
        }
        let last = line.voicemails().pop();
        assert_eq!(last, Some(voicemail("Bob\nRoof\n555#", Some("555"), true)));
    }

    #[rstest]
    #[case::nothing(&[], "", None)]
    #[case::name(&["Bob"], "Bob", None)]
    #[case::message(&["Bob", "Roof"], "Bob\nRoof", None)]
    fn a_hang_up_at_any_point_loses_nothing(
        #[case] said: &[&str],
        #[case] transcript: &str,
        #[case] callback: Option<&str>,
    ) {
        let mut line = with_machine();
        said.iter().for_each(|text| line.happens(prompt(text)));
        line.happens(Event::Closed);
        assert_eq!(line.voicemails().pop(), Some(voicemail(transcript, callback, true)));
    }

    #[test]
    fn a_hang_up_while_the_disk_works_leaves_the_whole_for_its_answer() {
        let mut line = with_slow_disk();
        line.happens(Event::Closed);
        assert_eq!(line.voicemails(), []);
        line.happens(Event::VoicemailStored { ok: true });
        line.happens(Event::VoicemailStored { ok: true });
        assert_eq!(line.voicemails(), [voicemail("Bob\nRoof\nTomorrow", Some("Tomorrow"), true)]);
    }

    #[test]
    fn a_missed_call_without_a_word_is_no_voicemail() {
        let mut line = Line::unclaimed();
        line.wait(3_000);
        line.happens(Event::Closed);
        assert_eq!(line.voicemails(), []);
    }

    #[test]
    fn words_that_nobody_claimed_are_a_voicemail() {
        let mut line = Line::unclaimed();
        line.happens(prompt("Call me back."));
        line.happens(Event::Closed);
        assert_eq!(line.voicemails(), [voicemail("Call me back.", None, true)]);
    }

    #[test]
    fn a_caller_who_hangs_up_while_the_agent_thinks_is_heard_nevertheless() {
        let mut line = Line::claimed();
        line.happens(prompt("Never mind."));
        line.effects.clear();
        line.happens(Event::Closed);
        assert_eq!(line.effects, [(0, Effect::WakeAgent)]);
        assert_eq!((line.heard(), line.view().live), (vec!["Never mind.".to_owned()], false));
    }

    #[test]
    fn a_call_that_the_agent_took_back_completes_the_voicemail() {
        let mut line = Line::claimed();
        line.happens(prompt("First?"));
        line.wait(12_000);
        line.happens(prompt("Bob."));
        line.say("Here I am.");
        line.effects.clear();
        line.happens(Event::Closed);
        assert_eq!(line.voicemails(), [voicemail("First?\nBob.", None, true)]);
    }

    #[test]
    fn half_a_sentence_is_not_acted_on_but_kept() {
        let mut line = Line::unclaimed();
        for text in ["Please tell", "Please tell him that"] {
            line.happens(Event::Prompt { text: text.to_owned(), last: false });
        }
        assert_eq!(line.effects, []);
        line.happens(Event::Closed);
        assert_eq!(line.voicemails(), [voicemail("Please tell him that", None, true)]);
    }

    #[test]
    fn a_finished_sentence_replaces_its_halves() {
        let mut line = Line::claimed();
        line.happens(Event::Prompt { text: "Hel".to_owned(), last: false });
        line.happens(prompt("Hello"));
        line.happens(Event::Closed);
        assert_eq!(line.heard(), ["Hello"]);
    }

    #[test]
    fn keys_in_a_row_are_heard_as_one_turn() {
        let mut line = Line::claimed().after([prompt("My code is"), key("1"), key("2"), prompt("Done")]);
        assert_eq!(line.heard(), ["My code is", "12", "Done"]);
        let keys = line.view().turns[1].turn_id.clone();
        line.call.confirm(&keys);
        assert_eq!(line.heard(), ["Done"]);
    }

    #[test]
    fn whoever_types_is_not_talked_into() {
        let mut line = Line::claimed();
        for digit in ["1", "2", "3", "4"] {
            line.happens(key(digit));
            line.wait(1_200);
        }
        assert_eq!(line.log(), [""; 0]);
    }

    #[test]
    fn an_interruption_cuts_the_speech_to_what_was_heard() {
        let mut line = Line::claimed();
        line.say("One, two, three.");
        let Effect::Record(speech) = line.effects.remove(1).1 else { panic!("the speech is recorded") };
        line.effects.clear();
        line.happens(Event::Interrupted { heard: "One, two".to_owned() });
        assert_eq!(
            line.effects,
            [
                (0, Effect::CutShort { id: speech.id, heard_until: "One, two".to_owned() }),
                (0, Effect::WakeAgent)
            ]
        );
        assert_eq!(line.view().heard_until.as_deref(), Some("One, two"));
        line.say("Yes?");
        assert_eq!(line.view().heard_until, None);
    }

    #[test]
    fn a_speech_is_cut_only_once() {
        let mut line = Line::claimed();
        line.happens(Event::Interrupted { heard: "Hm".to_owned() });
        line.say("One, two, three.");
        line.happens(Event::Interrupted { heard: "One".to_owned() });
        line.happens(Event::Interrupted { heard: "One, two".to_owned() });
        assert_eq!(line.log(), ["0 says One, two, three.", "0 cut to One"]);
    }

    #[test]
    fn an_interrupted_filler_says_nothing_of_the_agents_words() {
        let mut line = Line::claimed();
        line.say("Long story.");
        line.happens(prompt("Wait"));
        line.wait(900);
        line.happens(Event::Interrupted { heard: "One mo".to_owned() });
        assert_eq!(line.view().heard_until, None);
    }

    #[test]
    fn the_same_turn_is_never_spoken_to_twice() {
        let mut line = Line::claimed().after([prompt("Hello?")]);
        let asked = line.turn();
        assert_eq!(line.answer(&asked, "Hi."), Spoken::Yes);
        assert_eq!(line.answer(&asked, "Hi."), Spoken::AlreadyAnswered);
        assert_eq!(line.answer(&TurnId::generate(), "Hi."), Spoken::AlreadyAnswered);
        assert_eq!(line.log(), ["0 says Hi."]);
    }

    #[test]
    fn the_agent_may_go_on_with_the_turn_it_was_given() {
        let mut line = Line::claimed().after([prompt("Hello?")]);
        line.say("Hi.");
        let silence = line.turn();
        assert_eq!(line.answer(&silence, "Are you there?"), Spoken::Yes);
    }

    #[test]
    fn a_stale_answer_never_follows_a_newer_one() {
        let mut line = Line::claimed().after([prompt("First?")]);
        let first = line.turn();
        line.happens(prompt("No, second!"));
        let second = line.turn();
        assert_eq!(line.answer(&second, "To the second."), Spoken::Yes);
        assert_eq!(line.answer(&first, "To the first."), Spoken::AlreadyAnswered);
    }

    #[test]
    fn what_came_after_the_answered_turn_still_waits() {
        let mut line = Line::claimed().after([prompt("First?")]);
        let first = line.turn();
        line.happens(prompt("And second?"));
        let second = line.turn();
        assert_eq!(line.answer(&first, "To the first."), Spoken::Yes);
        line.wait(900);
        assert_eq!(line.answer(&second, "To the second."), Spoken::Yes);
        line.wait(60_000);
        assert_eq!(
            line.log(),
            ["0 says To the first.", "900 fills One moment, please.", "900 says To the second."]
        );
    }

    #[test]
    fn a_listener_hears_what_follows_what_it_has() {
        let mut line = Line::claimed().after([prompt("One")]);
        let one = line.turn();
        line.happens(prompt("Two"));
        assert_eq!(line.call.heard(Some(&one), &line.now()).turns.len(), 1);
        assert_eq!(line.heard(), ["One", "Two"]);
        line.call.confirm(&one);
        assert_eq!(line.heard(), ["Two"]);
        line.call.confirm(&TurnId::generate());
        assert_eq!(line.heard(), ["Two"]);
    }

    #[test]
    fn an_empty_speech_says_nothing_and_answers_nothing() {
        let mut line = Line::unclaimed().after([prompt("Hello?")]);
        let asked = line.turn();
        assert_eq!(line.say(" "), Spoken::Yes);
        assert_eq!((line.log(), line.turn()), (vec![], asked));
        assert!(line.call.has_claim());
    }

    #[test]
    fn keys_are_pressed_after_the_words() {
        let mut line = Line::claimed();
        let digits = Some("1w2#".parse().unwrap());
        line.speak(Speech { text: "Typing.".to_owned(), digits, ..Speech::default() });
        assert_eq!(line.log(), ["0 says Typing.", "0 presses 1w2#"]);
        let Effect::Record(turn) = &line.effects[2].1 else { panic!("{:?}", line.effects) };
        assert_eq!(words(turn), "Typing.1w2#");
    }

    #[test]
    fn the_last_words_are_heard_out() {
        let timing = Timing { speech_per_char: Duration::from_millis(100), ..Timing::default() };
        let mut line = Line::new(CallPlan { timing, ..plan(Direction::Outbound) }).after([Event::Setup]);
        line.speak(Speech { text: "Bye, all.".to_owned(), end_call: true, ..Speech::default() });
        assert_eq!((line.say("More?"), line.call.is_over()), (Spoken::Over, false));
        line.wait(899);
        line.happens(prompt("Bye"));
        assert_eq!(line.log(), ["0 says Bye, all."]);
        line.wait(1);
        assert_eq!(line.log(), ["0 says Bye, all.", "900 hangs up"]);
        assert!(line.call.is_over());
    }

    #[rstest]
    #[case::to_the_latest_turn(false)]
    #[case::to_an_answered_turn(true)]
    fn the_agent_may_hang_up_without_a_word(#[case] answered: bool) {
        let mut line = Line::claimed().after([prompt("Bye!")]);
        let turn_id = Some(line.turn());
        if answered {
            line.say("Bye.");
        }
        line.effects.clear();
        let spoken = line.speak(Speech { turn_id, end_call: true, ..Speech::default() });
        assert_eq!((spoken, line.log()), (Spoken::Yes, vec!["0 hangs up".to_owned()]));
    }

    #[test]
    fn silence_counts_from_the_end_of_our_words() {
        let timing = Timing { speech_per_char: Duration::from_millis(100), ..Timing::default() };
        let mut line = Line::new(CallPlan { timing, ..plan(Direction::Outbound) }).after([Event::Setup]);
        line.say("0123456789");
        line.wait(3_000);
        assert_eq!(line.view().silence, Duration::from_secs(2));
    }

    #[test]
    fn words_take_the_place_of_a_filler() {
        let timing = Timing { speech_per_char: Duration::from_millis(100), ..Timing::default() };
        let mut line = Line::new(CallPlan { timing, ..plan(Direction::Outbound) }).after([Event::Setup]);
        line.happens(prompt("Hello?"));
        line.wait(1_000);
        line.say("0123456789");
        line.wait(3_000);
        assert_eq!(line.view().silence, Duration::from_secs(2));
    }

    #[test]
    fn a_call_lasts_no_longer_than_it_may() {
        let timing = Timing { max_duration: Duration::from_secs(30), ..plan(Direction::Outbound).timing };
        let mut line = Line::new(CallPlan { timing, ..plan(Direction::Outbound) }).after([Event::Setup]);
        line.wait(60_000);
        assert_eq!(line.log(), [format!("30000 says {TIME_IS_UP}"), "30000 hangs up".to_owned()]);
        assert_eq!((line.timer, line.say("Hm?")), (None, Spoken::Over));
    }

    #[test]
    fn whoever_is_leaving_does_not_begin_again() {
        let timing = Timing {
            max_duration: Duration::from_secs(20),
            speech_per_char: Duration::from_millis(1),
            ..Timing::default()
        };
        let mut line = Line::new(CallPlan { timing, ..plan(Direction::Inbound) }).after([Event::Setup]);
        line.wait(7_000);
        line.happens(prompt("Bob"));
        line.wait(12_999);
        line.disk = None;
        line.wait(1);
        line.effects.clear();
        line.disk = Some(true);
        line.happens(Event::VoicemailStored { ok: true });
        line.happens(prompt("Wait, also tell him"));
        assert_eq!(line.log(), [""; 0]);
        line.wait(1_000);
        assert_eq!(line.log(), ["20050 stores all Bob/Wait, also tell him", "20050 hangs up"]);
    }

    #[test]
    fn a_timer_that_comes_early_is_set_again() {
        let mut line = Line::unclaimed();
        let timer = line.timer.take();
        line.happens(Event::Timer);
        assert_eq!((line.timer, line.log()), (timer, vec![]));
    }

    #[test]
    fn a_recorded_call_replays_alike() {
        let play = || {
            let mut line = Line::new(CallPlan { greeting: "Hello.".to_owned(), ..plan(Direction::Inbound) });
            line.happens(Event::Setup);
            line.wait(1_000);
            line.happens(Event::Interrupted { heard: "Hel".to_owned() });
            line.happens(prompt("Hello, is anybody there?"));
            line.wait(2_000);
            line.happens(Event::AgentAttached);
            line.say("Yes, how can I help?");
            line.wait(3_000);
            line.happens(key("4"));
            line.happens(prompt("What about my order?"));
            line.wait(20_000);
            line.happens(prompt("Forget it."));
            line.happens(Event::Closed);
            line.log()
        };
        let said = "4/What about my order?";
        let expected = [
            "1000 cut to Hel".to_owned(),
            "1900 fills One moment, please.".to_owned(),
            "3000 says Yes, how can I help?".to_owned(),
            "6900 fills One moment, please.".to_owned(),
            "10000 fills Thank you for waiting, I am still looking into it.".to_owned(),
            format!("18000 says {NO_ANSWER}"),
            format!("18000 stores so far {said}"),
            "26000 says Who is calling, please?".to_owned(),
            format!("26000 says {ASK_MESSAGE}"),
            format!("26000 stores so far {said}/Forget it."),
            format!("26000 stores all {said}/Forget it."),
        ];
        assert_eq!(play(), expected);
        assert_eq!(play(), expected);
    }

    #[test]
    fn an_idle_call_is_small() {
        let mut line = Line::claimed();
        for turn in 0..1_000 {
            line.happens(prompt(&format!("Turn {turn}")));
            let asked = line.turn();
            line.answer(&asked, "Yes.");
            line.call.confirm(&asked);
        }
        let size = size_of::<Call>() + line.call.history.size();
        assert!(size < 2 * 1024, "{size}");
    }

    #[derive(Clone, Debug)]
    enum Act {
        Event(Event),
        Speak { latest: bool, text: &'static str, end_call: bool },
        Confirm,
        Wait(u64),
    }

    fn act() -> impl Strategy<Value = Act> {
        let event = prop_oneof![
            5 => "[a-z]{0,3}".prop_map(|text| prompt(&text)),
            2 => "[a-z]{0,3}".prop_map(|text| Event::Prompt { text, last: false }),
            2 => "[0-9#]".prop_map(|digit| key(&digit)),
            2 => "[a-z]{0,3}".prop_map(|heard| Event::Interrupted { heard }),
            1 => Just(Event::Setup),
            1 => Just(Event::CarrierError),
            1 => Just(Event::AgentAttached),
            1 => Just(Event::Timer),
            2 => any::<bool>().prop_map(|ok| Event::VoicemailStored { ok }),
        ];
        let texts = prop::sample::select(&["", "Answer."][..]);
        let speak = (any::<bool>(), texts, prop::bool::weighted(0.1));
        prop_oneof![
            6 => event.prop_map(Act::Event),
            2 => speak.prop_map(|(latest, text, end_call)| Act::Speak { latest, text, end_call }),
            1 => Just(Act::Confirm),
            5 => (0u64..5_000).prop_map(Act::Wait),
        ]
    }

    fn perform(line: &mut Line, acts: Vec<Act>) {
        let mut seen = line.turn();
        for act in acts {
            match act {
                Act::Event(event) => line.happens(event),
                Act::Speak { latest, text, end_call } => {
                    let turn_id = (!latest).then(|| seen.clone());
                    seen = line.turn();
                    line.speak(Speech { turn_id, text: text.to_owned(), digits: None, end_call });
                }
                Act::Confirm => line.call.confirm(&seen),
                Act::Wait(millis) => line.wait(millis),
            }
        }
    }

    fn any_line() -> impl Strategy<Value = Line> {
        let plans =
            (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(outbound, claimed, machine)| CallPlan {
                claimed,
                responder: if machine { FirstResponder::Machine } else { FirstResponder::Agent },
                ..plan(if outbound { Direction::Outbound } else { Direction::Inbound })
            });
        let disks = prop::sample::select(&[None, Some(true), Some(false)][..]);
        (plans, disks).prop_map(|(plan, disk)| Line { disk, ..Line::new(plan).after([Event::Setup]) })
    }

    fn position(line: &Line, wanted: impl Fn(&Effect) -> bool) -> Option<usize> {
        line.effects.iter().position(|(_, effect)| wanted(effect))
    }

    impl std::fmt::Debug for Line {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.debug_list().entries(&self.effects).finish()
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn the_caller_is_never_left_in_silence(
            mut line in any_line(),
            acts in prop::collection::vec(act(), 0..40),
        ) {
            perform(&mut line, acts);
            let before = line.effects.len();
            line.happens(prompt("Hello?"));
            line.wait(12_000);
            let spoken = line.effects[before..].iter().any(|(_, effect)| matches!(effect, Effect::Send(_)));
            prop_assert!(spoken || line.call.is_over(), "{line:?}");
        }

        #[test]
        fn whatever_the_caller_says_is_recorded(
            mut line in any_line(),
            acts in prop::collection::vec(act(), 0..40),
        ) {
            perform(&mut line, acts);
            let over = line.call.is_over();
            let before = line.effects.len();
            line.happens(prompt("Remember this."));
            let recorded = line.effects[before..].iter().any(|(_, effect)| {
                matches!(effect, Effect::Record(turn) if turn.text == "Remember this.")
            });
            prop_assert_eq!(recorded, !over);
        }

        #[test]
        fn what_the_machine_or_nobody_was_told_is_in_the_voicemail(
            acts in prop::collection::vec(act().prop_filter("no agent", |act| {
                !matches!(act, Act::Speak { .. } | Act::Event(Event::AgentAttached))
            }), 0..40),
            disk in prop::sample::select(&[None, Some(true), Some(false)][..]),
        ) {
            let mut line = Line { disk, ..Line::unclaimed() };
            perform(&mut line, acts);
            line.happens(Event::Closed);
            line.happens(Event::VoicemailStored { ok: true });
            let said: Vec<_> = line.effects.iter().filter_map(|(_, effect)| match effect {
                Effect::Record(turn) if turn.speaker == Speaker::Caller => Some(words(turn)),
                _ => None,
            }).collect();
            let kept = line.voicemails().pop().map(|last| (last.transcript.replace('\n', ""), last.complete));
            let expected = (!said.is_empty()).then(|| (said.concat(), true));
            prop_assert!(kept == expected || (said.is_empty() && kept == Some((String::new(), true))), "{kept:?} {said:?}");
        }

        #[test]
        fn nothing_follows_the_hang_up(
            mut line in any_line(),
            acts in prop::collection::vec(act(), 0..60),
        ) {
            perform(&mut line, acts);
            if let Some(at) = position(&line, |effect| *effect == Effect::HangUp) {
                let after = &line.effects[at + 1..];
                let allowed = |effect: &Effect| matches!(effect, Effect::WakeAgent | Effect::StoreVoicemail(_));
                prop_assert!(after.iter().all(|(_, effect)| allowed(effect)));
                prop_assert!(line.call.is_over() && line.timer.is_none());
            }
        }

        #[test]
        fn no_turn_is_answered_twice_by_the_agent(
            mut line in any_line(),
            acts in prop::collection::vec(act(), 0..60),
        ) {
            perform(&mut line, acts);
            let mut answered: Vec<_> = line.effects.iter().filter_map(|(_, effect)| match effect {
                Effect::Record(turn) if turn.speaker == Speaker::Agent => Some(turn.turn_id.clone()),
                _ => None,
            }).collect();
            let count = answered.len();
            answered.sort();
            answered.dedup();
            prop_assert_eq!(answered.len(), count);
        }
    }
}
