//! A full disk: the carrier is told to come again, what needs no room goes on, and all is well once there is room.

use std::collections::BTreeSet;
use std::fs::{File, remove_file};
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Result, bail, ensure};
use rustix::process::geteuid;
use serde_json::{Value, json};
use shared::protocol::GetMessages;
use tests::process::{Home, RelayProcess};

use super::carrier::{Carrier, LIVE};
use super::{Left, session, skip};

/// What is asked for at most until the last free page is used up.
const ENOUGH: u32 = 100;

/// A home on a small disk of its own.
struct SmallDisk(Home);

impl SmallDisk {
    /// `None`, said aloud, where this user may not mount.
    fn mount() -> Result<Option<Self>> {
        if !geteuid().is_root() {
            skip("only root can mount a small disk");
            return Ok(None);
        }
        let home = Home::temp();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=4m,mode=700", "none"]).arg(home.path());
        if !mount.stderr(Stdio::null()).status()?.success() {
            skip("this machine does not let us mount a small disk");
            return Ok(None);
        }
        Ok(Some(Self(home)))
    }

    fn ballast(&self) -> PathBuf {
        self.0.path().join("ballast")
    }

    /// Leaves no room.
    fn fill(&self) -> Result<()> {
        let mut ballast = File::create(self.ballast())?;
        loop {
            match ballast.write_all(&[0; 4096]) {
                Ok(()) => {}
                Err(problem) if problem.kind() == ErrorKind::StorageFull => return Ok(()),
                Err(problem) => return Err(problem.into()),
            }
        }
    }

    fn make_room(&self) -> Result<()> {
        Ok(remove_file(self.ballast())?)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a relay that is being killed may still hold a file.
        drop(Command::new("umount").arg("-l").arg(self.0.path()).status());
    }
}

/// Fills the disk and sends texts until one is refused for it; gives its number.
async fn until_refused(disk: &SmallDisk, carrier: &Carrier) -> Result<u32> {
    for number in 0..20 {
        ensure!(carrier.text(number).await? == 200, "a text is refused while there is room");
    }
    disk.fill()?;
    // Pages that the database has already may take some more.
    for number in 20..ENOUGH {
        match carrier.text(number).await? {
            200 => {}
            503 => return Ok(number),
            other => bail!("a text is answered with {other}"),
        }
    }
    bail!("the disk does not get full")
}

/// What the relay says of itself once it cannot even write a page.
async fn until_not_ready(carrier: &Carrier) -> Result<(u16, Value)> {
    for _ in 0..ENOUGH {
        let (status, body) = carrier.get("/health/ready").await?;
        if status != 200 {
            return Ok((status, serde_json::from_str(&body)?));
        }
    }
    bail!("the relay stays ready")
}

#[tokio::test]
async fn a_full_disk_is_told_and_what_needs_no_room_goes_on() -> Result<()> {
    let Some(disk) = SmallDisk::mount()? else { return Ok(()) };
    let relay = RelayProcess::start(&disk.0, &LIVE).await?;
    let carrier = Carrier::of(&relay)?;
    until_refused(&disk, &carrier).await?;
    let not_ready = until_not_ready(&carrier).await?;
    assert_eq!(not_ready, (503, json!({ "status": "failing", "failing": ["database"] })));
    assert_eq!(carrier.get("/health").await?.0, 200);
    let peek = GetMessages { mark_read: Some(false), limit: Some(200), ..GetMessages::default() };
    let read = session(&disk.0).await?.call(peek).await?.reply;
    assert_eq!(usize::try_from(read.total)?, carrier.acked().len());
    Ok(())
}

#[tokio::test]
async fn a_refused_text_is_taken_once_there_is_room_and_nothing_is_lost() -> Result<()> {
    let Some(disk) = SmallDisk::mount()? else { return Ok(()) };
    let relay = RelayProcess::start(&disk.0, &LIVE).await?;
    let carrier = Carrier::of(&relay)?;
    let refused = until_refused(&disk, &carrier).await?;
    until_not_ready(&carrier).await?;
    disk.make_room()?;
    assert_eq!(carrier.text(refused).await?, 200);
    assert_eq!(carrier.get("/health/ready").await?.0, 200);
    relay.kill9().await?;
    let acked: BTreeSet<_> = carrier.acked();
    assert_eq!(Left::by_relay_of(&disk.0)?, Left::once(acked));
    Ok(())
}
