//! `comms-mcp` from the outside: a host on one side, a relay of the test's own on the other.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, also in its helpers")]

mod approvals;
mod delivery;
mod envelope;
mod fake_relay;
mod host;
mod lifecycle;
mod process;
mod reconnecting;
mod results;
mod tool_list;
mod tools;
mod waiting;

use std::path::Path;
use std::time::Duration;

use mcp_stdio::{Selection, Server, Settings};
use shared::paths::Paths;
use tempfile::TempDir;

use fake_relay::FakeRelay;
use host::Host;

/// Fails the test if something that must happen does not.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("it happens soon")
}

fn paths(home: &Path) -> Paths {
    Paths::resolve(Some(home.to_owned())).unwrap()
}

fn settings(home: &Path) -> Settings {
    Settings { paths: paths(home), home_is_given: true, token: None, autostart: false }
}

/// A host and a relay with a server between them; the host has greeted.
async fn connected() -> (Host, FakeRelay, TempDir) {
    let home = TempDir::new().unwrap();
    let relay = FakeRelay::start(home.path()).await;
    let mut host = Host::start(Server::new(settings(home.path()), &Selection::default()).unwrap());
    host.initialize("claude-code").await;
    (host, relay, home)
}
