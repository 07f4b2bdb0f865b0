//! The Windows half of the transport: a named pipe whose access list names its owner and the system only.

use std::fs;
use std::io::{self, Error, ErrorKind};
use std::path::Path;

use interprocess::local_socket::tokio::Listener;
use interprocess::local_socket::{GenericNamespaced, ListenerOptions, Name, PeerCreds, ToNsName};
use interprocess::os::windows::local_socket::ListenerOptionsExt;
use interprocess::os::windows::security_descriptor::SecurityDescriptor;
use widestring::u16cstr;

/// Makes sure that `folder` exists; under the user's profile it inherits an owner-only access list.
pub fn private_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}

pub(super) async fn bind(path: &Path) -> io::Result<Listener> {
    private_folder(path.parent().unwrap_or(Path::new(".")))?;
    let access = SecurityDescriptor::deserialize(u16cstr!("D:P(A;;GA;;;OW)(A;;GA;;;SY)"))?;
    let options = ListenerOptions::new().name(socket_name(path)?).security_descriptor(access);
    options.create_tokio().map_err(|error| match error.kind() {
        // The first instance of a pipe is ours alone; a second one is denied.
        ErrorKind::PermissionDenied => Error::new(ErrorKind::AddrInUse, "another relay answers on this pipe"),
        _ => error,
    })
}

/// A pipe has no file: its access list is checked by the system when it is opened.
pub(super) fn check_socket(_: &Path) -> io::Result<()> {
    Ok(())
}

/// FNV-1a of the path: short, and the same in both programs.
pub(super) fn socket_name(path: &Path) -> io::Result<Name<'static>> {
    let hash = path.as_os_str().as_encoded_bytes().iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("agentos-comms-{hash:016x}").to_ns_name::<GenericNamespaced>()
}

/// The access list has let nobody else in.
pub(super) fn check_credentials(_: &PeerCreds) -> io::Result<()> {
    Ok(())
}
