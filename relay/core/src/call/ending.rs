//! How a call ends: with last words that are heard out, or with a closed socket. Whatever the caller has left is
//! stored first.

use super::{Call, Effect, Holder, Moment, Stage};

impl Call {
    /// Hangs up once what was said has been spoken.
    pub(super) fn leave(&mut self, now: &Moment, effects: &mut Vec<Effect>) {
        self.question = None;
        self.settle_voicemail(effects);
        self.stage = Stage::Leaving { until: self.speaking_until };
        self.hang_up_when_said(now, effects);
    }

    pub(super) fn hang_up_when_said(&mut self, now: &Moment, effects: &mut Vec<Effect>) {
        if let Stage::Leaving { until } = self.stage
            && now.elapsed >= until
        {
            // The caller may have added something to the last words.
            self.settle_voicemail(effects);
            effects.extend([Effect::HangUp, Effect::WakeAgent]);
            self.stage = Stage::Over;
        }
    }

    pub(super) fn run_out(&mut self, now: &Moment, effects: &mut Vec<Effect>) {
        let line = format!("{} {}", self.plan.words.time_is_up, self.plan.words.goodbye);
        self.say_for_machine(&line, now, effects);
        self.leave(now, effects);
    }

    /// The socket is gone. What the caller was about to say is kept as far as it came.
    pub(super) fn close(&mut self, now: &Moment, effects: &mut Vec<Effect>) {
        let partial = std::mem::take(&mut self.partial);
        if !partial.trim().is_empty() {
            self.record_caller(partial.trim(), None, now, effects);
        }
        self.settle_voicemail(effects);
        effects.push(Effect::WakeAgent);
        self.stage = Stage::Over;
    }

    /// Completes the voicemail, where there is one: the machine has or had the call, or nobody has claimed what the
    /// caller said.
    fn settle_voicemail(&mut self, effects: &mut Vec<Effect>) {
        if !matches!(self.holder, Holder::Agent) && self.note_unanswered() {
            self.machine.reopen();
        }
        effects.extend(self.machine.settle().map(Effect::StoreVoicemail));
    }
}
