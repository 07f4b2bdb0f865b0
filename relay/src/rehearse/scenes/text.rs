//! A person texts the agent, who is waiting and answers.

use anyhow::ensure;
use serde_json::json;
use shared::protocol::{SimulateText, SimulatedOutbox};

use super::{number, our_number, text_of};
use crate::rehearse::agent::Agent;
use crate::rehearse::report::Report;
use crate::rehearse::stage::Stage;

const QUESTION: &str = "Hi! Do you still have a table for four tonight?";
const ANSWER: &str = "Yes, at 19:30. Shall I keep it for you?";

pub(super) async fn play(stage: &Stage, agent: &mut Agent, report: &mut Report) -> anyhow::Result<()> {
    let person = number("+12025550147")?;
    let text = SimulateText { from: person.clone(), to: our_number()?, body: QUESTION.to_owned() };
    let (sent, page) = tokio::join!(
        stage.carrier.call(text),
        agent.call("comms_get_messages", json!({ "waitSeconds": 20 })),
    );
    let sent = sent?.reply;
    ensure!(sent.webhook_status == Some(200), "our webhook answered {:?}", sent.webhook_status);
    report.line("person", &format!("texts: {QUESTION}"))?;
    let page = page?;
    let message = &page["messages"][0];
    ensure!(text_of(message, "text")?.contains(QUESTION), "the agent got another text: {message}");
    ensure!(message["from"] == person.as_str(), "the text came from somebody else: {message}");
    report.line("relay", "stored it, then handed it to the waiting agent")?;
    let answer = json!({ "to": person.as_str(), "body": ANSWER, "idempotencyKey": text_of(message, "id")? });
    let receipt = agent.call("comms_send_message", answer.clone()).await?;
    report.line("agent", &format!("answers: {ANSWER}"))?;
    let again = agent.call("comms_send_message", answer).await?;
    ensure!(again["messageId"] == receipt["messageId"], "the same key made two messages");
    let texts = stage.carrier.call(SimulatedOutbox { to: person }).await?.reply;
    let arrived = texts.iter().filter(|text| Some(text.sid.as_str()) == receipt["externalId"].as_str());
    ensure!(arrived.count() == 1, "the answer did not arrive once");
    report.line("person", "has it, once, although the agent sent it twice with one key")
}
