//! A private stream between two programs of one user, cut into JSON frames.
//!
//! The folder is the lock: it belongs to us and nobody else may enter it. On top of that each side asks the
//! system who the other is. Nothing that is not a dead socket of ours is ever removed.

#[cfg(unix)]
#[path = "transport/unix.rs"]
mod platform;
#[cfg(windows)]
#[path = "transport/windows.rs"]
mod platform;

use std::io;
use std::path::Path;

use futures_util::{SinkExt, StreamExt};
use interprocess::local_socket::tokio::prelude::*;
use serde::{Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf};
use tokio_util::bytes::Bytes;
use tokio_util::codec::{FramedRead, FramedWrite, LengthDelimitedCodec};

use super::server::Listener;
use crate::protocol::MAX_FRAME_BYTES;

pub use interprocess::local_socket::tokio::Stream;
pub use platform::private_folder;

/// Takes the socket at `path` for this process.
///
/// Fails with [`io::ErrorKind::AddrInUse`] if a living relay answers there, and with a text for the user if
/// the folder or what lies at `path` is not ours. A socket that a crash left behind is replaced.
pub async fn listen(path: &Path) -> io::Result<Listener> {
    Ok(Listener::new(platform::bind(path).await?))
}

/// Connects to the relay at `path`, after checking that the socket and the process behind it are ours.
pub async fn connect(path: &Path) -> io::Result<Stream> {
    platform::check_socket(path)?;
    let stream = Stream::connect(platform::socket_name(path)?).await?;
    check_peer(&stream)?;
    Ok(stream)
}

/// Refuses a stream whose other end belongs to another user.
pub(super) fn check_peer(stream: &Stream) -> io::Result<()> {
    platform::check_credentials(&stream.peer_creds()?)
}

/// The half of a stream that frames come out of.
pub struct FrameReader<R>(FramedRead<R, LengthDelimitedCodec>);

/// The half of a stream that frames go into.
pub struct FrameWriter<W>(FramedWrite<W, LengthDelimitedCodec>);

/// Cuts a stream into frames, one half for each task.
pub fn frames<S>(stream: S) -> (FrameReader<ReadHalf<S>>, FrameWriter<WriteHalf<S>>)
where
    S: AsyncRead + AsyncWrite,
{
    let (read, write) = tokio::io::split(stream);
    (FrameReader(FramedRead::new(read, codec())), FrameWriter(FramedWrite::new(write, codec())))
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// The next frame, or `None` once the other side has closed the stream. Safe to drop half-way.
    ///
    /// A frame that is too long or of the wrong shape is [`io::ErrorKind::InvalidData`].
    pub async fn receive<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        match self.0.next().await {
            Some(bytes) => serde_json::from_slice(&bytes?).map(Some).map_err(malformed),
            None => Ok(None),
        }
    }
}

impl<W: AsyncWrite + Unpin> FrameWriter<W> {
    /// Writes a frame and hands it to the system.
    pub async fn send<T: Serialize>(&mut self, frame: &T) -> io::Result<()> {
        self.write(encode(frame)?).await
    }

    /// Writes a frame that [`encode`] made.
    pub(super) async fn write(&mut self, frame: Bytes) -> io::Result<()> {
        self.0.send(frame).await
    }
}

/// A frame's bytes, so that they can wait in a queue.
pub(super) fn encode<T: Serialize>(frame: &T) -> io::Result<Bytes> {
    let bytes = serde_json::to_vec(frame)?;
    if bytes.len() > MAX_FRAME_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "frame too large"));
    }
    Ok(Bytes::from(bytes))
}

/// Not serde_json's own conversion, which calls a truncated value the end of the stream.
fn malformed(error: serde_json::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn codec() -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder().max_frame_length(MAX_FRAME_BYTES).new_codec()
}
