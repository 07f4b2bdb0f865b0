//! The answering machine's script for a relay without a language model: who, what, when to call back.
//!
//! It only decides what to ask and what to keep; the call speaks for it. Each turn of the caller gives a voicemail
//! that says more than the one before, so that a hang-up at any point loses nothing.

use shared::model::CallTurn;

use super::{Voicemail, Words};

#[derive(Clone, Debug, Default)]
pub(super) struct AnsweringMachine {
    step: Step,
    started: bool,
    reminded: bool,
    /// What the caller said, a line for each turn; keys pressed in a row are one line.
    transcript: String,
    typing: bool,
    callback: Option<String>,
    /// The last turn that the transcript has.
    noted: u64,
    completed: bool,
    /// A voicemail is on its way to the disk. There is one at a time, so that an older one never replaces a newer.
    saving: bool,
    /// And there is more to store than it has.
    outdated: bool,
    /// And the caller is not kept waiting for it any longer.
    overdue: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Step {
    #[default]
    Name,
    Message,
    Callback,
    Storing,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Ask(String),
    /// The caller is not done: keys come one by one.
    Listen,
    Finish,
}

impl AnsweringMachine {
    /// Takes the call, or takes it again, and gives its first words. If the caller has spoken since it last asked,
    /// that is the answer.
    pub(super) fn begin(&mut self, answered: bool, opening: &str, words: &Words) -> String {
        if self.started && answered {
            self.advance();
        }
        if self.step == Step::Storing {
            self.step = Step::Callback;
        }
        self.started = true;
        self.reminded = false;
        self.completed = false;
        format!("{opening} {}", self.question(words))
    }

    /// Takes down a turn; whether it was there already is told by its place.
    pub(super) fn note(&mut self, seq: u64, turn: &CallTurn) -> bool {
        if seq <= self.noted {
            return false;
        }
        self.noted = seq;
        self.completed = false;
        let goes_on_typing = self.typing && turn.digits.is_some();
        self.typing = turn.digits.is_some();
        if !self.transcript.is_empty() && !goes_on_typing {
            self.transcript.push('\n');
        }
        self.transcript.push_str(&turn.text);
        self.transcript.push_str(turn.digits.as_deref().unwrap_or_default());
        true
    }

    /// What to do about a turn that has been taken down.
    pub(super) fn hear(&mut self, turn: &CallTurn, words: &Words) -> Next {
        self.reminded = false;
        if let Some(digit) = &turn.digits {
            return self.hear_key(digit);
        }
        if self.step == Step::Callback {
            let callback = self.callback.get_or_insert_default();
            if !callback.is_empty() {
                callback.push(' ');
            }
            callback.push_str(&turn.text);
        }
        self.advance();
        if self.step == Step::Storing { Next::Finish } else { Next::Ask(self.question(words).to_owned()) }
    }

    /// What to do about the caller's silence.
    pub(super) fn silence(&mut self, words: &Words) -> Next {
        if self.reminded || self.callback.is_some() {
            return Next::Finish;
        }
        self.reminded = true;
        Next::Ask(self.question(words).to_owned())
    }

    /// Stores what there is, at once or after what is being stored.
    pub(super) fn save(&mut self) -> Option<Voicemail> {
        self.outdated = self.saving;
        if self.saving {
            return None;
        }
        self.saving = true;
        let (transcript, callback) = (self.transcript.clone(), self.callback.clone());
        Some(Voicemail { transcript, callback, complete: self.completed })
    }

    /// Stores what there is as all there will be.
    pub(super) fn complete(&mut self) -> Option<Voicemail> {
        self.step = Step::Storing;
        self.completed = true;
        self.save()
    }

    /// The same, if there is anything that was not completed.
    pub(super) fn settle(&mut self) -> Option<Voicemail> {
        let leaves_something = self.started || !self.transcript.is_empty();
        if leaves_something && !self.completed { self.complete() } else { None }
    }

    /// The disk has answered; gives what is to be stored next.
    pub(super) fn saved(&mut self) -> Option<Voicemail> {
        (self.saving, self.overdue) = (false, false);
        if self.outdated { self.save() } else { None }
    }

    pub(super) fn stop_waiting(&mut self) {
        self.overdue = true;
    }

    pub(super) fn is_saving(&self) -> bool {
        self.saving
    }

    /// Something is on its way to the disk, and worth waiting for.
    pub(super) fn waits_for_disk(&self) -> bool {
        self.saving && !self.overdue
    }

    pub(super) fn is_storing(&self) -> bool {
        self.step == Step::Storing
    }

    /// The last words, once the complete voicemail is known to be stored or not.
    pub(super) fn last_words(&self, ok: bool, words: &Words) -> String {
        let before = match ok {
            false => &words.not_stored,
            true if self.transcript.is_empty() => return words.goodbye.clone(),
            true => &words.thanks,
        };
        format!("{before} {}", words.goodbye)
    }

    /// Keys answer the last question only, where they are a number; `#` ends it.
    fn hear_key(&mut self, digit: &str) -> Next {
        match self.step {
            Step::Name | Step::Message => Next::Listen,
            Step::Callback if digit == "#" => Next::Finish,
            Step::Callback => {
                self.callback.get_or_insert_default().push_str(digit);
                Next::Listen
            }
            Step::Storing => Next::Finish,
        }
    }

    fn advance(&mut self) {
        self.step = match self.step {
            Step::Name => Step::Message,
            Step::Message => Step::Callback,
            Step::Callback | Step::Storing => Step::Storing,
        };
    }

    fn question<'a>(&self, words: &'a Words) -> &'a str {
        match self.step {
            Step::Name => &words.ask_name,
            Step::Message => &words.ask_message,
            Step::Callback | Step::Storing => &words.ask_callback,
        }
    }
}
