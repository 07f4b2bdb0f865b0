//! The table of all tools, targets and sessions.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tests::relay::PERSON;

use super::{Stage, Told, Who, live_call};

/// Whom a call is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Own,
    Foreign,
    Absent,
}

impl Target {
    const ALL: [Self; 3] = [Self::Own, Self::Foreign, Self::Absent];

    fn id(self, who: Who, tool: &str) -> &'static str {
        match (self, tool) {
            (Self::Own, _) => who.own(),
            // What is taken away here is needed nowhere else, and what is made here is absent nowhere else.
            (Self::Foreign, "comms_deprovision_channels") => "spare",
            (Self::Foreign, _) => "support",
            (Self::Absent, "comms_provision_channels") => "newcomer",
            (Self::Absent, "comms_onboard_customer") => "second-newcomer",
            (Self::Absent, _) => "nobody",
        }
    }
}

const AGENTS_TOOLS: [&str; 9] = [
    "comms_ping",
    "comms_send_message",
    "comms_make_call",
    "comms_send_voice_message",
    "comms_get_messages",
    "comms_transfer_call",
    "comms_get_channel_status",
    "comms_get_usage_dashboard",
    "comms_get_billing_summary",
];
const ADMINS_TOOLS: [&str; 6] = [
    "comms_provision_channels",
    "comms_deprovision_channels",
    "comms_onboard_customer",
    "comms_register_provider",
    "comms_set_agent_limits",
    "comms_set_billing_config",
];
/// Its agent is for whom it is called, and not what it is about.
const ABOUT_NO_AGENT: &str = "comms_register_provider";

/// Good arguments, but for the agent.
fn arguments(tool: &str, agent: &str) -> Result<Value> {
    let mut arguments = match tool {
        "comms_ping" => json!({ "message": "hi" }),
        "comms_send_message" => json!({ "to": PERSON, "body": "hello" }),
        "comms_make_call" => json!({ "to": PERSON }),
        "comms_send_voice_message" => json!({ "to": PERSON, "text": "hello" }),
        "comms_get_messages" => json!({ "unread": true }),
        "comms_transfer_call" => json!({ "callSid": "CA1", "to": "+12025550148" }),
        "comms_get_channel_status" | "comms_get_usage_dashboard" | "comms_get_billing_summary" => json!({}),
        "comms_provision_channels" | "comms_onboard_customer" => {
            json!({ "displayName": "New", "capabilities": ["sms"], "confirm": true })
        }
        "comms_deprovision_channels" => json!({ "confirm": true }),
        "comms_register_provider" => json!({
            "provider": "twilio", "verify": false, "activate": false,
            "credentials": { "accountSid": "AC00000000000000000000000000000001", "authToken": "t" },
        }),
        "comms_set_agent_limits" => json!({ "limits": { "maxActionsPerDay": 400 } }),
        "comms_set_billing_config" => json!({ "markupPercent": 10 }),
        other => anyhow::bail!("no arguments for {other}"),
    };
    arguments["agentId"] = json!(agent);
    Ok(arguments)
}

/// `ok`, or the code of the failure.
fn expected(tool: &str, who: Who, target: Target) -> &'static str {
    let is_admins = ADMINS_TOOLS.contains(&tool);
    match (who, target) {
        (Who::Agent | Who::LocalUser, Target::Foreign | Target::Absent)
            if !is_admins || tool == ABOUT_NO_AGENT =>
        {
            "not_found"
        }
        (Who::Agent | Who::LocalUser, _) if is_admins => "approval_pending",
        (Who::Agent | Who::LocalUser, _) => "ok",
        (Who::Admin, target) => match (tool, target) {
            // A new agent must be absent; the default agent stays.
            ("comms_provision_channels" | "comms_onboard_customer", Target::Absent) => "ok",
            ("comms_provision_channels" | "comms_onboard_customer", _)
            | ("comms_deprovision_channels", Target::Own) => "invalid_input",
            (_, Target::Absent) => "not_found",
            (_, Target::Own | Target::Foreign) => "ok",
        },
    }
}

