//! Keys in a file that only its owner can read. Called by [`super::KeyPlace`], which holds the lock.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;

use super::KeyProblem;

/// What the file holds, if there is one. A file that others can open is as good as published, and is refused.
pub(super) fn read(path: &Path) -> Result<Option<String>, KeyProblem> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(problem) if problem.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(KeyProblem::File { path: path.display().to_string(), source }),
    };
    check_owner(&file, path)?;
    let mut text = String::new();
    // What is no text is no key; its bytes are not to be shown.
    file.read_to_string(&mut text).map_err(|_| KeyProblem::Damaged)?;
    Ok(Some(text))
}

/// Puts a file with this text in the place of the one that is there. It is the one or the other, also after a crash.
pub(super) fn replace(path: &Path, text: &str) -> Result<(), KeyProblem> {
    write(path, text).map_err(|source| KeyProblem::File { path: path.display().to_string(), source })
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let beside = path.with_extension("key.new");
    match fs::remove_file(&beside) {
        Err(problem) if problem.kind() != ErrorKind::NotFound => return Err(problem),
        // Left by a program that was killed, or not there.
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    // The name, too, must survive a power cut.
    #[cfg(unix)]
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(())
}

#[cfg(unix)]
fn check_owner(file: &File, path: &Path) -> Result<(), KeyProblem> {
    use std::os::unix::fs::MetadataExt;
    let path = path.display().to_string();
    let found = match file.metadata() {
        Ok(found) => found,
        Err(source) => return Err(KeyProblem::File { path, source }),
    };
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Err(KeyProblem::Foreign { path });
    }
    if found.mode() & 0o077 != 0 {
        return Err(KeyProblem::Exposed { path });
    }
    Ok(())
}

// The folder of a user's data is closed to others by the system.
#[cfg(not(unix))]
fn check_owner(_: &File, _: &Path) -> Result<(), KeyProblem> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::its_owner(0o600, true)]
    #[case::its_owner_for_reading(0o400, true)]
    #[case::its_group(0o640, false)]
    #[case::everybody(0o604, false)]
    #[case::a_writer(0o620, false)]
    fn a_file_is_used_only_if_nobody_else_can_open_it(#[case] mode: u32, #[case] is_used: bool) {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("credentials.key");
        replace(&path, "text").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        match read(&path) {
            Ok(text) => assert_eq!((text.as_deref(), is_used), (Some("text"), true)),
            Err(problem) => {
                assert_eq!((matches!(problem, KeyProblem::Exposed { .. }), is_used), (true, false))
            }
        }
    }

    #[test]
    fn what_is_written_is_its_owners_alone() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("credentials.key");
        // Left behind by a program that was killed, and open to all.
        fs::write(path.with_extension("key.new"), "half").unwrap();
        replace(&path, "old").unwrap();
        replace(&path, "new").unwrap();
        let left: Vec<_> = fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!((left, mode, read(&path).unwrap().as_deref()), (vec![path], 0o600, Some("new")));
    }
}
