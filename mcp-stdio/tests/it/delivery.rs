//! What was handed over counts as read once the host has the answer, and not before.

use mcp_stdio::{Selection, Server};
use serde_json::json;
use shared::ids::{LeaseId, TurnId};
use shared::protocol::{ConfirmRead, Request};
use tempfile::TempDir;

use crate::fake_relay::{FakeRelay, Reaction, heard, page, turn};
use crate::{Host, connected, settings};

#[tokio::test]
async fn messages_are_confirmed_after_the_answer() {
    let (mut host, relay, _home) = connected().await;
    let lease = LeaseId::generate();
    relay.script.then(Reaction::Reply(page(Some(&lease))));
    let result = host.call("comms_get_messages", json!({})).await;
    assert!(result["structuredContent"].get("lease").is_none());
    assert!(matches!(relay.request().await, Request::GetMessages(_)));
    assert_eq!(relay.request().await, Request::ConfirmRead(ConfirmRead::Messages { lease }));
}

#[tokio::test]
async fn messages_are_not_confirmed_while_the_host_has_not_read_the_answer() {
    let home = TempDir::new().unwrap();
    let relay = FakeRelay::start(home.path()).await;
    let mut host = Host::with_buffer(Server::new(settings(home.path()), &Selection::default()).unwrap(), 16);
    host.initialize("claude-code").await;
    let lease = LeaseId::generate();
    relay.script.then(Reaction::Reply(page(Some(&lease))));
    host.send("tools/call", json!({ "name": "comms_get_messages", "arguments": {} })).await;
    assert!(matches!(relay.request().await, Request::GetMessages(_)));
    for _ in 0..5 {
        host.send("tools/call", json!({ "name": "comms_ping", "arguments": { "message": "hi" } })).await;
        assert!(matches!(relay.request().await, Request::Ping(_)));
    }
    host.read().await;
    assert_eq!(relay.request().await, Request::ConfirmRead(ConfirmRead::Messages { lease }));
}

#[tokio::test]
async fn a_page_without_a_lease_confirms_nothing() {
    let (mut host, relay, _home) = connected().await;
    host.call("comms_get_messages", json!({ "markRead": false })).await;
    host.call("comms_ping", json!({ "message": "hi" })).await;
    assert!(matches!(relay.request().await, Request::GetMessages(_)));
    assert!(matches!(relay.request().await, Request::Ping(_)));
}

#[tokio::test]
async fn what_was_heard_while_speaking_is_confirmed_up_to_the_last_turn() {
    let (mut host, relay, _home) = connected().await;
    let (first, last) = (TurnId::generate(), TurnId::generate());
    relay.script.then(Reaction::Reply(heard(&[turn(&first), turn(&last)])));
    host.call("comms_send_message", json!({ "callSid": "CA1", "body": "hi" })).await;
    assert!(matches!(relay.request().await, Request::Speak(_)));
    let expected = ConfirmRead::Turns { call_sid: "CA1".parse().unwrap(), until: last };
    assert_eq!(relay.request().await, Request::ConfirmRead(expected));
}

#[rstest::rstest]
#[case(true)]
#[case(false)]
#[tokio::test]
async fn what_was_heard_while_listening_is_confirmed_if_it_shall_count_as_read(#[case] mark_read: bool) {
    let (mut host, relay, _home) = connected().await;
    let turn_id = TurnId::generate();
    let turns = json!({
        "turns": [turn(&turn_id)], "turnId": turn_id, "silenceSeconds": 0, "callStatus": "in-progress",
    });
    relay.script.then(Reaction::Reply(turns));
    host.call("comms_get_messages", json!({ "callSid": "CA1", "markRead": mark_read })).await;
    host.close();
    assert!(host.ended().await);
    assert!(matches!(relay.request().await, Request::ListenToCall(_)));
    let next = relay.next_if_any().await;
    let expected = ConfirmRead::Turns { call_sid: "CA1".parse().unwrap(), until: turn_id };
    assert_eq!(next, mark_read.then_some(Request::ConfirmRead(expected)));
}

#[tokio::test]
async fn an_answer_that_the_host_has_cancelled_confirms_nothing() {
    let (mut host, relay, _home) = connected().await;
    relay.script.then(Reaction::Wait);
    let id = host.send("tools/call", json!({ "name": "comms_get_messages", "arguments": {} })).await;
    assert!(matches!(relay.request().await, Request::GetMessages(_)));
    host.write(&json!({
        "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": id },
    }))
    .await;
    relay.cancelled().await;
    host.call("comms_ping", json!({ "message": "hi" })).await;
    assert!(matches!(relay.request().await, Request::Ping(_)));
}
