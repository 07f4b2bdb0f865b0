//! The link to the relay: made late, made again, and honest about what it does not know.

use mcp_stdio::{Selection, Server, Settings};
use serde_json::{Value, json};
use shared::protocol::Request;
use tempfile::TempDir;

use crate::fake_relay::{FakeRelay, Reaction};
use crate::{Host, connected, settings};

#[tokio::test]
async fn nothing_is_connected_before_the_first_call() {
    let home = TempDir::new().unwrap();
    let mut host = Host::start(Server::new(settings(home.path()), &Selection::default()).unwrap());
    host.initialize("claude-code").await;
    host.ask("tools/list", json!({})).await;
    let relay = FakeRelay::start(home.path()).await;
    assert_eq!(host.call("comms_ping", json!({ "message": "hi" })).await["isError"], false);
    relay.hello().await;
}

#[tokio::test]
async fn the_relay_hears_who_the_host_is_and_gets_the_token() {
    let home = TempDir::new().unwrap();
    let relay = FakeRelay::start(home.path()).await;
    let with_token = Settings { token: Some("cat_secret".into()), ..settings(home.path()) };
    let mut host = Host::start(Server::new(with_token, &Selection::default()).unwrap());
    host.initialize("claude-code").await;
    host.call("comms_ping", json!({ "message": "hi" })).await;
    let hello = relay.hello().await;
    let name = hello.host.map(|host| (host.name, host.version));
    assert_eq!((name, hello.token), (Some(("claude-code".into(), "9".into())), Some("cat_secret".into())));
}

#[tokio::test]
async fn without_a_relay_the_call_says_how_to_start_one() {
    let home = TempDir::new().unwrap();
    let mut host = Host::start(Server::new(settings(home.path()), &Selection::default()).unwrap());
    host.initialize("claude-code").await;
    let expected = json!({
        "code": "relay_unavailable", "message": "no relay is running", "retryable": true,
        "hint": "Ask the user to start it with `comms-relay run`.",
    });
    assert_eq!(host.failing("comms_ping", json!({ "message": "hi" })).await, expected);
}

#[tokio::test]
async fn a_relay_that_was_started_again_is_found_again() {
    let (mut host, relay, home) = connected().await;
    host.call("comms_ping", json!({ "message": "hi" })).await;
    relay.crash().await;
    let _relay = FakeRelay::start(home.path()).await;
    assert_eq!(host.call("comms_ping", json!({ "message": "hi" })).await["isError"], false);
}

/// The connection breaks while this call runs, and a new one can be had at once.
async fn breaking_under(tool: &str, arguments: Value) -> (Host, FakeRelay, TempDir) {
    let (mut host, relay, home) = connected().await;
    relay.script.then(Reaction::Wait);
    host.send("tools/call", json!({ "name": tool, "arguments": arguments })).await;
    relay.request().await;
    relay.break_connections();
    (host, relay, home)
}

#[tokio::test]
async fn a_question_is_asked_again() {
    let (mut host, relay, _home) = breaking_under("comms_get_messages", json!({})).await;
    assert_eq!(host.read().await["result"]["isError"], false);
    assert!(matches!(relay.request().await, Request::GetMessages(_)));
}

#[rstest::rstest]
#[case("comms_send_message", json!({ "to": "+15550101", "body": "b", "idempotencyKey": "k" }), "Give the same idempotencyKey again: nothing is done twice.", true)]
#[case("comms_make_call", json!({ "to": "+15550101", "idempotencyKey": "k" }), "Give the same idempotencyKey again: nothing is done twice.", true)]
#[case("comms_send_message", json!({ "callSid": "CA1", "body": "b", "turnId": "01890a5d-ac96-774b-bcce-b302099a8057" }), "Give the same turnId again: nothing is done twice.", true)]
#[case("comms_send_message", json!({ "to": "+15550101", "body": "b" }), "Do not repeat it blindly: look with comms_get_messages first.", false)]
#[tokio::test]
async fn an_action_is_not_repeated(
    #[case] tool: &str,
    #[case] arguments: Value,
    #[case] hint: &str,
    #[case] retryable: bool,
) {
    let (mut host, relay, _home) = breaking_under(tool, arguments).await;
    let text = host.read().await["result"]["content"][0]["text"].as_str().unwrap().to_owned();
    let error = serde_json::from_str::<Value>(&text).unwrap()["error"].clone();
    let got = (&error["code"], &error["hint"], &error["retryable"]);
    assert_eq!(got, (&json!("outcome_unknown"), &json!(hint), &json!(retryable)));
    host.call("comms_ping", json!({ "message": "hi" })).await;
    assert!(matches!(relay.request().await, Request::Ping(_)));
}
