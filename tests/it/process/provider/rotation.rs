//! The key is replaced: whenever the program that does it is killed, every row has its key.

use std::collections::BTreeMap;
use std::fs;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use rusqlite::Connection;
use tests::process::Home;
use tokio::process::Command;

use super::super::{comms_relay, programs};
use super::{TOKEN, account, emulator, live, provider};

/// What a change goes through on its way to the disk.
const STORING: [&str; 6] = ["fdatasync", "fsync", "pwrite64", "rename", "unlink", "write"];

/// How far it came: how many keys there are, and how often the row was encrypted.
type Reached = (usize, i64);

const BEFORE: Reached = (1, 1);
const AFTER: Reached = (1, 2);

async fn with_account() -> Result<Home> {
    let home = Home::temp();
    let set = provider(&home, &["set", "twilio", "--no-verify"], &[], &account(TOKEN)).await?;
    ensure!(set.code == Some(0), "{set:?}");
    Ok(home)
}

fn reached(home: &Home) -> Result<Reached> {
    let keys = fs::read_to_string(home.path().join("credentials.key"))?.lines().count();
    let db = Connection::open(home.path().join("comms.db"))?;
    Ok((keys, db.query_row("SELECT version FROM provider_credentials", [], |row| row.get(0))?))
}

/// Replaces the key under strace.
async fn rotate_under(strace: &[&str], home: &Home) -> Result<()> {
    let relay = &programs().await?.relay;
    let mut command = Command::new("strace");
    command.args(["-f", "-qq"]).args(strace).arg(relay).args(["provider", "rotate-key"]);
    command.env("COMMS_HOME", home.path()).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    command.output().await.context("failed to run strace").map(drop)
}

/// How often the thread that makes most of them makes each of these calls: strace counts for each thread.
async fn counts() -> Result<BTreeMap<&'static str, usize>> {
    let home = with_account().await?;
    let trace = home.path().join("trace");
    let (calls, out) = (format!("trace={}", STORING.join(",")), trace.to_str().context("no UTF-8")?);
    rotate_under(&["-o", out, "-e", &calls], &home).await?;
    ensure!(reached(&home)? == AFTER);
    let mut by_thread: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let trace = fs::read_to_string(&trace)?;
    for (thread, call) in trace.lines().filter_map(|line| line.split_once(' ')) {
        let call = STORING.into_iter().find(|name| call.trim_start().starts_with(&format!("{name}(")));
        if let Some(call) = call {
            *by_thread.entry((call, thread)).or_default() += 1;
        }
    }
    let most = |call| by_thread.iter().filter(|((name, _), _)| *name == call).map(|(_, count)| *count).max();
    Ok(STORING.into_iter().map(|call| (call, most(call).unwrap_or(0))).collect())
}

#[tokio::test]
async fn a_kill_at_any_point_of_it_leaves_every_row_its_key() -> Result<()> {
    let twilio = emulator().await?;
    let live = live(&twilio.settings.base_url);
    let mut seen: BTreeMap<Reached, usize> = BTreeMap::new();
    for (call, count) in counts().await? {
        for nth in 1..=count {
            let home = with_account().await?;
            let (trace, kill) = (format!("trace={call}"), format!("inject={call}:signal=KILL:when={nth}"));
            rotate_under(&["-o", "/dev/null", "-e", &trace, "-e", &kill], &home).await?;
            *seen.entry(reached(&home)?).or_default() += 1;
            let tested = comms_relay(&home, &["provider", "test", "twilio"], &live).await?;
            ensure!(tested.code == Some(0), "killed at {call} {nth}: {tested:?}");
            let again = comms_relay(&home, &["provider", "rotate-key"], &live).await?;
            let tested = comms_relay(&home, &["provider", "test", "twilio"], &live).await?;
            ensure!(
                (again.code, tested.code) == (Some(0), Some(0)),
                "after {call} {nth}: {again:?} {tested:?}"
            );
            ensure!(reached(&home)?.0 == 1, "a key was kept after {call} {nth}");
        }
    }
    let between = seen.keys().filter(|reached| ![BEFORE, AFTER].contains(reached)).count();
    assert!(between > 0 && seen.contains_key(&BEFORE), "it was not killed at work: {seen:?}");
    Ok(())
}

#[tokio::test]
async fn the_old_key_opens_nothing_afterwards() -> Result<()> {
    let home = with_account().await?;
    let key = home.path().join("credentials.key");
    let old = fs::read(&key)?;
    let rotated = comms_relay(&home, &["provider", "rotate-key"], &[]).await?;
    assert_eq!((rotated.code, reached(&home)?), (Some(0), AFTER), "{rotated:?}");
    fs::write(&key, old)?;
    let tested = comms_relay(&home, &["provider", "test", "twilio"], &[]).await?;
    assert!(tested.stderr.contains("encrypted with another key"), "{tested:?}");
    Ok(())
}

#[tokio::test]
async fn where_nothing_was_stored_there_is_no_key_to_replace() -> Result<()> {
    let home = Home::temp();
    let rotated = comms_relay(&home, &["provider", "rotate-key"], &[]).await?;
    let line =
        "comms-relay: there is no key to replace: one is made with the next credentials that are stored\n";
    assert_eq!((rotated.code, rotated.stderr.as_str()), (Some(1), line));
    Ok(())
}
