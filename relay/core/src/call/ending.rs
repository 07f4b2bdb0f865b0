//! How a call ends: with last words that are heard out, or with a closed socket. Whatever the caller has left is
//! stored first.

use std::time::Duration;

use super::{Call, Effect, Holder, Moment, Stage};

impl Call {
    /// Hangs up once what was said has been spoken, and what the caller has left is stored.
    pub(super) fn leave(&mut self, now: &Moment, effects: &mut Vec<Effect>) {
        self.settle_voicemail(effects);
        self.stage = Stage::Leaving { until: self.speaking_until };
        self.hang_up_when_said(now, effects);
    }

    pub(super) fn hang_up_when_said(&mut self, now: &Moment, effects: &mut Vec<Effect>) {
        let Stage::Leaving { until } = self.stage else { return };
        if now.elapsed < until {
            return;
        }
        // The caller may have added something to the last words.
        self.settle_voicemail(effects);
        if !self.machine.waits_for_disk() || now.elapsed >= self.latest_leave(until) {
            effects.extend([Effect::HangUp, Effect::WakeAgent]);
            self.stage = Stage::Over;
        }
    }

    /// When the disk is not waited for any longer.
    pub(super) fn latest_leave(&self, until: Duration) -> Duration {
        until.saturating_add(self.plan.timing.machine_patience)
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
        if self.holder != Holder::Agent {
            self.note_unanswered();
        }
        effects.extend(self.machine.settle().map(Effect::StoreVoicemail));
    }
}
