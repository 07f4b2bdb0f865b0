//! The operator sets up an agent with a number of its own and limits it; the agent works until a limit stops it.

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use shared::model::PhoneNumber;
use shared::protocol::SimulateText;

use super::{some_number, text_of};
use crate::config::Secret;
use crate::rehearse::agent::Agent;
use crate::rehearse::report::Report;
use crate::rehearse::stage::Stage;

const NAME: &str = "Night desk";
const A_MINUTE: u32 = 3;

pub(super) async fn play(stage: &Stage, report: &mut Report) -> anyhow::Result<()> {
    let mut operator = Agent::attach_as(stage, &stage.admin_token).await?;
    let asked = json!({ "displayName": NAME, "capabilities": ["sms", "voice"] });
    let refusal = operator.call_in_vain("comms_provision_channels", asked.clone()).await?;
    ensure!(text_of(&refusal, "hint")?.contains("confirm"), "a number was offered in other words: {refusal}");
    report.line("operator", &format!("wants an agent «{NAME}» with a number"))?;
    report.line("relay", &format!("{} {}", text_of(&refusal, "message")?, text_of(&refusal, "hint")?))?;
    let mut confirmed = asked;
    confirmed["confirm"] = true.into();
    let agent = operator.call("comms_provision_channels", confirmed).await?;
    let id = text_of(&agent, "agentId")?.to_owned();
    let played = work(stage, &mut operator, &agent, report).await;
    // Whatever happened, the number goes back.
    let released =
        operator.call("comms_deprovision_channels", json!({ "agentId": id, "confirm": true })).await;
    played?;
    let released = released?;
    ensure!(released["notUndone"].as_array().is_some_and(Vec::is_empty), "something is left: {released}");
    report.line("operator", "takes the channels back; the number is released")?;
    operator.detach().await
}

async fn work(
    stage: &Stage,
    operator: &mut Agent,
    provisioned: &Value,
    report: &mut Report,
) -> anyhow::Result<()> {
    let channels = provisioned["channels"].as_array().context("the answer has no channels")?;
    let sms = channels.iter().find(|channel| channel["channel"] == "sms").context("there is no number")?;
    let number: PhoneNumber = text_of(sms, "address")?.parse()?;
    report.line("relay", &format!("buys {number} and shows the agent's token, once"))?;
    let limits = json!({ "maxActionsPerMinute": A_MINUTE });
    let wanted = json!({ "agentId": text_of(provisioned, "agentId")?, "limits": limits });
    let in_force = operator.call("comms_set_agent_limits", wanted).await?;
    ensure!(in_force["limits"]["maxActionsPerMinute"] == A_MINUTE, "another limit is in force: {in_force}");
    report.line("operator", &format!("allows it {A_MINUTE} actions a minute"))?;

    let mut agent = Agent::attach_as(stage, &Secret::new(text_of(provisioned, "token")?)).await?;
    let person = some_number()?;
    let text = SimulateText { from: person.clone(), to: number, body: "Is anybody there?".to_owned() };
    let sent = stage.carrier.call(text).await?.reply;
    ensure!(sent.webhook_status == Some(200), "our webhook answered {:?}", sent.webhook_status);
    let page = agent.call("comms_get_messages", json!({ "waitSeconds": 20 })).await?;
    ensure!(page["messages"][0]["from"] == person.as_str(), "the text went to another agent: {page}");
    report.line("person", "texts the new number; the new agent has it")?;
    for count in 1..=A_MINUTE {
        let body = format!("Yes. This is answer {count}.");
        agent.call("comms_send_message", json!({ "to": person.as_str(), "body": body })).await?;
    }
    report.line("agent", &format!("sends {A_MINUTE} texts, then one more"))?;
    let one_more = json!({ "to": person.as_str(), "body": "And one more." });
    let refusal = agent.call_in_vain("comms_send_message", one_more).await?;
    ensure!(refusal["code"] == "rate_limited", "it was refused for another reason: {refusal}");
    ensure!(refusal["retryAfterSeconds"].is_u64(), "it was not told when to come back: {refusal}");
    report.line("relay", &format!("{} {}", text_of(&refusal, "message")?, text_of(&refusal, "hint")?))?;
    agent.detach().await
}
