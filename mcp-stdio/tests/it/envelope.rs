//! What stands beside a call: for whom, and with whose approval.

use serde_json::{Value, json};
use shared::ids::{ApprovalId, LeaseId};
use shared::protocol::{ConfirmRead, Envelope, Request};

use crate::connected;
use crate::fake_relay::{Reaction, page};

fn for_sales() -> Envelope {
    Envelope { agent_id: Some("sales".parse().unwrap()), approval_id: None }
}

#[rstest::rstest]
#[case("comms_ping", json!({ "message": "hi" }))]
#[case("comms_get_messages", json!({}))]
#[case("comms_get_messages", json!({ "callSid": "CA1" }))]
#[case("comms_send_message", json!({ "to": "+15550101", "body": "b" }))]
#[case("comms_send_message", json!({ "to": "+15550101", "body": "b", "channel": "voice" }))]
#[case("comms_send_message", json!({ "callSid": "CA1", "body": "b" }))]
#[case("comms_send_voice_message", json!({ "to": "+15550101", "text": "t" }))]
#[case("comms_make_call", json!({ "to": "+15550101" }))]
#[case("comms_transfer_call", json!({ "callSid": "CA1", "to": "+15550101" }))]
#[case("comms_get_channel_status", json!({}))]
#[case("comms_get_usage_dashboard", json!({}))]
#[case("comms_get_billing_summary", json!({}))]
#[case("comms_register_provider", json!({ "provider": "twilio", "credentials": {} }))]
#[tokio::test]
async fn another_agent_is_named_beside_the_call(#[case] tool: &str, #[case] mut arguments: Value) {
    let (mut host, relay, _home) = connected().await;
    arguments["agentId"] = json!("sales");
    host.call(tool, arguments).await;
    assert_eq!(relay.enveloped().await.1, for_sales());
}

#[rstest::rstest]
#[case("comms_provision_channels", json!({ "displayName": "S", "capabilities": ["sms"] }))]
#[case("comms_onboard_customer", json!({ "displayName": "S", "capabilities": ["sms"] }))]
#[case("comms_deprovision_channels", json!({}))]
#[case("comms_set_agent_limits", json!({ "limits": {} }))]
#[case("comms_set_billing_config", json!({}))]
#[tokio::test]
async fn the_agent_that_a_call_is_about_stays_in_the_call(#[case] tool: &str, #[case] mut arguments: Value) {
    let (mut host, relay, _home) = connected().await;
    arguments["agentId"] = json!("sales");
    host.call(tool, arguments).await;
    let (request, envelope) = relay.enveloped().await;
    let params = serde_json::to_value(request).unwrap()["params"].clone();
    assert_eq!((&params["agentId"], envelope), (&json!("sales"), Envelope::default()));
}

#[rstest::rstest]
#[case("comms_send_message", json!({ "to": "+15550101", "body": "b" }))]
#[case("comms_send_message", json!({ "to": "+15550101", "body": "b", "channel": "voice" }))]
#[case("comms_send_voice_message", json!({ "to": "+15550101", "text": "t" }))]
#[case("comms_make_call", json!({ "to": "+15550101" }))]
#[case("comms_transfer_call", json!({ "callSid": "CA1", "to": "+15550101" }))]
#[case("comms_provision_channels", json!({ "displayName": "S", "capabilities": ["sms"] }))]
#[case("comms_onboard_customer", json!({ "displayName": "S", "capabilities": ["sms"] }))]
#[case("comms_deprovision_channels", json!({ "agentId": "sales" }))]
#[case("comms_register_provider", json!({ "provider": "twilio", "credentials": {} }))]
#[case("comms_set_agent_limits", json!({ "agentId": "sales", "limits": {} }))]
#[case("comms_set_billing_config", json!({ "agentId": "sales" }))]
#[tokio::test]
async fn an_approval_stands_beside_the_call(#[case] tool: &str, #[case] mut arguments: Value) {
    let (mut host, relay, _home) = connected().await;
    let id = ApprovalId::generate();
    arguments["approvalId"] = json!(id);
    host.call(tool, arguments).await;
    assert_eq!(relay.enveloped().await.1, Envelope { agent_id: None, approval_id: Some(id) });
}

#[rstest::rstest]
#[case("comms_ping", json!({ "message": "hi" }), "unknown argument `approvalId`")]
#[case("comms_get_messages", json!({}), "unknown argument `approvalId`")]
#[case("comms_send_message", json!({ "callSid": "CA1", "body": "b" }), "`approvalId` does not go with callSid")]
#[tokio::test]
async fn an_approval_is_refused_where_nothing_is_approved(
    #[case] tool: &str,
    #[case] mut arguments: Value,
    #[case] message: &str,
) {
    let (mut host, _relay, _home) = connected().await;
    arguments["approvalId"] = json!(ApprovalId::generate());
    assert_eq!(host.failing(tool, arguments).await["message"], message);
}

#[tokio::test]
async fn what_was_read_for_another_agent_is_confirmed_for_it() {
    let (mut host, relay, _home) = connected().await;
    let lease = LeaseId::generate();
    relay.script.then(Reaction::Reply(page(Some(&lease))));
    host.call("comms_get_messages", json!({ "agentId": "sales" })).await;
    relay.request().await;
    let expected = (Request::ConfirmRead(ConfirmRead::Messages { lease }), for_sales());
    assert_eq!(relay.enveloped().await, expected);
}
