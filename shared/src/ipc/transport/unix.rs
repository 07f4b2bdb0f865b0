//! The Unix half of the transport: a socket in a folder that only we may enter.

use std::fs;
use std::io::{self, Error, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

use interprocess::local_socket::tokio::{Listener, Stream, prelude::*};
use interprocess::local_socket::{GenericFilePath, ListenerOptions, Name, PeerCreds};

/// `sun_path` holds 108 bytes with its terminating zero (104 on macOS and the BSDs).
const MAX_PATH_BYTES: usize = if cfg!(any(target_os = "linux", target_os = "android")) { 107 } else { 103 };

/// Makes sure that `folder` exists, is ours and can be entered by nobody else.
pub fn private_folder(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let found = fs::metadata(folder)?;
    if found.uid() != own_uid() {
        return Err(refused(folder, "belongs to another user"));
    }
    if found.mode() & 0o077 != 0 {
        fs::set_permissions(folder, fs::Permissions::from_mode(found.mode() & 0o700))?;
    }
    Ok(())
}

pub(super) async fn bind(path: &Path) -> io::Result<Listener> {
    let name = socket_name(path)?;
    private_folder(path.parent().unwrap_or(Path::new(".")))?;
    clear(path).await?;
    let listener = ListenerOptions::new().name(name).create_tokio()?;
    // Not interprocess' own `mode`, which some systems lack; until here the folder keeps others out.
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Refuses everything at `path` that is not a socket of ours.
pub(super) fn check_socket(path: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(path)?;
    if !found.file_type().is_socket() {
        return Err(refused(path, "is not a socket"));
    }
    if found.uid() != own_uid() {
        return Err(refused(path, "belongs to another user"));
    }
    Ok(())
}

pub(super) fn socket_name(path: &Path) -> io::Result<Name<'_>> {
    let length = path.as_os_str().len();
    if length > MAX_PATH_BYTES {
        let text = format!(
            "the socket's path is {length} bytes long, the system allows {MAX_PATH_BYTES}: \
             set COMMS_HOME to a shorter folder"
        );
        return Err(Error::new(ErrorKind::InvalidInput, text));
    }
    path.to_fs_name::<GenericFilePath>()
}

pub(super) fn check_credentials(peer: &PeerCreds) -> io::Result<()> {
    if peer.euid() == Some(own_uid()) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::PermissionDenied, "the process at the other end belongs to another user"))
}

/// Makes way for a new socket, if what is there is one of ours and dead.
async fn clear(path: &Path) -> io::Result<()> {
    match check_socket(path) {
        Ok(()) => (),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    match Stream::connect(socket_name(path)?).await {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        // A full backlog is a sign of life as well.
        Ok(_) | Err(_) => Err(Error::new(ErrorKind::AddrInUse, "another relay answers on this socket")),
    }
}

fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn refused(path: &Path, why: &str) -> Error {
    Error::new(
        ErrorKind::PermissionDenied,
        format!("{} {why}: remove it, or set COMMS_HOME to another folder", path.display()),
    )
}
