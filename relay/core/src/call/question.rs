//! What the caller said and nobody has answered yet: when to bridge the silence, and when to give up.
//!
//! Words that follow before the answer belong to the same question. They restart the fillers, because the caller
//! is not waiting while speaking; they restart the time to give up only once, so that a caller who keeps talking
//! to a dead agent still reaches the answering machine.

use std::time::Duration;

use super::Timing;

#[derive(Clone, Debug)]
pub(super) struct Question {
    waiting_since: Duration,
    fillers: usize,
    give_up_at: Duration,
    extended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Filler(usize),
    GiveUp,
}

impl Question {
    pub(super) fn asked(at: Duration, timing: &Timing) -> Self {
        Self { waiting_since: at, fillers: 0, give_up_at: at.saturating_add(timing.give_up), extended: false }
    }

    pub(super) fn asked_further(&mut self, at: Duration, timing: &Timing) {
        if !self.extended {
            self.give_up_at = at.saturating_add(timing.give_up);
        }
        self.extended = true;
        self.waiting_since = at;
        self.fillers = 0;
    }

    /// Sounds, but no words yet: a filler would talk over them.
    pub(super) fn caller_speaks(&mut self, at: Duration) {
        self.waiting_since = self.waiting_since.max(at);
    }

    pub(super) fn next(&self, timing: &Timing) -> Duration {
        self.next_filler(timing).map_or(self.give_up_at, |filler| filler.min(self.give_up_at))
    }

    /// What is due; a filler only once. Of two that are due at the same time the later one is enough.
    pub(super) fn due(&mut self, now: Duration, timing: &Timing) -> Option<Due> {
        if now >= self.give_up_at {
            return Some(Due::GiveUp);
        }
        let mut due = None;
        while self.next_filler(timing).is_some_and(|at| now >= at) {
            due = Some(Due::Filler(self.fillers));
            self.fillers += 1;
        }
        due
    }

    fn next_filler(&self, timing: &Timing) -> Option<Duration> {
        [timing.filler, timing.second_filler]
            .get(self.fillers)
            .map(|after| self.waiting_since.saturating_add(*after))
    }
}
