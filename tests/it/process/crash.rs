//! A 2xx means that the message is committed and synced, whenever the relay dies.
//!
//! strace kills the relay at its N-th write, sync or send while texts arrive. Whatever was acknowledged must be in
//! the inbox afterwards, once. The same on a relay that answers before it commits must find something lost: else
//! this test proves nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use tests::process::{Home, RelayProcess};
use tokio::process::Command;
use tokio::sync::Mutex;

use super::carrier::{Carrier, LIVE};
use super::{Left, comms_relay, programs};

const TEXTS: u32 = 200;
/// Homes that are worked on at the same time: one for each core of a small machine.
const AT_ONCE: usize = 2;

/// What a message goes through on its way to the disk.
const STORING: &str = "pwrite64,fdatasync,fsync,ftruncate";
/// What an answer goes through on its way to the carrier.
const ANSWERING: &str = "sendto,writev,write";

/// Dies at the `nth` of `calls` that one of its threads makes.
#[derive(Clone, Copy, Debug)]
struct KillPoint {
    calls: &'static str,
    nth: usize,
}

/// One life of a relay, from outside and from what it left.
#[derive(Debug)]
struct History {
    point: KillPoint,
    died_there: bool,
    acked: BTreeSet<String>,
    left: Left,
}

impl History {
    fn violations(&self) -> Vec<String> {
        let Left { texts, integrity } = &self.left;
        let lost = self.acked.iter().filter(|sid| !texts.contains_key(*sid));
        let lost = lost.map(|sid| format!("{:?}: {sid} was acknowledged and is lost", self.point));
        let doubled = texts.iter().filter(|(_, count)| **count != 1);
        let doubled = doubled.map(|(sid, count)| format!("{:?}: {sid} is stored {count} times", self.point));
        let damaged = (integrity != "ok").then(|| format!("{:?}: {integrity}", self.point));
        lost.chain(doubled).chain(damaged).collect()
    }
}

