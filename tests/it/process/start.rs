//! The start: what is taken, what was left behind, and who comes first.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;
use futures_util::future::join_all;
use tests::process::{Home, RelayProcess};

use super::comms_relay;

#[tokio::test]
async fn a_taken_port_is_told_with_its_setting_and_its_holder() -> Result<()> {
    let holder = TcpListener::bind("127.0.0.1:0")?;
    let address = holder.local_addr()?.to_string();
    let ended = comms_relay(&Home::temp(), &["run"], &[("COMMS_PUBLIC__LISTEN", &address)]).await?;
    let (name, pid) = (fs::read_to_string("/proc/self/comm")?, std::process::id());
    let line = format!(
        "comms-relay: cannot listen on {address} (public.listen): the port is held by {} (process {pid}); stop \
         that, or set another port in public.listen\n",
        name.trim()
    );
    assert_eq!((ended.code, ended.stdout, ended.stderr), (Some(1), String::new(), line));
    Ok(())
}

/// A file as it is at this moment.
#[derive(PartialEq, Eq)]
struct Seen {
    changed_at: SystemTime,
    content: Vec<u8>,
}

fn files(home: &Home) -> Result<BTreeMap<PathBuf, Seen>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(home.path())? {
        let entry = entry?;
        // A socket cannot be read.
        let content = fs::read(entry.path()).unwrap_or_default();
        files.insert(entry.path(), Seen { changed_at: entry.metadata()?.modified()?, content });
    }
    Ok(files)
}

#[tokio::test]
async fn a_second_relay_of_a_folder_says_which_one_runs_and_touches_nothing() -> Result<()> {
    let home = Home::temp();
    let first = RelayProcess::start(&home, &[]).await?;
    let before = files(&home)?;
    let second = comms_relay(&home, &["run"], &[]).await?;
    let line = format!(
        "comms-relay: another comms-relay (process {}) already runs with this data folder: use it, or stop it \
         first (`comms-relay status` shows it)\n",
        first.pid()
    );
    assert_eq!((second.code, second.stderr), (Some(3), line));
    assert!(files(&home)? == before, "a file was changed");
    Ok(())
}

#[tokio::test]
async fn a_second_relay_gives_up_within_a_second() -> Result<()> {
    let home = Home::temp();
    let _first = RelayProcess::start(&home, &[]).await?;
    let mut fastest = Duration::MAX;
    // The machine may be busy with other tests; waiting for the lock would take long each time.
    for _ in 0..5 {
        let start = Instant::now();
        comms_relay(&home, &["run"], &[]).await?;
        fastest = fastest.min(start.elapsed());
    }
    assert!(fastest < Duration::from_secs(1), "{fastest:?}");
    Ok(())
}

#[tokio::test]
async fn of_twenty_simultaneous_starts_one_runs() -> Result<()> {
    let home = Home::temp();
    let starts = join_all((0..20).map(|_| RelayProcess::start(&home, &[]))).await;
    let (running, others): (Vec<_>, Vec<_>) = starts.into_iter().partition(Result::is_ok);
    let refused = others.iter().filter_map(|start| start.as_ref().err());
    let refused =
        refused.filter(|problem| problem.to_string().contains("already runs with this data folder"));
    assert_eq!((running.len(), refused.count()), (1, 19));
    Ok(())
}

#[tokio::test]
async fn a_file_in_the_place_of_the_socket_is_left_alone() -> Result<()> {
    let home = Home::temp();
    let socket = home.paths().socket();
    fs::write(&socket, "something of somebody's")?;
    let ended = comms_relay(&home, &["run"], &[]).await?;
    let path = socket.display();
    let line = format!(
        "comms-relay: cannot open the local socket {path}: {path} is not a socket: remove it, or set COMMS_HOME \
         to another folder\n"
    );
    assert_eq!((ended.code, ended.stderr), (Some(1), line));
    assert_eq!(fs::read_to_string(&socket)?, "something of somebody's");
    Ok(())
}

#[tokio::test]
async fn a_lock_that_cannot_be_taken_is_no_other_relay() -> Result<()> {
    let home = Home::temp();
    let lock = home.paths().lock_file();
    fs::create_dir(&lock)?;
    let ended = comms_relay(&home, &["run"], &[]).await?;
    let line = format!("comms-relay: cannot lock {}: Is a directory (os error 21)\n", lock.display());
    assert_eq!((ended.code, ended.stderr), (Some(1), line));
    Ok(())
}

#[tokio::test]
async fn a_link_in_the_place_of_the_socket_is_not_followed() -> Result<()> {
    let (home, elsewhere) = (Home::temp(), Home::temp());
    let relay = RelayProcess::start(&elsewhere, &[]).await?;
    symlink(relay.socket(), home.paths().socket())?;
    let ended = comms_relay(&home, &["run"], &[]).await?;
    assert_eq!(ended.code, Some(1));
    assert_eq!(fs::read_link(home.paths().socket())?, relay.socket());
    Ok(())
}
