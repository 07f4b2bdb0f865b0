//! Another user of the same machine reaches nothing: neither past the folder, nor past a folder that somebody has
//! opened.

use std::fs::{Permissions, set_permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use rustix::process::{Gid, Uid, geteuid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use shared::protocol::{Hello, PROTOCOL_VERSION, PeerProgram};
use tests::process::{Home, RelayProcess};

use super::skip;

const NOBODY: u32 = 65_534;

/// Runs `work` as the user `nobody`, on a thread of its own: on Linux the user belongs to the thread.
async fn as_nobody<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let become_nobody = || {
        let (user, group) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
        set_thread_groups(&[])?;
        set_thread_res_gid(group, group, group)?;
        set_thread_res_uid(user, user, user)
    };
    let thread = std::thread::spawn(move || become_nobody().map(|()| work()));
    let ended = tokio::task::spawn_blocking(|| thread.join()).await?;
    Ok(ended.expect("nothing panics there")?)
}

/// Greets the relay as its clients do; gives how much of an answer comes.
fn greet(socket: &Path) -> io::Result<usize> {
    let client = PeerProgram { name: "test".to_owned(), version: "0".to_owned() };
    let hello = Hello { protocol: PROTOCOL_VERSION, client, host: None, token: None };
    let hello = serde_json::to_vec(&hello)?;
    let length = u32::try_from(hello.len()).expect("a greeting is short").to_be_bytes();
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(&[&length[..], &hello].concat())?;
    stream.read(&mut [0; 4])
}

async fn greet_as_nobody(socket: PathBuf) -> Result<io::Result<usize>> {
    as_nobody(move || greet(&socket)).await
}

#[tokio::test]
async fn another_user_cannot_enter_the_folder() -> Result<()> {
    if !geteuid().is_root() {
        skip("only root can be another user");
        return Ok(());
    }
    let home = Home::temp();
    let relay = RelayProcess::start(&home, &[]).await?;
    let refused = greet_as_nobody(relay.socket().to_owned()).await?.map_err(|problem| problem.kind());
    assert_eq!(refused, Err(ErrorKind::PermissionDenied));
    Ok(())
}

#[tokio::test]
async fn another_user_is_not_answered_even_where_the_folder_is_open() -> Result<()> {
    if !geteuid().is_root() {
        skip("only root can be another user");
        return Ok(());
    }
    let home = Home::temp();
    let relay = RelayProcess::start(&home, &[]).await?;
    set_permissions(home.path(), Permissions::from_mode(0o755))?;
    set_permissions(relay.socket(), Permissions::from_mode(0o666))?;
    let refused = greet_as_nobody(relay.socket().to_owned()).await?;
    // The connection is closed before or while the greeting is written, or before an answer.
    let is_closed = match &refused {
        Ok(answered) => *answered == 0,
        Err(problem) => matches!(problem.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset),
    };
    assert!(is_closed, "{refused:?}");
    assert_eq!(greet(relay.socket())?, 4, "its own user is answered");
    Ok(())
}
