//! What the model sees before it calls anything.

use mcp_stdio::{Selection, Server, UnknownTool};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Host, settings};

async fn tools(selection: &Selection) -> Value {
    let home = TempDir::new().unwrap();
    let mut host = Host::start(Server::new(settings(home.path()), selection).unwrap());
    host.initialize("claude-code").await;
    host.ask("tools/list", json!({})).await["tools"].clone()
}

async fn names(selection: &Selection) -> Vec<String> {
    let tools = tools(selection).await;
    tools.as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_tools_are_these() {
    insta::assert_json_snapshot!(tools(&Selection::default()).await);
}

#[tokio::test]
async fn the_whole_list_costs_less_than_5000_tokens() {
    let bytes = json!({ "tools": tools(&Selection::default()).await }).to_string().len();
    assert!(bytes / 4 < 5000, "{bytes} bytes");
}

#[tokio::test]
async fn every_tool_says_what_it_may_do() {
    for tool in tools(&Selection::default()).await.as_array().unwrap() {
        let hints = tool["annotations"].as_object().unwrap();
        for hint in ["readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"] {
            assert!(hints[hint].is_boolean(), "{} lacks {hint}", tool["name"]);
        }
        assert!(tool["title"].is_string() && tool["outputSchema"].is_object());
        assert!(tool["description"].as_str().unwrap().len() < 1024);
    }
}

#[tokio::test]
async fn schemas_have_nothing_that_a_host_refuses() {
    let text = tools(&Selection::default()).await.to_string();
    for word in ["$ref", "$defs", "\"null\"", "anyOf", "oneOf", "uint", "int64", "$schema"] {
        assert!(!text.contains(word), "{word}");
    }
}

#[tokio::test]
async fn read_only_wins_over_a_list_of_tools() {
    let only = Some(vec!["comms_ping".to_owned(), "comms_send_message".to_owned()]);
    assert_eq!(names(&Selection { read_only: true, only, except: Vec::new() }).await, ["comms_ping"]);
}

#[tokio::test]
async fn read_only_offers_what_only_looks() {
    let expected = [
        "comms_get_billing_summary",
        "comms_get_channel_status",
        "comms_get_messages",
        "comms_get_usage_dashboard",
        "comms_ping",
    ];
    assert_eq!(names(&Selection { read_only: true, ..Selection::default() }).await, expected);
}

#[tokio::test]
async fn the_tools_are_the_15_of_the_contract() {
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
    assert_eq!(names(&Selection::default()).await, expected);
}

#[tokio::test]
async fn only_taking_channels_away_is_destructive() {
    let tools = tools(&Selection::default()).await;
    let destructive =
        tools.as_array().unwrap().iter().filter(|tool| tool["annotations"]["destructiveHint"] == true);
    assert_eq!(
        destructive.map(|tool| tool["name"].clone()).collect::<Vec<_>>(),
        ["comms_deprovision_channels"]
    );
}

#[tokio::test]
async fn excluded_tools_are_not_offered() {
    let selection = Selection { except: vec!["comms_make_call".to_owned()], ..Selection::default() };
    let offered = names(&selection).await;
    assert_eq!((offered.len(), offered.contains(&"comms_make_call".to_owned())), (14, false));
}

#[tokio::test]
async fn a_tool_that_is_not_offered_cannot_be_called() {
    let home = TempDir::new().unwrap();
    let selection = Selection { read_only: true, ..Selection::default() };
    let mut host = Host::start(Server::new(settings(home.path()), &selection).unwrap());
    host.initialize("claude-code").await;
    host.send("tools/call", json!({ "name": "comms_make_call", "arguments": { "to": "+15550100" } })).await;
    assert_eq!(host.read().await["error"]["code"], -32602);
}

#[test]
fn a_name_that_is_no_tools_is_refused_with_the_names() {
    let home = TempDir::new().unwrap();
    let selection = Selection { except: vec!["comms_fax".to_owned()], ..Selection::default() };
    let refused: Option<UnknownTool> = Server::new(settings(home.path()), &selection).err();
    let text = refused.unwrap().to_string();
    assert!(
        text.starts_with("there is no tool `comms_fax`; the tools are comms_deprovision_channels, "),
        "{text}"
    );
}
