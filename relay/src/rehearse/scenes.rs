//! The scenes. Each checks what it sees; the first thing that is not as it should be ends the rehearsal.

mod call;
mod limits;
mod text;
mod voicemail;

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use shared::ids::CallSid;
use shared::model::{CallStatus, PhoneNumber};
use shared::protocol::{SimulateAct, SimulateHear};
use tokio::time::Instant;

use super::agent::Agent;
use super::report::Report;
use super::stage::Stage;
use crate::services::agents::REHEARSAL_NUMBER;
use crate::services::audit::{self, Verdict};

/// Plays all scenes.
pub(super) async fn play(stage: &Stage, report: &mut Report) -> anyhow::Result<()> {
    let mut agent = Agent::attach(stage).await?;
    empty_the_inbox(&mut agent).await?;
    report.scene("A text is answered")?;
    text::play(stage, &mut agent, report).await.context("in the scene of the text")?;
    report.scene("A call is held")?;
    call::play(stage, &mut agent, report).await.context("in the scene of the call")?;
    report.scene("A call with no agent attached leaves a voicemail")?;
    agent.detach().await?;
    voicemail::play(stage, report).await.context("in the scene of the voicemail")?;
    report.scene("A new agent is set up, and kept within its limits")?;
    limits::play(stage, report).await.context("in the scene of the limits")?;
    report.scene("The audit log is whole")?;
    match audit::verify(&stage.db).await? {
        Verdict::Whole { entries, .. } => report.line("relay", &format!("{entries} entries verified")),
        Verdict::Broken(problem) => bail!("the audit log is broken: {problem}"),
    }
}

/// What an earlier rehearsal left behind.
async fn empty_the_inbox(agent: &mut Agent) -> anyhow::Result<()> {
    for _ in 0..20 {
        let page = agent.call("comms_get_messages", json!({ "unread": true, "limit": 200 })).await?;
        if page["messages"].as_array().is_none_or(Vec::is_empty) {
            return Ok(());
        }
    }
    bail!("the rehearsal's inbox does not get empty")
}

/// A number that is reserved for fiction.
fn number(text: &str) -> anyhow::Result<PhoneNumber> {
    Ok(text.parse()?)
}

/// One of the numbers that are reserved for fiction, a different one each time: a person may be called only so often a
/// day.
fn some_number() -> anyhow::Result<PhoneNumber> {
    let [high, low, ..]: [u8; 32] = crate::random::bytes();
    number(&format!("+1202555{:04}", 110 + u16::from_be_bytes([high, low]) % 36))
}

fn our_number() -> anyhow::Result<PhoneNumber> {
    number(REHEARSAL_NUMBER)
}

fn text_of<'a>(value: &'a Value, name: &str) -> anyhow::Result<&'a str> {
    value[name].as_str().with_context(|| format!("the answer has no `{name}`: {value}"))
}

/// The person at the other end of a call.
struct Person<'a> {
    stage: &'a Stage,
    call_sid: CallSid,
}

impl Person<'_> {
    async fn says(&self, text: &str) -> anyhow::Result<()> {
        self.does(SimulateAct::Say { call_sid: self.call_sid.clone(), text: text.to_owned() }).await
    }

    async fn presses(&self, digits: &str) -> anyhow::Result<()> {
        self.does(SimulateAct::Press { call_sid: self.call_sid.clone(), digits: digits.to_owned() }).await
    }

    /// Speaks over the voice when it has said `heard`.
    async fn interrupts(&self, heard: &str) -> anyhow::Result<()> {
        self.does(SimulateAct::Interrupt { call_sid: self.call_sid.clone(), heard: heard.to_owned() }).await
    }

    async fn does(&self, act: SimulateAct) -> anyhow::Result<()> {
        self.stage.carrier.call(act).await?;
        Ok(())
    }

    /// Waits until something is heard that contains `part`, and gives it.
    async fn hears(&self, part: &str) -> anyhow::Result<String> {
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut seen = 0;
        loop {
            let (utterances, status) = self.listen(seen).await?;
            if let Some(found) = utterances.iter().find(|words| words.contains(part)) {
                return Ok(found.clone());
            }
            seen = utterances.len();
            ensure!(
                !status.is_final() && Instant::now() < deadline,
                "nobody said «{part}»; heard: {utterances:?}"
            );
        }
    }

    async fn is_let_go(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut seen = 0;
        loop {
            let (utterances, status) = self.listen(seen).await?;
            if status == CallStatus::Completed {
                return Ok(());
            }
            seen = utterances.len();
            ensure!(Instant::now() < deadline, "the call does not end: it is {status}");
        }
    }

    async fn listen(&self, seen: usize) -> anyhow::Result<(Vec<String>, CallStatus)> {
        let question = SimulateHear { call_sid: self.call_sid.clone(), seen, wait_seconds: 2 };
        let heard = self.stage.carrier.call(question).await?.reply;
        Ok((heard.utterances, heard.status))
    }
}