/// What a failure says, whoever it is about and whatever number its question has.
fn masked(told: &Told, agent: &str) -> String {
    let (Told::Result(text) | Told::Failure(text)) = told;
    let text = text.replace(agent, "«agent»");
    told.approval_id().map_or(text.clone(), |id| text.replace(&id, "«question»"))
}

async fn cell(stage: &mut Stage, tool: &str, who: Who, target: Target) -> Result<Told> {
    let agent = target.id(who, tool);
    let mut arguments = arguments(tool, agent)?;
    if tool == "comms_transfer_call" && expected(tool, who, target) == "ok" {
        arguments["callSid"] = json!(live_call(stage, who, agent).await?);
    }
    let told = stage.call(who, tool, arguments).await?;
    if let Some(said) = told.result().ok().filter(|result| result.get("agentId").is_some()) {
        assert_eq!(said["agentId"], agent, "{tool} {who:?} {target:?}");
    }
    Ok(told)
}

#[tokio::test]
async fn every_tool_knows_for_whom_it_may_be_called() -> Result<()> {
    let mut stage = Stage::set().await?;
    let (mut told, mut wanted) = (Vec::new(), Vec::new());
    for tool in AGENTS_TOOLS.into_iter().chain(ADMINS_TOOLS) {
        for who in Who::ALL {
            let mut refusals = Vec::new();
            for target in Target::ALL {
                let answer =
                    cell(&mut stage, tool, who, target).await.with_context(|| format!("{tool} {who:?}"))?;
                told.push((tool, who, target, answer.outcome()?));
                wanted.push((tool, who, target, expected(tool, who, target).to_owned()));
                refusals.push(masked(&answer, target.id(who, tool)));
            }
            // To everybody but an admin, who is there and who is not is the same to the byte.
            if who != Who::Admin {
                assert_eq!(refusals[1], refusals[2], "{tool} {who:?}");
            }
        }
    }
    assert_eq!((told.len(), told), (135, wanted));
    stage.end().await
}

#[tokio::test]
async fn what_is_refused_is_not_done_in_anybodys_name() -> Result<()> {
    let mut stage = Stage::set().await?;
    for who in [Who::Agent, Who::LocalUser] {
        for tool in ["comms_send_message", "comms_make_call", "comms_send_voice_message"] {
            let told = stage.call(who, tool, arguments(tool, "support")?).await?;
            assert_eq!(told.outcome()?, "not_found", "{tool}");
        }
    }
    let usage =
        stage.call(Who::Admin, "comms_get_usage_dashboard", json!({ "period": "all" })).await?.result()?;
    assert_eq!((&usage["cost"], &usage["byChannel"]), (&json!("0.00"), &json!({})));
    stage.end().await
}

#[tokio::test]
async fn an_admin_sends_in_the_name_of_whom_it_names() -> Result<()> {
    let mut stage = Stage::set().await?;
    let mut numbers = Vec::new();
    for agent in ["default", "sales", "support"] {
        let sent =
            stage.call(Who::Admin, "comms_send_message", arguments("comms_send_message", agent)?).await?;
        let status = json!({ "agentId": agent });
        let status = stage.call(Who::Admin, "comms_get_channel_status", status).await?.result()?;
        let channels = status["channels"].as_array().context("no channels")?.clone();
        let own = channels.into_iter().find(|channel| channel["channel"] == "sms").context("no number")?;
        assert_eq!(sent.result()?["from"], own["address"]);
        numbers.push(own["address"].to_string());
    }
    numbers.sort();
    numbers.dedup();
    assert_eq!(numbers.len(), 3, "each has a number of its own");
    stage.end().await
}

#[tokio::test]
async fn a_session_ends_with_its_token() -> Result<()> {
    let mut stage = Stage::set().await?;
    let ping = json!({ "message": "hi" });
    assert_eq!(stage.call(Who::Agent, "comms_ping", ping.clone()).await?.outcome()?, "ok");
    let gone = json!({ "agentId": "sales", "confirm": true });
    stage.call(Who::Admin, "comms_deprovision_channels", gone).await?.result()?;
    assert_eq!(stage.call(Who::Agent, "comms_ping", ping).await?.outcome()?, "auth_required");
    stage.end().await
}
