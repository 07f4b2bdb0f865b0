//! `<Dial>`: a second telephone rings, hears what it alone is to hear, and is joined with the call.
//!
//! Whoever is called picks up at once, unless the number is one of the magic ones.

use std::time::Duration;

use shared::model::PhoneNumber;
use tokio::time::{Instant, sleep_until};

use super::call::{Command, Dialled};
use super::leg::{Leg, Next, Source};
use super::sms::{INVALID, SWITCHED_OFF};
use super::twiml::{self, Dial, Verb};
use super::webhook::{Form, random_sid};

/// How a joined call comes apart.
enum Parting {
    PersonLeft,
    Redirected(Next),
    DialOver,
}

impl Leg {
    /// `None`: go on with the verb after it.
    pub(super) async fn dial(&mut self, dial: Dial) -> Option<Next> {
        self.hear(format!("[rings at {}]", dial.number));
        let dialled = Dialled { number: dial.number.clone(), told: Vec::new() };
        self.call.view.send_modify(|view| view.dialled.push(dialled));
        let (sid, start) = (random_sid("CA"), Instant::now());
        let result = |status: &str| -> Form {
            vec![
                ("DialCallStatus", status.to_owned()),
                ("DialCallSid", sid.clone()),
                ("DialCallDuration", start.elapsed().as_secs().to_string()),
            ]
        };
        if let Err(status) = self.reach(&dial, &sid).await {
            return dial.action.map(|url| Next::Document(Source::url(url, result(status))));
        }
        match self.join(dial.time_limit).await {
            Parting::PersonLeft => Some(self.leave(dial.action, result("completed")).await),
            Parting::Redirected(next) => Some(next),
            Parting::DialOver => dial.action.map(|url| Next::Document(Source::url(url, result("completed")))),
        }
    }

    /// Has the other telephone picked up and told what it is to be told; else Twilio's word for how that ended.
    async fn reach(&self, dial: &Dial, sid: &str) -> Result<(), &'static str> {
        match dial.number.as_str() {
            INVALID => return Err("failed"),
            SWITCHED_OFF => return Err("no-answer"),
            _ if !self.may_show(dial.caller_id.as_ref()) => return Err("failed"),
            _ => {}
        }
        let Some(url) = &dial.whisper else { return Ok(()) };
        for verb in self.whisper(url, dial, sid).await.ok_or("failed")? {
            let told = match verb {
                Verb::Say(text) => text,
                Verb::Play => "[audio]".to_owned(),
                Verb::Hangup | Verb::Reject { .. } => return Err("completed"),
                Verb::Pause { .. }
                | Verb::Connect { .. }
                | Verb::Dial(_)
                | Verb::Record { .. }
                | Verb::Redirect(_)
                | Verb::Other(_) => continue,
            };
            self.call.view.send_modify(|view| {
                if let Some(dialled) = view.dialled.last_mut() {
                    dialled.told.push(told);
                }
            });
        }
        Ok(())
    }

    /// A caller ID must be ours, or be a party of the call: <https://www.twilio.com/docs/voice/twiml/dial#callerid>.
    fn may_show(&self, caller_id: Option<&PhoneNumber>) -> bool {
        caller_id.is_none_or(|number| {
            [&self.call.from, &self.call.to].contains(&number)
                || self.carrier.state().numbers.contains_key(number)
        })
    }

    async fn whisper(&self, url: &str, dial: &Dial, sid: &str) -> Option<Vec<Verb>> {
        let from = dial.caller_id.as_ref().unwrap_or(&self.call.from).to_string();
        let own = [
            ("CallSid", sid.to_owned()),
            ("From", from.clone()),
            ("Caller", from),
            ("To", dial.number.to_string()),
            ("Called", dial.number.to_string()),
            ("Direction", "outbound-dial".to_owned()),
        ];
        let mut form = self.call.form(&self.carrier);
        form.retain(|(name, _)| own.iter().all(|(other, _)| name != other));
        form.extend(own);
        form.push(("ParentCallSid", self.call.sid.to_string()));
        let answer = self.carrier.post(url, &form).await.ok()?;
        let document = (200..300).contains(&answer.status).then_some(answer.body)?;
        twiml::parse(&String::from_utf8(document).ok()?).ok()
    }

    async fn join(&mut self, time_limit: Option<u64>) -> Parting {
        let limit = time_limit.map(|seconds| Instant::now() + Duration::from_secs(seconds));
        let (dial_end, call_end) = (limit.unwrap_or(self.deadline), self.deadline);
        loop {
            let command = tokio::select! {
                biased;
                command = self.commands.recv() => command,
                () = sleep_until(call_end) => return Parting::PersonLeft,
                () = sleep_until(dial_end) => return Parting::DialOver,
            };
            match command {
                Some(Command::HangUp | Command::End) | None => return Parting::PersonLeft,
                Some(Command::Redirect(instructions)) => {
                    return Parting::Redirected(Next::Document(Source::of(instructions)));
                }
                // Words and keys are for the other telephone.
                Some(Command::PickUp | Command::Say(_) | Command::Press(_) | Command::Interrupt(_)) => {}
            }
        }
    }
}
