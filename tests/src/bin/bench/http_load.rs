//! HTTP load over kept-alive connections: ready-made requests, each sent once. A request costs the load no more
//! than a write, a read and a look at the head, so that the server is what is measured.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::sample::Samples;

/// What a run gave.
pub(crate) struct Load {
    pub(crate) per_second: f64,
    pub(crate) latencies: Samples,
}

/// One kept-alive connection.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// Sends all requests, from as many connections at once, and waits for all answers; each must be a 200.
pub(crate) async fn run(address: SocketAddr, connections: usize, requests: Vec<Vec<u8>>) -> Result<Load> {
    let (requests, next) = (Arc::new(requests), Arc::new(AtomicUsize::new(0)));
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(Connection::open(address).await?);
    }
    let start = Instant::now();
    let mut workers = JoinSet::new();
    for mut connection in open {
        let (requests, next) = (Arc::clone(&requests), Arc::clone(&next));
        workers.spawn(async move {
            let mut latencies = Samples::default();
            while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                latencies.push(connection.timed(request).await?);
            }
            anyhow::Ok(latencies)
        });
    }
    let mut latencies = Samples::default();
    while let Some(worker) = workers.join_next().await {
        latencies.extend(worker??);
    }
    Ok(Load { per_second: requests.len() as f64 / start.elapsed().as_secs_f64(), latencies })
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await.context("failed to connect")?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(4096) })
    }

    async fn timed(&mut self, request: &[u8]) -> Result<Duration> {
        let start = Instant::now();
        self.send(request).await?;
        Ok(start.elapsed())
    }

    /// Sends the request and gives the answer's body.
    pub(crate) async fn send(&mut self, request: &[u8]) -> Result<&[u8]> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            ensure!(self.stream.read_buf(&mut self.buffer).await? > 0, "the server closed the connection");
            let Some(head) = self.buffer.windows(4).position(|end| end == b"\r\n\r\n") else { continue };
            let length = body_length(&self.buffer[..head])?;
            while self.buffer.len() < head + 4 + length {
                ensure!(
                    self.stream.read_buf(&mut self.buffer).await? > 0,
                    "the server closed the connection"
                );
            }
            return Ok(&self.buffer[head + 4..]);
        }
    }
}

fn body_length(head: &[u8]) -> Result<usize> {
    let head = std::str::from_utf8(head).context("the head is no text")?;
    if !head.starts_with("HTTP/1.1 200 ") {
        bail!("the server answered {}", head.lines().next().unwrap_or_default());
    }
    let lengths = head.lines().filter_map(|line| line.split_once(": "));
    let mut length = lengths.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    length.next().and_then(|(_, length)| length.parse().ok()).context("the answer has no length")
}