#[test]
fn a_history_is_judged_by_what_was_acknowledged() {
    let judge = |acked: &[&str], stored: &[(&str, u32)], integrity: &str| {
        let texts = stored.iter().map(|(sid, count)| ((*sid).to_owned(), *count)).collect();
        let history = History {
            point: KillPoint { calls: STORING, nth: 1 },
            died_there: true,
            acked: acked.iter().map(|sid| (*sid).to_owned()).collect(),
            left: Left { texts, integrity: integrity.to_owned() },
        };
        history.violations().len()
    };
    let judged = [
        judge(&["a"], &[("a", 1), ("b", 1)], "ok"),
        judge(&["a", "b"], &[("a", 1)], "ok"),
        judge(&["a"], &[("a", 2)], "ok"),
        judge(&[], &[], "damaged"),
    ];
    assert_eq!(judged, [0, 1, 1, 1]);
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill_at_any_point() -> Result<()> {
    let relay = &programs().await?.relay;
    let points = [spread(relay, STORING, 40).await?, spread(relay, ANSWERING, 20).await?].concat();
    let lives = stream::iter(points.into_iter().enumerate());
    let histories: Vec<History> = lives
        .map(|(number, point)| async move {
            let home = Home::temp();
            let history = live_and_die(relay, &home, point).await?;
            if number % 10 == 0 {
                recover(relay, &home).await.with_context(|| format!("after {point:?}"))?;
            }
            anyhow::Ok(history)
        })
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    let violations: Vec<_> = histories.iter().flat_map(History::violations).collect();
    assert_eq!(violations, [""; 0]);
    let died = histories.iter().filter(|history| history.died_there).count();
    assert!(died >= 50, "only {died} of 60 relays died where they should");
    Ok(())
}

/// The relay that is killed here answers before it commits.
#[tokio::test]
async fn the_same_kills_find_what_a_relay_loses_that_answers_too_early() -> Result<()> {
    let (sound, relay) = (&programs().await?.relay, &build_control("fault-ack-before-sync").await?);
    // Only while it stores: what dies while it answers has lost nothing.
    let points = spread(sound, STORING, 24).await?;
    let lives = stream::iter(points).map(|point| async move {
        let home = Home::temp();
        // In a new home the faulty one may not find what it has just stored, and take nothing.
        RelayProcess::start_program(sound, &[], &home, &LIVE).await?.terminate().await?;
        anyhow::Ok(live_and_die(relay, &home, point).await?.violations())
    });
    let mut lives = lives.buffer_unordered(AT_ONCE);
    while let Some(violations) = lives.try_next().await? {
        if violations.iter().any(|violation| violation.ends_with("was acknowledged and is lost")) {
            return Ok(());
        }
    }
    bail!("no text was lost by a relay that loses texts")
}

/// Kill points all over a life that nothing disturbs.
async fn spread(relay: &Path, calls: &'static str, count: usize) -> Result<Vec<KillPoint>> {
    let home = Home::temp();
    let trace = home.path().join("trace");
    let out = trace.to_str().context("the path is no UTF-8")?;
    let wrapper = ["strace", "-f", "-s", "0", "-o", out, "-e", &format!("trace={calls}")];
    let process = RelayProcess::start_program(relay, &wrapper, &home, &LIVE).await?;
    send_all(&process).await?;
    process.kill9().await?;
    let last = busiest_thread(&std::fs::read_to_string(trace)?);
    // Not quite to the end: how the texts share commits differs from life to life.
    let points = (1..=count).map(|at| KillPoint { calls, nth: (last * at * 7 / (count * 10)).max(1) });
    Ok(points.collect())
}

/// strace counts for each thread, so what counts is the one that makes most of the calls.
fn busiest_thread(trace: &str) -> usize {
    let mut calls: BTreeMap<&str, usize> = BTreeMap::new();
    for (thread, call) in trace.lines().filter_map(|line| line.split_once(' ')) {
        if call.trim_start().starts_with(|first: char| first.is_ascii_lowercase()) {
            *calls.entry(thread).or_default() += 1;
        }
    }
    calls.into_values().max().unwrap_or(0)
}

/// Starts a relay that will die at `point`, sends texts until it has, and looks at what is left.
async fn live_and_die(relay: &Path, home: &Home, point: KillPoint) -> Result<History> {
    let trace = format!("trace={}", point.calls);
    let inject = format!("inject={}:signal=KILL:when={}", point.calls, point.nth);
    // The relay goes when strace goes, or the next life would meet it.
    let wrapper = ["strace", "-f", "-o", "/dev/null", "-e", &trace, "-e", &inject];
    let wrapper = [&wrapper[..], &["setpriv", "--pdeathsig", "KILL"]].concat();
    let (acked, died_there) = match RelayProcess::start_program(relay, &wrapper, home, &LIVE).await {
        Ok(process) => {
            let carrier = Carrier::of(&process)?;
            carrier.texts(TEXTS).await;
            let died_there = carrier.get("/health").await.is_err();
            // Gone already, or alive after all texts: both end here.
            drop(process.kill9().await);
            (carrier.acked(), died_there)
        }
        Err(problem) => {
            let problem = problem.to_string();
            ensure!(!problem.contains("comms-relay: "), "it had another reason to end: {problem}");
            (BTreeSet::new(), true)
        }
    };
    Ok(History { point, died_there, acked, left: Left::by_relay_of(home)? })
}

/// The next relay takes up the home, and all texts, which the carrier sends again.
async fn recover(relay: &Path, home: &Home) -> Result<()> {
    let process = RelayProcess::start_program(relay, &[], home, &LIVE).await?;
    let acked = send_all(&process).await?;
    process.kill9().await?;
    let left = Left::by_relay_of(home)?;
    ensure!(left == Left::once(acked), "{left:?}");
    let verified = comms_relay(home, &["audit", "verify"], &LIVE).await?;
    ensure!(verified.code == Some(0), "{verified:?}");
    Ok(())
}

/// Sends every text to a relay that is to take all of them.
async fn send_all(relay: &RelayProcess) -> Result<BTreeSet<String>> {
    let carrier = Carrier::of(relay)?;
    carrier.texts(TEXTS).await;
    let acked = carrier.acked();
    ensure!(acked.len() == TEXTS as usize, "only {} texts were taken", acked.len());
    Ok(acked)
}

/// A relay with a fault that a test must find, beside the sound one. Asked for once for each fault.
pub(super) async fn build_control(fault: &str) -> Result<PathBuf> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());
    let _turn = ONE_AT_A_TIME.lock().await;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the workspace has a root")?;
    let target = root.join("target/control");
    let build = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--locked", "-p", "relay", "--bin", "comms-relay"])
        .args(["--features", fault, "--target-dir"])
        .arg(&target)
        .current_dir(root)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await?;
    ensure!(build.status.success(), "failed to build: {}", String::from_utf8_lossy(&build.stderr));
    // The next fault takes the same place.
    let kept = target.join(fault);
    if kept.exists() {
        std::fs::remove_file(&kept)?;
    }
    std::fs::hard_link(target.join("debug/comms-relay"), &kept)?;
    Ok(kept)
}
