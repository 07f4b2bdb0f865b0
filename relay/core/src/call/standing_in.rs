//! The answering machine in the call: when it takes it, and how its script meets the line, the clock and the disk.

use shared::model::CallTurn;

use super::answering_machine::Next;
use super::question::Due;
use super::{Call, Effect, Holder, Moment, Stage};

impl Call {
    /// Time has gone by.
    pub(super) fn tick(&mut self, now: &Moment, effects: &mut Vec<Effect>) {
        match self.stage {
            Stage::Connecting | Stage::Over => return,
            Stage::Leaving { .. } => return self.hang_up_when_said(now, effects),
            Stage::Live if now.elapsed >= self.plan.timing.max_duration => return self.run_out(now, effects),
            Stage::Live => {}
        }
        match self.holder {
            Holder::Nobody { until } if now.elapsed >= until => self.hand_to_machine(now, effects),
            Holder::Machine { until } if now.elapsed >= until => self.bear_silence(now, effects),
            Holder::Nobody { .. } | Holder::Agent | Holder::Machine { .. } => {}
        }
        match self.question.as_mut().and_then(|question| question.due(now.elapsed, &self.plan.timing)) {
            Some(Due::Filler(index)) => self.say_filler(index, now, effects),
            Some(Due::GiveUp) => self.hand_to_machine(now, effects),
            None => {}
        }
    }

    /// What the caller has said so far is the machine's: the agent can answer only what comes after.
    pub(super) fn hand_to_machine(&mut self, now: &Moment, effects: &mut Vec<Effect>) {
        self.gave_up = self.question.take().is_some() && self.holder == Holder::Agent;
        self.agent_is_back = false;
        let noted = self.note_unanswered();
        self.history.pass();
        let words = &self.plan.words;
        let opening = if self.gave_up { &words.no_answer } else { &words.apology };
        let line = self.machine.begin(noted, opening, words);
        self.say_for_machine(&line, now, effects);
        self.wait_for_caller(now);
        if noted {
            effects.extend(self.machine.save().map(Effect::StoreVoicemail));
        }
    }

    pub(super) fn tell_machine(&mut self, turn: &CallTurn, now: &Moment, effects: &mut Vec<Effect>) {
        self.note_unanswered();
        let next = self.machine.hear(turn, &self.plan.words);
        let goes_on = next != Next::Finish;
        self.follow(next, now, effects);
        if goes_on {
            effects.extend(self.machine.save().map(Effect::StoreVoicemail));
        }
    }

    /// Takes down what the agent has not answered and the machine has not yet.
    pub(super) fn note_unanswered(&mut self) -> bool {
        self.history.unanswered().fold(false, |noted, (seq, turn)| self.machine.note(seq, turn) || noted)
    }

    /// The disk has answered. What was added meanwhile goes first.
    pub(super) fn stored(&mut self, ok: bool, now: &Moment, effects: &mut Vec<Effect>) {
        if !self.machine.is_saving() {
            return;
        }
        if let Some(voicemail) = self.machine.saved() {
            return effects.push(Effect::StoreVoicemail(voicemail));
        }
        match (self.stage, self.holder) {
            (Stage::Live, Holder::Machine { .. }) if self.machine.is_storing() => {
                self.say_last_words(ok, now, effects);
            }
            (Stage::Leaving { .. }, _) => self.hang_up_when_said(now, effects),
            (Stage::Live | Stage::Connecting | Stage::Over, _) => {}
        }
    }

    fn say_last_words(&mut self, ok: bool, now: &Moment, effects: &mut Vec<Effect>) {
        let words = self.machine.last_words(ok, &self.plan.words);
        self.say_for_machine(&words, now, effects);
        self.leave(now, effects);
    }

    fn bear_silence(&mut self, now: &Moment, effects: &mut Vec<Effect>) {
        if self.machine.is_storing() {
            // The disk has not answered. Whatever becomes of it, a promise would be a guess.
            self.machine.stop_waiting();
            return self.say_last_words(false, now, effects);
        }
        let next = self.machine.silence(&self.plan.words);
        self.follow(next, now, effects);
    }

    fn follow(&mut self, next: Next, now: &Moment, effects: &mut Vec<Effect>) {
        match next {
            Next::Ask(line) => self.say_for_machine(&line, now, effects),
            Next::Listen => {}
            Next::Finish => effects.extend(self.machine.complete().map(Effect::StoreVoicemail)),
        }
        self.wait_for_caller(now);
    }

    fn wait_for_caller(&mut self, now: &Moment) {
        let from = self.speaking_until.max(now.elapsed);
        self.holder = Holder::Machine { until: from.saturating_add(self.plan.timing.machine_patience) };
    }
}
