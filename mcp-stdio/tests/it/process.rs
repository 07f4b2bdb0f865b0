//! The binary itself: exit codes, signals, and the relay that it starts.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

use crate::fake_relay::FakeRelay;
use crate::soon;

const BINARY: &str = env!("CARGO_BIN_EXE_comms-mcp");

fn command(binary: &Path, home: &Path) -> Command {
    let mut command = Command::new(binary);
    command.env("COMMS_HOME", home).env("PATH", "/usr/bin:/bin").kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Starts the binary, greets, and calls `comms_ping` once; gives the result.
async fn ping(child: &mut Child) -> Value {
    let stdin = child.stdin.as_mut().unwrap();
    let greeting = json!({
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" },
    });
    let call = json!({ "name": "comms_ping", "arguments": { "message": "hi" } });
    for (id, method, params) in [(1, "initialize", greeting), (2, "tools/call", call)] {
        let line = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        stdin.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }
    let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    soon(lines.next_line()).await.unwrap().unwrap();
    let answer = soon(lines.next_line()).await.unwrap().unwrap();
    serde_json::from_str::<Value>(&answer).unwrap()["result"].clone()
}

fn error_of(result: &Value) -> Value {
    let text = result["content"][0]["text"].as_str().unwrap();
    serde_json::from_str::<Value>(text).unwrap()["error"].clone()
}

async fn output(arguments: &[&str]) -> Output {
    let home = TempDir::new().unwrap();
    soon(command(Path::new(BINARY), home.path()).args(arguments).output()).await.unwrap()
}

#[tokio::test]
async fn the_end_of_stdin_is_a_good_end() {
    let output = output(&[]).await;
    assert_eq!((output.status.code(), output.stdout.len()), (Some(0), 0));
}

#[tokio::test]
async fn an_unknown_tool_is_wrong_usage_and_the_names_are_given() {
    let output = output(&["--tools", "comms_ping,comms_fax"]).await;
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text.contains("no tool `comms_fax`") && text.contains("comms_make_call"), "{text}");
}

#[rstest::rstest]
#[case(rustix::process::Signal::TERM)]
#[case(rustix::process::Signal::INT)]
#[tokio::test]
async fn a_signal_ends_it_while_stdin_is_open(#[case] signal: rustix::process::Signal) {
    let home = TempDir::new().unwrap();
    let mut child = command(Path::new(BINARY), home.path()).env("COMMS_AUTOSTART", "0").spawn().unwrap();
    ping(&mut child).await;
    let process = rustix::process::Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
    rustix::process::kill_process(process, signal).unwrap();
    assert_eq!(soon(child.wait()).await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_relay_is_not_started_where_that_is_forbidden() {
    let home = TempDir::new().unwrap();
    let mut child = command(Path::new(BINARY), home.path()).env("COMMS_AUTOSTART", "0").spawn().unwrap();
    assert_eq!(error_of(&ping(&mut child).await)["message"], "no relay is running");
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
}

/// A copy of the binary with a `comms-relay` beside it that is this script.
fn installed(folder: &Path, script: &str) -> PathBuf {
    let (binary, relay) = (folder.join("comms-mcp"), folder.join("comms-relay"));
    fs::copy(BINARY, &binary).unwrap();
    fs::write(&relay, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&relay, fs::Permissions::from_mode(0o755)).unwrap();
    binary
}

#[tokio::test]
async fn a_relay_is_started_from_beside_the_binary_and_without_the_token() {
    let (folder, home) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let told = folder.path().join("told");
    rustix::fs::mknodat(rustix::fs::CWD, &told, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let script = format!("echo \"$* $COMMS_HOME $PWD [$COMMS_TOKEN]\" > {}; exec sleep 30", told.display());
    let binary = installed(folder.path(), &script);
    let mut child = command(&binary, home.path()).env("COMMS_TOKEN", "cat_secret").spawn().unwrap();
    let mut reading = tokio::task::JoinSet::new();
    reading.spawn_blocking(move || fs::read_to_string(told).unwrap());
    let calling = async {
        let said = soon(reading.join_next()).await.unwrap().unwrap();
        (said, FakeRelay::start(home.path()).await)
    };
    let (result, (said, relay)) = tokio::join!(ping(&mut child), calling);
    let folder = home.path().display();
    assert_eq!(said, format!("run --detach {folder} {folder} []\n"));
    assert_eq!(relay.hello().await.token, Some("cat_secret".into()));
    assert_eq!(result["isError"], false);
}

#[tokio::test]
async fn a_relay_that_ends_at_once_is_told_with_the_place_of_its_log() {
    let (folder, home) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let binary = installed(folder.path(), "echo the reason; exit 1");
    let mut child = command(&binary, home.path()).spawn().unwrap();
    let error = error_of(&ping(&mut child).await);
    assert_eq!(error["message"], "the relay was started and ended at once");
    assert!(error["hint"].as_str().unwrap().contains("logs/relay.log"));
    assert_eq!(fs::read_to_string(home.path().join("logs/relay.log")).unwrap(), "the reason\n");
}
