//! The socket's file and folder: what is taken, what is replaced, what is never touched.
#![cfg(unix)]

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;
use crate::ipc::{ClientError, listen};

fn folder() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let socket = folder.path().join("home/comms.sock");
    fs::create_dir(folder.path().join("home")).unwrap();
    (folder, socket)
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

async fn refusal_of(path: &Path) -> (ErrorKind, String) {
    let error = listen(path).await.err().unwrap();
    (error.kind(), error.to_string().replace(&path.display().to_string(), "PATH"))
}

#[tokio::test]
async fn fifty_calls_at_once_pass_through_a_real_socket() {
    let (_folder, path) = folder();
    let listener = listen(&path).await.unwrap();
    let mut relay = JoinSet::new();
    relay.spawn(async move {
        let greeting = listener.accept().await.unwrap().hello().await.unwrap();
        let session = greeting.accept(super::relay(), AgentId::default_agent()).await.unwrap();
        let (_events, received) = broadcast::channel(4);
        session.serve(Arc::new(Echo::default()), received, CancellationToken::new()).await
    });
    let client = Client::connect(&path, &hello()).await.unwrap();
    let mut calls = JoinSet::new();
    for n in 0..50 {
        let client = client.clone();
        calls.spawn(
            async move { (n.to_string(), client.call(ping(&n.to_string())).await.unwrap().reply.echo) },
        );
    }
    assert!(soon(calls.join_all()).await.iter().all(|(asked, echoed)| asked == echoed));
    drop(client);
    assert_eq!(soon(relay.join_next()).await.unwrap().unwrap(), SessionEnd::ClientLeft);
}

#[tokio::test]
async fn the_folder_is_made_private_and_the_socket_too() {
    let (folder, path) = folder();
    fs::set_permissions(path.parent().unwrap(), fs::Permissions::from_mode(0o755)).unwrap();
    let _listener = listen(&path).await.unwrap();
    assert_eq!((mode(path.parent().unwrap()), mode(&path)), (0o700, 0o600));
    let fresh = folder.path().join("a/b/comms.sock");
    let _other = listen(&fresh).await.unwrap();
    assert_eq!((mode(fresh.parent().unwrap()), mode(&fresh)), (0o700, 0o600));
}

#[tokio::test]
async fn a_living_relay_keeps_its_socket() {
    let (_folder, path) = folder();
    let _living = listen(&path).await.unwrap();
    let expected = (ErrorKind::AddrInUse, "another relay answers on this socket".to_owned());
    assert_eq!(refusal_of(&path).await, expected);
    assert!(std::os::unix::net::UnixStream::connect(&path).is_ok());
}

#[tokio::test]
async fn a_socket_that_a_crash_left_behind_is_replaced() {
    let (_folder, path) = folder();
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(fs::symlink_metadata(&path).unwrap().file_type().is_socket());
    let _listener = listen(&path).await.unwrap();
    assert!(std::os::unix::net::UnixStream::connect(&path).is_ok());
}

#[tokio::test]
async fn a_regular_file_is_never_removed() {
    let (_folder, path) = folder();
    fs::write(&path, "precious").unwrap();
    let text = "PATH is not a socket: remove it, or set COMMS_HOME to another folder".to_owned();
    assert_eq!(refusal_of(&path).await, (ErrorKind::PermissionDenied, text));
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[tokio::test]
async fn a_symlink_is_refused_even_if_it_leads_to_a_socket_of_ours() {
    let (folder, path) = folder();
    let target = folder.path().join("home/other.sock");
    drop(std::os::unix::net::UnixListener::bind(&target).unwrap());
    std::os::unix::fs::symlink(&target, &path).unwrap();
    assert_eq!(refusal_of(&path).await.0, ErrorKind::PermissionDenied);
    let error = Client::connect(&path, &hello()).await.err().unwrap();
    assert!(matches!(error, ClientError::Unreachable(error) if error.kind() == ErrorKind::PermissionDenied));
    assert!(fs::symlink_metadata(&path).unwrap().file_type().is_symlink());
}

#[tokio::test]
async fn a_fifo_is_refused() {
    let (_folder, path) = folder();
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    assert_eq!(refusal_of(&path).await.0, ErrorKind::PermissionDenied);
    assert!(fs::symlink_metadata(&path).unwrap().file_type().is_fifo());
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_names_the_setting() {
    let (folder, _) = folder();
    let path = folder.path().join("x".repeat(120)).join("comms.sock");
    let length = path.as_os_str().len();
    let text = format!(
        "the socket's path is {length} bytes long, the system allows 107: set COMMS_HOME to a shorter folder"
    );
    assert_eq!(refusal_of(&path).await, (ErrorKind::InvalidInput, text));
}

#[tokio::test]
async fn no_socket_means_no_relay() {
    let (_folder, path) = folder();
    let error = Client::connect(&path, &hello()).await.err().unwrap();
    assert!(matches!(error, ClientError::Unreachable(error) if error.kind() == ErrorKind::NotFound));
}

#[tokio::test]
async fn a_listener_that_ends_takes_its_socket_along() {
    let (_folder, path) = folder();
    drop(listen(&path).await.unwrap());
    assert!(!path.exists());
}
