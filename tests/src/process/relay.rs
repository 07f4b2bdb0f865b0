//! `comms-relay run` as a process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout};
use tokio::time::timeout;

use super::{Home, PATIENCE, Programs, Stderr};

/// A relay that listens. Dropped, it is killed.
#[derive(Debug)]
pub struct RelayProcess {
    child: Child,
    ready: Ready,
    stderr: Stderr,
    // Kept open: a relay whose stdout is closed would end on its next word.
    _stdout: BufReader<ChildStdout>,
}

/// What the relay says of itself once it listens.
#[derive(Debug, PartialEq, Eq)]
struct Ready {
    public: SocketAddr,
    admin: SocketAddr,
    socket: PathBuf,
    pid: u32,
}

impl RelayProcess {
    /// Starts the relay of `home` on free ports, and gives it once it listens.
    pub async fn start(home: &Home, env: &[(&str, &str)]) -> Result<Self> {
        Self::start_under(&[], home, env).await
    }

    /// The same under another program, such as `strace -f`, whose words come before the relay's.
    pub async fn start_under(wrapper: &[&str], home: &Home, env: &[(&str, &str)]) -> Result<Self> {
        let programs =
            tokio::task::spawn_blocking(Programs::built).await.context("failed to build the programs")?;
        Self::start_program(&programs.relay, wrapper, home, env).await
    }

    /// The same with a given relay instead of the one that is built here.
    pub async fn start_program(
        program: &Path,
        wrapper: &[&str],
        home: &Home,
        env: &[(&str, &str)],
    ) -> Result<Self> {
        let program = program.to_str().context("the program's path is no UTF-8")?;
        let words = [wrapper, &[program, "run"]].concat();
        let mut child =
            home.command(&words, env).spawn().with_context(|| format!("failed to start {}", words[0]))?;
        drop(child.stdin.take());
        let stderr = Stderr::capture(child.stderr.take().context("stderr is no pipe")?);
        let mut stdout = BufReader::new(child.stdout.take().context("stdout is no pipe")?);
        let mut line = String::new();
        let in_time = timeout(PATIENCE, stdout.read_line(&mut line)).await.is_ok();
        let Some(ready) = Ready::parse(&line) else {
            drop(child.start_kill());
            let heard = if in_time { line.trim() } else { "nothing in time" };
            bail!("the relay did not start, it said {heard:?} and:\n{}", stderr.whole().await);
        };
        Ok(Self { child, ready, stderr, _stdout: stdout })
    }

    #[must_use]
    pub fn public_addr(&self) -> SocketAddr {
        self.ready.public
    }

    #[must_use]
    pub fn admin_addr(&self) -> SocketAddr {
        self.ready.admin
    }

    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.ready.socket
    }

    /// The relay's own process, also where it runs under another program.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.ready.pid
    }

    /// Everything that it wrote to stderr so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Ends it without a chance to tidy up, and waits until it is gone.
    pub async fn kill9(mut self) -> Result<()> {
        self.signal(Signal::KILL)?;
        self.exited().await.map(drop)
    }

    /// Asks it to end, and waits until it has.
    pub async fn terminate(mut self) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.exited().await
    }

    /// Waits until it ends by itself.
    pub async fn exited(&mut self) -> Result<ExitStatus> {
        match timeout(PATIENCE, self.child.wait()).await {
            Ok(status) => status.context("failed to wait for the relay"),
            Err(_) => bail!("the relay does not end, it said:\n{}", self.stderr()),
        }
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.ready.pid)
            .ok()
            .and_then(Pid::from_raw)
            .context("the relay said no process id")?;
        kill_process(pid, signal).context("failed to signal the relay")
    }
}

impl Drop for RelayProcess {
    fn drop(&mut self) {
        // The program that it runs under dies with `child`, and may leave it behind. Once `child` has been waited
        // for, the id may belong to another process.
        if self.child.id().is_some() {
            drop(self.signal(Signal::KILL));
        }
    }
}

impl Ready {
    /// `ready public=ADDR admin=ADDR socket=PATH pid=N`; the path may hold spaces.
    fn parse(line: &str) -> Option<Self> {
        let (public, rest) = line.trim_end().strip_prefix("ready public=")?.split_once(" admin=")?;
        let (admin, rest) = rest.split_once(" socket=")?;
        let (socket, pid) = rest.rsplit_once(" pid=")?;
        Some(Self {
            public: public.parse().ok()?,
            admin: admin.parse().ok()?,
            socket: socket.into(),
            pid: pid.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_is_understood() {
        let line = "ready public=127.0.0.1:1 admin=[::1]:2 socket=/tmp/a b/comms.sock pid=3\n";
        let ready = Ready {
            public: "127.0.0.1:1".parse().unwrap(),
            admin: "[::1]:2".parse().unwrap(),
            socket: "/tmp/a b/comms.sock".into(),
            pid: 3,
        };
        assert_eq!(Ready::parse(line), Some(ready));
    }

    #[test]
    fn any_other_line_is_not() {
        assert_eq!(Ready::parse("listening on 127.0.0.1:1"), None);
    }

    #[tokio::test]
    async fn a_relay_that_is_asked_to_end_says_that_all_is_well() {
        let home = Home::temp();
        let relay = RelayProcess::start(&home, &[]).await.unwrap();
        assert!(relay.terminate().await.unwrap().success());
    }

    #[tokio::test]
    async fn a_killed_relay_leaves_a_home_that_starts_again() {
        let home = Home::temp();
        let killed = RelayProcess::start(&home, &[]).await.unwrap();
        killed.kill9().await.unwrap();
        let next = RelayProcess::start(&home, &[]).await.unwrap();
        assert_eq!(next.socket(), home.paths().socket());
    }

    #[tokio::test]
    async fn a_relay_under_another_program_is_ended_by_its_own_id() {
        let home = Home::temp();
        let relay =
            RelayProcess::start_under(&["strace", "-f", "-o", "/dev/null"], &home, &[]).await.unwrap();
        assert!(relay.terminate().await.unwrap().success());
    }

    #[tokio::test]
    async fn a_relay_that_cannot_start_tells_why() {
        let home = Home::temp();
        let problem = RelayProcess::start(&home, &[("COMMS_MODE", "neither")]).await.unwrap_err();
        assert!(format!("{problem:#}").contains("neither"), "{problem:#}");
    }
}
