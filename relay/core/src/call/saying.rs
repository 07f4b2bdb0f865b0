//! Putting words on the line and into the transcript. The frame always goes first: nothing that is written down may
//! delay what is said.

use shared::ids::{MessageId, TurnId};
use shared::model::{CallTurn, Direction, Speaker};

use super::{Call, Effect, Moment, Speech};
use crate::relay_frame::Outgoing;

#[derive(Clone, Debug)]
pub(super) struct LastSpeech {
    pub(super) id: MessageId,
    pub(super) is_filler: bool,
}

impl Call {
    pub(super) fn say_for_agent(
        &mut self,
        turn_id: TurnId,
        speech: &Speech,
        now: &Moment,
        effects: &mut Vec<Effect>,
    ) {
        if !speech.text.trim().is_empty() {
            effects.push(Effect::Send(Outgoing::text(&speech.text)));
        }
        if let Some(digits) = speech.digits.clone() {
            effects.push(Effect::Send(Outgoing::SendDigits { digits }));
        }
        let digits = speech.digits.as_ref().map(ToString::to_string);
        self.heard_until = None;
        self.spoken(
            CallTurn { turn_id, digits, ..self.speech(Speaker::Agent, &speech.text, now) },
            now,
            effects,
        );
    }

    pub(super) fn say_for_machine(&mut self, text: &str, now: &Moment, effects: &mut Vec<Effect>) {
        effects.push(Effect::Send(Outgoing::text(text)));
        self.heard_until = None;
        self.spoken(self.speech(Speaker::Machine, text, now), now, effects);
    }

    pub(super) fn say_filler(&mut self, index: usize, now: &Moment, effects: &mut Vec<Effect>) {
        let text = self.plan.words.fillers[index].clone();
        effects.push(Effect::Send(Outgoing::preemptible_text(&text)));
        self.spoken(self.speech(Speaker::Machine, &text, now), now, effects);
        self.speech.iter_mut().for_each(|speech| speech.is_filler = true);
    }

    /// The carrier says it by itself.
    pub(super) fn greeted(&mut self, speaker: Speaker, text: &str, now: &Moment, effects: &mut Vec<Effect>) {
        self.spoken(self.speech(speaker, text, now), now, effects);
    }

    pub(super) fn record_caller(
        &mut self,
        text: &str,
        digits: Option<String>,
        now: &Moment,
        effects: &mut Vec<Effect>,
    ) -> CallTurn {
        let turn = CallTurn {
            id: MessageId::generate(),
            turn_id: TurnId::generate(),
            direction: Direction::Inbound,
            speaker: Speaker::Caller,
            text: text.to_owned(),
            heard_until: None,
            digits,
            at: now.at,
        };
        self.history.push(turn.clone());
        effects.push(Effect::Record(turn.clone()));
        turn
    }

    fn speech(&self, speaker: Speaker, text: &str, now: &Moment) -> CallTurn {
        CallTurn {
            id: MessageId::generate(),
            turn_id: self.history.latest().clone(),
            direction: Direction::Outbound,
            speaker,
            text: text.to_owned(),
            heard_until: None,
            digits: None,
            at: now.at,
        }
    }

    fn spoken(&mut self, turn: CallTurn, now: &Moment, effects: &mut Vec<Effect>) {
        let replaces_filler = self.speech.as_ref().is_some_and(|speech| speech.is_filler);
        let begins = if replaces_filler { now.elapsed } else { self.speaking_until.max(now.elapsed) };
        self.speaking_until = begins.saturating_add(self.plan.timing.speaking(&turn.text));
        self.speech = Some(LastSpeech { id: turn.id.clone(), is_filler: false });
        effects.push(Effect::Record(turn));
    }
}
