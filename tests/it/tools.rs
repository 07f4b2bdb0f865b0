//! `comms-mcp` as a host starts it, against a relay that is a process of its own.

use anyhow::{Context, Result};
use rstest::rstest;
use serde_json::{Value, json};
use shared::ipc::Client;
use shared::protocol::{
    GetMessages, GetStatus, Hello, PROTOCOL_VERSION, PeerProgram, SimulateText, SimulatedOutbox,
};
use tests::process::{Home, McpProcess, RelayProcess};
use tests::relay::{OUR_NUMBER, PERSON};
use tests::wait::until;

const NO_AUTOSTART: [(&str, &str); 1] = [("COMMS_AUTOSTART", "0")];

/// A relay in demo mode, a host's server, and the telephones.
struct Stage {
    home: Home,
    relay: RelayProcess,
    mcp: McpProcess,
    phones: Client,
}

impl Stage {
    async fn set() -> Result<Self> {
        let home = Home::temp();
        let relay = RelayProcess::start(&home, &[]).await?;
        let mcp = connected(&home).await?;
        let phones = client(&relay).await?;
        Ok(Self { home, relay, mcp, phones })
    }

    async fn receive(&self, body: &str) -> Result<()> {
        let text = SimulateText { from: PERSON.parse()?, to: OUR_NUMBER.parse()?, body: body.to_owned() };
        assert_eq!(self.phones.call(text).await?.reply.webhook_status, Some(200));
        Ok(())
    }

    async fn end(self) -> Result<()> {
        assert!(self.relay.terminate().await?.success());
        Ok(())
    }
}

async fn connected(home: &Home) -> Result<McpProcess> {
    let mut mcp = McpProcess::start(home, &[], &NO_AUTOSTART).await?;
    mcp.initialize("claude-code").await?;
    Ok(mcp)
}

async fn client(relay: &RelayProcess) -> Result<Client> {
    let client = PeerProgram { name: "test".to_owned(), version: "0".to_owned() };
    let hello = Hello { protocol: PROTOCOL_VERSION, client, host: None, token: None };
    Ok(Client::connect(relay.socket(), &hello).await?)
}

/// The failure that a tool's result tells.
fn failure(result: &Value) -> Result<Value> {
    assert_eq!((&result["isError"], result.get("structuredContent")), (&json!(true), None), "{result}");
    let text = result["content"][0]["text"].as_str().context("no text")?;
    Ok(serde_json::from_str::<Value>(text)?["error"].clone())
}

#[tokio::test]
async fn the_tools_are_listed_by_name() -> Result<()> {
    let mut stage = Stage::set().await?;
    let answer = stage.mcp.request("tools/list", json!({})).await?;
    let tools = answer["result"]["tools"].as_array().context("no tools")?;
    let mut names: Vec<_> = tools.iter().filter_map(|tool| tool["name"].as_str()).collect();
    names.sort_unstable();
    let expected = [
        "comms_deprovision_channels",
        "comms_get_billing_summary",
        "comms_get_channel_status",
        "comms_get_messages",
        "comms_get_usage_dashboard",
        "comms_make_call",
        "comms_onboard_customer",
        "comms_ping",
        "comms_provision_channels",
        "comms_register_provider",
        "comms_send_message",
        "comms_send_voice_message",
        "comms_set_agent_limits",
        "comms_set_billing_config",
        "comms_transfer_call",
    ];
    assert_eq!(names, expected);
    stage.end().await
}

#[tokio::test]
async fn a_ping_reaches_the_relay_and_comes_back() -> Result<()> {
    let mut stage = Stage::set().await?;
    let pong = stage.mcp.call_tool("comms_ping", json!({ "message": "hi" })).await?;
    let told = ["status", "echo", "mode", "agentId"].map(|field| pong["structuredContent"][field].clone());
    assert_eq!(told, ["ok", "hi", "demo", "default"].map(Value::from));
    stage.end().await
}

#[rstest]
#[case::missing("comms_ping", json!({}), "the argument `message` is missing")]
#[case::unknown("comms_ping", json!({ "message": "hi", "colour": "red" }), "unknown argument `colour`")]
#[case::of_another_type("comms_send_message", json!({ "to": PERSON, "body": 7 }), "`body` must be a string")]
#[case::of_no_list("comms_get_messages", json!({ "direction": "sideways" }), "`direction` must be `inbound` or `outbound`")]
#[tokio::test]
async fn an_argument_that_is_wrong_is_named(
    #[case] tool: &str,
    #[case] arguments: Value,
    #[case] message: &str,
) -> Result<()> {
    let mut stage = Stage::set().await?;
    let problem = failure(&stage.mcp.call_tool(tool, arguments).await?)?;
    assert_eq!((&problem["code"], &problem["message"]), (&json!("invalid_input"), &json!(message)));
    stage.end().await
}

