//! `comms-relay rehearse`: beside a relay, without one, and where it cannot succeed.

use anyhow::Result;
use serde_json::{Value, json};
use tests::process::{Home, RelayProcess};

use super::carrier::LIVE;
use super::{Ended, comms_relay, programs, run};

/// How it ended, whether it said that all is well, and on which relay it was.
pub(super) fn verdict(ended: &Ended) -> Result<(Option<i32>, Value, Value)> {
    let report: Value = serde_json::from_str(&ended.stdout)?;
    assert_eq!(report["ok"] == true, report.get("problem").is_none(), "{report}");
    Ok((ended.code, report["ok"].clone(), report["relay"].clone()))
}

#[tokio::test]
async fn it_plays_on_a_running_relay() -> Result<()> {
    let home = Home::temp();
    let _relay = RelayProcess::start(&home, &[]).await?;
    let played = comms_relay(&home, &["rehearse", "--json"], &[]).await?;
    assert_eq!(verdict(&played)?, (Some(0), json!(true), json!("running")), "{played:?}");
    Ok(())
}

#[tokio::test]
async fn it_plays_on_a_relay_of_its_own_and_leaves_nothing_behind() -> Result<()> {
    let home = Home::temp();
    let played = comms_relay(&home, &["rehearse", "--json"], &[]).await?;
    assert_eq!(verdict(&played)?, (Some(0), json!(true), json!("temporary")), "{played:?}");
    assert_eq!(std::fs::read_dir(home.path())?.count(), 0);
    Ok(())
}

#[tokio::test]
async fn it_keeps_away_from_a_relay_in_live_mode() -> Result<()> {
    let home = Home::temp();
    let _relay = RelayProcess::start(&home, &LIVE).await?;
    let played = comms_relay(&home, &["rehearse", "--json"], &LIVE).await?;
    assert_eq!(verdict(&played)?, (Some(0), json!(true), json!("temporary")), "{played:?}");
    Ok(())
}

#[tokio::test]
async fn without_comms_mcp_beside_it_it_fails_and_says_so() -> Result<()> {
    let (home, folder) = (Home::temp(), tempfile::tempdir()?);
    let alone = folder.path().join("comms-relay");
    std::fs::copy(&programs().await?.relay, &alone)?;
    let played = run(&alone, &home, &["rehearse", "--json"], &[]).await?;
    assert_eq!(verdict(&played)?, (Some(1), json!(false), json!("temporary")));
    let missing = folder.path().join("comms-mcp").display().to_string();
    assert!(played.stdout.contains(&format!("{missing} is missing")), "{played:?}");
    Ok(())
}
