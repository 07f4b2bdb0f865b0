//! Which turns there were, which of them the agent has answered, and which the answering machine has taken.
//!
//! A *turn* to be answered is what the caller said, or the silence after the agent's own words: each has an id, and
//! words are spoken to each only once. Only turns that somebody may still ask for are kept.

use std::collections::VecDeque;

use shared::ids::TurnId;
use shared::model::CallTurn;

/// So many turns that are done with stay known, for words that come late.
const RECENT: usize = 6;
/// A listener who never confirms loses the oldest; the transcript has them.
const MOST: usize = 256;

#[derive(Clone, Debug)]
pub(super) struct History {
    turns: VecDeque<Turn>,
    answered: u64,
    passed: u64,
    confirmed: u64,
}

#[derive(Clone, Debug)]
struct Turn {
    seq: u64,
    id: TurnId,
    /// What the caller said; nothing for a silence, and once it is of no more use.
    said: Option<Box<CallTurn>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Open(u64),
    Answered,
    Passed,
}

impl History {
    pub(super) fn new() -> Self {
        let opening = Turn { seq: 1, id: TurnId::generate(), said: None };
        Self { turns: [opening].into(), answered: 0, passed: 0, confirmed: 0 }
    }

    /// In bytes, without the texts of what is still waited for.
    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        let ids = self.turns.iter().map(|turn| turn.id.as_str().len()).sum::<usize>();
        self.turns.capacity() * size_of::<Turn>() + self.said().count() * size_of::<CallTurn>() + ids
    }

    /// The turn that words without an id answer.
    pub(super) fn latest(&self) -> &TurnId {
        &self.last().id
    }

    pub(super) fn push(&mut self, said: CallTurn) {
        self.append(said.turn_id.clone(), Some(Box::new(said)));
    }

    /// A turn that is not known any more, or never was, counts as answered: saying nothing twice comes first.
    pub(super) fn state(&self, id: &TurnId) -> State {
        match self.seq(id) {
            Some(seq) if seq <= self.answered => State::Answered,
            Some(seq) if seq <= self.passed => State::Passed,
            Some(seq) => State::Open(seq),
            None => State::Answered,
        }
    }

    /// The agent has answered this open turn and those before it. The silence after is a turn of its own.
    pub(super) fn answer(&mut self, seq: u64) {
        self.answered = seq;
        self.append(TurnId::generate(), None);
    }

    /// The answering machine has taken everything so far.
    pub(super) fn pass(&mut self) {
        self.passed = self.last().seq;
        self.prune();
    }

    pub(super) fn confirm(&mut self, until: &TurnId) {
        self.confirmed = self.confirmed.max(self.seq(until).unwrap_or(0));
        self.prune();
    }

    /// What the caller said and the agent has not answered, with its place.
    pub(super) fn unanswered(&self) -> impl Iterator<Item = (u64, &CallTurn)> {
        self.said().filter(|(seq, _)| *seq > self.answered)
    }

    /// What the caller said after the given turn, or else after the last confirmed one.
    pub(super) fn said_after(&self, after: Option<&TurnId>) -> Vec<CallTurn> {
        let after = after.and_then(|id| self.seq(id)).unwrap_or(self.confirmed);
        let mut turns: Vec<CallTurn> = Vec::new();
        for (_, turn) in self.said().filter(|(seq, _)| *seq > after) {
            match turns.last_mut() {
                Some(last) if last.text.is_empty() && turn.text.is_empty() => join_keys(last, turn),
                _ => turns.push(turn.clone()),
            }
        }
        turns
    }

    fn said(&self) -> impl Iterator<Item = (u64, &CallTurn)> {
        self.turns.iter().filter_map(|turn| Some((turn.seq, turn.said.as_deref()?)))
    }

    fn seq(&self, id: &TurnId) -> Option<u64> {
        self.turns.iter().rev().find(|turn| turn.id == *id).map(|turn| turn.seq)
    }

    fn last(&self) -> &Turn {
        self.turns.back().expect("the opening turn is there, and the latest is never dropped")
    }

    fn append(&mut self, id: TurnId, said: Option<Box<CallTurn>>) {
        let seq = self.last().seq + 1;
        self.turns.push_back(Turn { seq, id, said });
        self.prune();
    }

    fn prune(&mut self) {
        let done = self.confirmed.min(self.answered.max(self.passed));
        self.turns.iter_mut().take_while(|turn| turn.seq <= done).for_each(|turn| turn.said = None);
        while self.turns.len() > RECENT && self.turns.front().is_some_and(|turn| turn.said.is_none())
            || self.turns.len() > MOST
        {
            self.turns.pop_front();
        }
    }
}

/// The joined turn bears the names of the last key, so that confirming it confirms them all.
fn join_keys(keys: &mut CallTurn, next: &CallTurn) {
    let pressed = keys.digits.take().unwrap_or_default() + next.digits.as_deref().unwrap_or_default();
    *keys = CallTurn { digits: Some(pressed), ..next.clone() };
}
