//! The bare limits: what the machine and the libraries give at best for the work that the product does, in the
//! fewest lines that do it. A rule that costs time in the product has no place here.

pub(crate) mod http;
pub(crate) mod socket;
pub(crate) mod ws;

use std::net::SocketAddr;
use std::process::Stdio;

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use crate::own_program;

/// A bare server as a process of its own, killed when dropped.
pub(crate) struct Server {
    child: Child,
    /// What it said once it listened.
    pub(crate) address: String,
}

impl Server {
    pub(crate) async fn start(words: &[&str]) -> Result<Self> {
        let mut command = Command::new(own_program()?);
        let mut child = command
            .args(words)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("failed to start a bare server")?;
        let mut address = String::new();
        BufReader::new(child.stdout.take().context("stdout is no pipe")?).read_line(&mut address).await?;
        Ok(Self { child, address: address.trim_end().to_owned() })
    }

    pub(crate) fn socket_address(&self) -> Result<SocketAddr> {
        self.address.parse().context("the bare server named no address")
    }

    pub(crate) fn pid(&self) -> Result<u32> {
        self.child.id().context("the bare server has ended")
    }
}

/// A listener on a free port; tells [`Server::start`] which.
async fn listen() -> Result<TcpListener> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    ready(&listener.local_addr()?.to_string());
    Ok(listener)
}

#[expect(clippy::print_stdout, reason = "the parent process waits for this line")]
fn ready(address: &str) {
    println!("{address}");
}