#[tokio::test]
async fn a_text_is_sent_and_arrives() -> Result<()> {
    let mut stage = Stage::set().await?;
    let sent = stage.mcp.call_tool("comms_send_message", json!({ "to": PERSON, "body": "hello" })).await?;
    assert_eq!((&sent["isError"], &sent["structuredContent"]["to"]), (&json!(false), &json!(PERSON)));
    let outbox = stage.phones.call(SimulatedOutbox { to: PERSON.parse()? }).await?.reply;
    let bodies: Vec<_> = outbox.into_iter().map(|text| text.body).collect();
    assert_eq!(bodies, ["hello"]);
    stage.end().await
}

#[tokio::test]
async fn a_refusal_of_the_relay_is_a_failure_of_the_tool() -> Result<()> {
    let mut stage = Stage::set().await?;
    let sent =
        stage.mcp.call_tool("comms_send_message", json!({ "to": OUR_NUMBER, "body": "hello" })).await?;
    assert_eq!(failure(&sent)?["code"], "invalid_input");
    stage.end().await
}

#[tokio::test]
async fn a_waiting_call_ends_with_the_text_that_comes_in() -> Result<()> {
    let mut stage = Stage::set().await?;
    let arguments = json!({ "unread": true, "waitSeconds": 20 });
    let call = json!({ "name": "comms_get_messages", "arguments": arguments });
    let id = stage.mcp.send_request("tools/call", call).await?;
    stage.receive("hello").await?;
    let answer = stage.mcp.answer(id).await?;
    let message = &answer["result"]["structuredContent"]["messages"][0];
    assert_eq!((&message["from"], &message["attempt"]), (&json!(PERSON), &json!(1)));
    stage.end().await
}

#[tokio::test]
async fn what_the_host_has_is_read_for_good() -> Result<()> {
    let mut stage = Stage::set().await?;
    stage.receive("hello").await?;
    stage.mcp.call_tool("comms_get_messages", json!({})).await?;
    until("the message to be read", async || {
        let pong = stage.mcp.call_tool("comms_ping", json!({ "message": "x" })).await?;
        Ok(pong["structuredContent"].get("unread").is_none().then_some(()))
    })
    .await?;
    assert_eq!(stage.phones.call(GetMessages::default()).await?.reply.messages, []);
    stage.end().await
}

#[tokio::test]
async fn what_was_not_written_when_the_server_was_killed_is_handed_over_again() -> Result<()> {
    let mut stage = Stage::set().await?;
    // More than a pipe holds, so that the answer cannot be written while the host does not read.
    for _ in 0..60 {
        stage.receive(&"a".repeat(1_600)).await?;
    }
    let call = json!({ "name": "comms_get_messages", "arguments": { "limit": 200 } });
    stage.mcp.send_request("tools/call", call).await?;
    let look = GetMessages { mark_read: Some(false), limit: Some(200), ..GetMessages::default() };
    until("the hand-over to comms-mcp", async || {
        let page = stage.phones.call(look.clone()).await?.reply;
        Ok(page.messages.iter().all(|message| message.attempt == 1).then_some(()))
    })
    .await?;
    let Stage { home, relay, mcp, phones } = stage;
    mcp.kill9().await?;
    let again = GetMessages { wait_seconds: Some(20), limit: Some(200), ..GetMessages::default() };
    let page = phones.call(again).await?.reply;
    let attempts: Vec<_> = page.messages.iter().map(|message| message.attempt).collect();
    assert_eq!(attempts, vec![2; 60]);
    relay.terminate().await?;
    drop(home);
    Ok(())
}

#[tokio::test]
async fn a_relay_that_dies_under_a_waiting_call_is_told_and_its_successor_found() -> Result<()> {
    let Stage { home, relay, mut mcp, phones } = Stage::set().await?;
    let call = json!({ "name": "comms_get_messages", "arguments": { "unread": true, "waitSeconds": 40 } });
    mcp.call_tool("comms_ping", json!({ "message": "first" })).await?;
    let id = mcp.send_request("tools/call", call).await?;
    // The server's session is there beside ours, and what it asked before has been answered.
    assert_eq!(phones.call(GetStatus {}).await?.reply.sessions, 2);
    relay.kill9().await?;
    let answer = mcp.answer(id).await?;
    assert_eq!(failure(&answer["result"])?["code"], "relay_unavailable");
    let successor = RelayProcess::start(&home, &[]).await?;
    let pong = mcp.call_tool("comms_ping", json!({ "message": "second" })).await?;
    assert_eq!(pong["structuredContent"]["echo"], "second");
    successor.terminate().await?;
    Ok(())
}

#[tokio::test]
async fn the_end_of_stdin_ends_it_in_the_middle_of_a_wait() -> Result<()> {
    let mut stage = Stage::set().await?;
    let call = json!({ "name": "comms_get_messages", "arguments": { "unread": true, "waitSeconds": 110 } });
    stage.mcp.call_tool("comms_ping", json!({ "message": "x" })).await?;
    stage.mcp.send_request("tools/call", call).await?;
    stage.mcp.close_stdin();
    assert!(stage.mcp.exited().await?.success());
    until("the end of its session", async || {
        Ok((stage.phones.call(GetStatus {}).await?.reply.sessions == 1).then_some(()))
    })
    .await?;
    stage.end().await
}
