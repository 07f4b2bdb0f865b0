//! The beginning and the end of a session, in both eras of the protocol.

use mcp_stdio::{Selection, Server};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fake_relay::{FakeRelay, pong};
use crate::{Host, connected, settings};

fn fresh() -> (Host, TempDir) {
    let home = TempDir::new().unwrap();
    let host = Host::start(Server::new(settings(home.path()), &Selection::default()).unwrap());
    (host, home)
}

/// What every request carries since protocol 2026-07-28.
fn modern() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": { "name": "claude-code", "version": "9" },
    })
}

#[tokio::test]
async fn the_server_names_itself_and_has_tools_only() {
    let (mut host, _home) = fresh();
    let answer = host.initialize("claude-code").await;
    assert_eq!(answer["serverInfo"], json!({ "name": "comms-mcp", "version": env!("CARGO_PKG_VERSION") }));
    assert_eq!(answer["capabilities"], json!({ "tools": {} }));
    assert_eq!(answer["protocolVersion"], "2025-11-25");
}

#[tokio::test]
async fn the_instructions_fit_what_hosts_keep_of_them() {
    let (mut host, _home) = fresh();
    let answer = host.initialize("claude-code").await;
    assert!((1..2048).contains(&answer["instructions"].as_str().unwrap().len()));
}

#[tokio::test]
async fn a_modern_host_needs_no_handshake() {
    let home = TempDir::new().unwrap();
    let relay = FakeRelay::start(home.path()).await;
    let mut host = Host::start(Server::new(settings(home.path()), &Selection::default()).unwrap());
    let discovered = host.ask("server/discover", json!({ "_meta": modern() })).await;
    assert_eq!(discovered["capabilities"], json!({ "tools": {} }));
    let params = json!({ "name": "comms_ping", "arguments": { "message": "hi" }, "_meta": modern() });
    let result = host.ask("tools/call", params).await;
    assert_eq!((&result["structuredContent"], &result["resultType"]), (&pong("hi"), &json!("complete")));
    assert_eq!(relay.hello().await.host.map(|host| host.name), Some("claude-code".into()));
}

#[tokio::test]
async fn notifications_before_the_first_request_are_ignored() {
    let (mut host, _home) = fresh();
    host.write(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await;
    host.send("server/discover", json!({ "_meta": modern() })).await;
    host.read().await;
    let params = json!({ "requestId": 1 });
    host.write(&json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params })).await;
    assert_eq!(host.initialize("claude-code").await["serverInfo"]["name"], "comms-mcp");
}

#[tokio::test]
async fn a_line_that_is_no_message_changes_nothing() {
    let (mut host, _relay, _home) = connected().await;
    host.write(&json!("not a message")).await;
    assert!(host.read().await["error"].is_object());
    assert_eq!(host.call("comms_ping", json!({ "message": "hi" })).await["isError"], false);
}

#[tokio::test]
async fn a_host_that_goes_before_greeting_is_no_failure() {
    let (mut host, _home) = fresh();
    host.close();
    assert!(host.ended().await);
}

#[tokio::test]
async fn a_host_that_goes_after_greeting_is_no_failure() {
    let (mut host, _home) = fresh();
    host.initialize("claude-code").await;
    host.close();
    assert!(host.ended().await);
}
