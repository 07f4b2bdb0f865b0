//! At a terminal, what is secret is asked for and not shown.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::process::Stdio;

use anyhow::{Context, Result};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::Value;
use tests::process::Home;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;

use super::super::{PATIENCE, programs};
use super::{SID, TOKEN, listed};

/// `provider set` at a terminal, of which this is the keyboard and the screen.
struct Terminal {
    child: Child,
    prompts: ChildStderr,
    keyboard: File,
    screen: tokio::fs::File,
    // Without it the terminal would be gone once the program has ended, and with it what is on the screen.
    _line: File,
}

impl Terminal {
    async fn open(home: &Home) -> Result<Self> {
        let keyboard = File::from(openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?);
        grantpt(&keyboard)?;
        unlockpt(&keyboard)?;
        let name = ptsname(&keyboard, Vec::new())?.into_string()?;
        let line = OpenOptions::new().read(true).write(true).open(name)?;
        let mut command = Command::new(&programs().await?.relay);
        command.args(["provider", "set", "twilio", "--no-verify"]).env_clear().env("COMMS_HOME", home.path());
        command.stdin(line.try_clone()?).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let prompts = child.stderr.take().context("stderr is no pipe")?;
        let screen = tokio::fs::File::from_std(keyboard.try_clone()?);
        Ok(Self { child, prompts, keyboard, screen, _line: line })
    }

    /// Waits for a question that ends like this, and answers it.
    async fn answer(&mut self, prompt: &str, answer: &str) -> Result<()> {
        let mut asked = String::new();
        while !asked.ends_with(prompt) {
            let byte = timeout(PATIENCE, self.prompts.read_u8()).await;
            let byte = byte.with_context(|| format!("it does not ask: {asked:?}"))?;
            asked.push(byte.with_context(|| format!("it ended: {asked:?}"))?.into());
        }
        Ok(writeln!(self.keyboard, "{answer}")?)
    }

    /// What is on the screen up to this text.
    async fn shown(&mut self, until: &str) -> Result<String> {
        let mut shown = String::new();
        while !shown.contains(until) {
            let byte = timeout(PATIENCE, self.screen.read_u8()).await;
            shown.push(byte.with_context(|| format!("it is not shown: {shown:?}"))??.into());
        }
        Ok(shown)
    }
}

#[tokio::test]
async fn a_secret_that_is_typed_is_not_shown() -> Result<()> {
    let home = Home::temp();
    let mut terminal = Terminal::open(&home).await?;
    terminal.answer("twilio accountSid: ", SID).await?;
    terminal.answer("twilio authToken: ", TOKEN).await?;
    terminal.answer("twilio apiKey (Enter for none): ", "").await?;
    terminal.answer("twilio apiSecret (Enter for none): ", "").await?;
    let status = timeout(PATIENCE, terminal.child.wait()).await??;
    assert!(status.success(), "{status}");
    // Shown again, so that the screen has an end.
    writeln!(terminal.keyboard, "the end")?;
    let shown = terminal.shown("the end").await?;
    assert_eq!((shown.contains(SID), shown.contains(TOKEN)), (true, false), "{shown}");
    assert_eq!(listed(&home).await?[0]["version"], Value::from(1));
    Ok(())
}
