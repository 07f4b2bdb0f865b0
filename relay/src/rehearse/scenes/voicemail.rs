//! Nobody is attached: the answering machine takes the call, and the agent gets the voicemail on attaching.

use anyhow::{Context, ensure};
use serde_json::json;
use shared::protocol::SimulateCall;

use super::{Person, number, our_number, text_of};
use crate::rehearse::agent::Agent;
use crate::rehearse::report::Report;
use crate::rehearse::stage::Stage;

const WHO: &str = "This is Ann from the bakery.";
const WHAT: &str = "Your cake is ready to be picked up.";
const WHEN: &str = "Call me back after five, on this number.";

pub(super) async fn play(stage: &Stage, report: &mut Report) -> anyhow::Result<()> {
    let call = SimulateCall { from: number("+12025550178")?, to: our_number()? };
    let placed = stage.carrier.call(call).await?.reply;
    report.line("person", "calls; no agent is attached")?;
    let person = Person { stage, call_sid: placed.call_sid };
    let words = relay_core::call::Words::default();
    let asked = [(&words.apology, WHO), (&words.ask_message, WHAT), (&words.ask_callback, WHEN)];
    for (question, answer) in asked {
        let question = person.hears(question).await?;
        report.line("machine", &question)?;
        person.says(answer).await?;
        report.line("person", answer)?;
    }
    let thanks = person.hears(&words.thanks).await?;
    report.line("machine", &thanks)?;
    person.is_let_go().await?;

    let mut agent = Agent::attach(stage).await?;
    let first = agent.call("comms_ping", json!({ "message": "back" })).await?;
    let waiting = first["unread"]["voicemails"].as_i64();
    ensure!(waiting == Some(1), "the first result does not tell of the voicemail: {first}");
    report.line("agent", "attaches; the first tool result tells of 1 voicemail")?;
    let page = agent.call("comms_get_messages", json!({})).await?;
    let entries = page["messages"].as_array().context("the answer has no messages")?;
    let voicemail = entries.iter().find(|entry| entry["kind"] == "voicemail");
    let text = text_of(voicemail.context("there is no voicemail")?, "text")?;
    for part in [WHO, WHAT, WHEN] {
        ensure!(text.contains(part), "the voicemail misses «{part}»: {text}");
    }
    report.line("agent", "has the voicemail: who, what, and when to call back")?;
    agent.detach().await
}
