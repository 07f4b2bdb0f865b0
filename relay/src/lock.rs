//! One relay for each data folder: whoever holds the lock on `relay.lock` is it.
//!
//! The operating system frees the lock when the process ends, however it ends; a stale file means nothing.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

/// Held for the life of the relay.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "the open file is the lock")] File);

/// Why this process is not the relay of this folder.
#[derive(Debug, thiserror::Error)]
pub enum LockProblem {
    #[error(
        "another comms-relay{} already runs with this data folder: use it, or stop it first (`comms-relay status` shows it)",
        pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    Taken { pid: Option<u32> },
    #[error("cannot lock {path}")]
    Io { path: String, source: std::io::Error },
}

/// Takes the lock, or tells who has it. Never waits.
pub(crate) fn acquire(path: &Path) -> Result<Lock, LockProblem> {
    let io = |source| LockProblem::Io { path: path.display().to_string(), source };
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(io)?;
    match file.try_lock() {
        Ok(()) => (),
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let pid = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
            return Err(LockProblem::Taken { pid });
        }
        Err(TryLockError::Error(source)) => return Err(io(source)),
    }
    file.set_len(0).map_err(io)?;
    file.rewind().map_err(io)?;
    writeln!(file, "{}", std::process::id()).map_err(io)?;
    Ok(Lock(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_runs() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("relay.lock");
        let first = acquire(&path).unwrap();
        let LockProblem::Taken { pid } = acquire(&path).unwrap_err() else { panic!("not taken") };
        assert_eq!(pid, Some(std::process::id()));
        drop(first);
        assert!(acquire(&path).is_ok());
    }

    #[test]
    fn a_stale_file_is_no_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("relay.lock");
        std::fs::write(&path, "1\n").unwrap();
        assert!(acquire(&path).is_ok());
    }
}
