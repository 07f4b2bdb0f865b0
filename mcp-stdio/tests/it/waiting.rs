//! Calls that wait: how long, what the host hears meanwhile, and what ends them.

use mcp_stdio::{Selection, Server};
use serde_json::{Value, json};
use shared::protocol::{GetMessages, ListenToCall, Request, Speak};
use tempfile::TempDir;

use crate::fake_relay::{FakeRelay, Reaction};
use crate::{Host, connected, settings};

fn wait_of(request: &Request) -> Option<u64> {
    match request {
        Request::GetMessages(GetMessages { wait_seconds, .. })
        | Request::ListenToCall(ListenToCall { wait_seconds, .. })
        | Request::Speak(Speak { wait_seconds, .. }) => *wait_seconds,
        other => panic!("{other:?}"),
    }
}

#[rstest::rstest]
#[case("claude-code", "comms_get_messages", json!({ "until": "next", "waitSeconds": 1000 }), Some(110))]
#[case("cursor-vscode", "comms_get_messages", json!({ "callSid": "CA1", "waitSeconds": 1000 }), Some(45))]
#[case("codex-mcp-client", "comms_send_message", json!({ "callSid": "CA1", "body": "", "waitSeconds": 1000 }), Some(280))]
#[case("goose", "comms_send_message", json!({ "callSid": "CA1", "body": "" }), Some(25))]
#[case("goose", "comms_get_messages", json!({ "callSid": "CA1" }), Some(25))]
#[case("goose", "comms_get_messages", json!({}), None)]
#[tokio::test]
async fn a_wait_fits_the_host(
    #[case] name: &str,
    #[case] tool: &str,
    #[case] arguments: Value,
    #[case] wait: Option<u64>,
) {
    let home = TempDir::new().unwrap();
    let relay = FakeRelay::start(home.path()).await;
    let mut host = Host::start(Server::new(settings(home.path()), &Selection::default()).unwrap());
    host.initialize(name).await;
    host.call(tool, arguments).await;
    assert_eq!(wait_of(&relay.request().await), wait);
}

#[tokio::test]
async fn a_waiting_call_reports_progress_every_five_seconds() {
    let (mut host, relay, _home) = connected().await;
    host.call("comms_ping", json!({ "message": "connects" })).await;
    relay.script.then(Reaction::Wait);
    tokio::time::pause();
    let params = json!({
        "name": "comms_get_messages", "arguments": { "until": "next" }, "_meta": { "progressToken": "p" },
    });
    host.send("tools/call", params).await;
    for seconds in [5.0, 10.0] {
        let expected = json!({
            "jsonrpc": "2.0", "method": "notifications/progress",
            "params": { "progressToken": "p", "progress": seconds, "message": "waiting" },
        });
        assert_eq!(host.read().await, expected);
    }
}

#[tokio::test]
async fn cancelling_reaches_the_relay_and_the_session_goes_on() {
    let (mut host, relay, _home) = connected().await;
    relay.script.then(Reaction::Wait);
    let id = host.send("tools/call", json!({ "name": "comms_get_messages", "arguments": {} })).await;
    relay.request().await;
    let params = json!({ "requestId": id, "reason": "the user said so" });
    host.write(&json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params })).await;
    relay.cancelled().await;
    assert_eq!(host.call("comms_ping", json!({ "message": "hi" })).await["isError"], false);
}

#[tokio::test]
async fn a_host_that_goes_ends_a_waiting_call_at_once() {
    let (mut host, relay, _home) = connected().await;
    relay.script.then(Reaction::Wait);
    host.send("tools/call", json!({ "name": "comms_get_messages", "arguments": {} })).await;
    relay.request().await;
    let closed = std::time::Instant::now();
    host.close();
    assert!(host.ended().await);
    // The library alone would wait for five seconds.
    assert!(closed.elapsed() < std::time::Duration::from_secs(4));
    relay.cancelled().await;
}

#[tokio::test]
async fn a_signal_ends_a_waiting_call_at_once() {
    let (mut host, relay, _home) = connected().await;
    relay.script.then(Reaction::Wait);
    host.send("tools/call", json!({ "name": "comms_get_messages", "arguments": {} })).await;
    relay.request().await;
    host.signal();
    assert!(host.ended().await);
}
