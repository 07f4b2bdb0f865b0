//! Limits in time: rolling windows, days by the agent's own midnight, and a clock that goes back.

use std::time::Duration;

use anyhow::Result;
use relay_core::clock::Clock;
use relay_store::{FutureExt, StoreError, agents};
use rstest::rstest;
use shared::ids::AgentId;
use shared::model::Timestamp;
use shared::protocol::ErrorCode;
use tests::relay::TestRelay;

use super::{limited, send_until_refused, text};

async fn in_time_zone(relay: &TestRelay, zone: &'static str) -> Result<()> {
    let set = relay.app().db.transaction::<_, StoreError, _>(move |tx| {
        async move { agents::set_time_zone(tx, &AgentId::default_agent(), Some(zone)).await }.boxed()
    });
    assert!(set.await?, "there is such an agent");
    Ok(())
}

#[rstest]
#[case::minute("actions_per_minute", 60)]
#[case::hour("actions_per_hour", 3_600)]
#[tokio::test]
async fn a_window_rolls_action_by_action(#[case] limit: &str, #[case] window: u64) -> Result<()> {
    let relay = limited(&[(limit, "10")]).await?;
    let session = relay.session().await?;
    let half = Duration::from_secs(window / 2);
    for _ in 0..5 {
        session.call(text()).await?;
    }
    relay.clock.advance(half);
    let (sent, told) = send_until_refused(&session).await?;
    assert_eq!(
        (sent, told.code, told.retry_after_seconds),
        (5, ErrorCode::RateLimited, Some(half.as_secs()))
    );
    relay.clock.advance(half - Duration::from_millis(1));
    let (sent, told) = send_until_refused(&session).await?;
    assert_eq!((sent, told.retry_after_seconds), (0, Some(1)));
    // The first five leave the window; the other five stay for half of it.
    relay.clock.advance(Duration::from_millis(1));
    let (sent, told) = send_until_refused(&session).await?;
    assert_eq!((sent, told.retry_after_seconds), (5, Some(half.as_secs())));
    relay.stop().await
}

#[rstest]
#[case::the_settings(None, "2026-11-19T00:00:00Z")]
#[case::ahead(Some("Pacific/Auckland"), "2026-11-19T11:00:00Z")]
#[case::behind(Some("America/Los_Angeles"), "2026-11-19T08:00:00Z")]
#[case::by_half_an_hour(Some("Asia/Kolkata"), "2026-11-18T18:30:00Z")]
#[tokio::test]
async fn a_day_ends_at_the_agents_own_midnight(
    #[values(("actions_per_day", "2"), ("spend_per_day", "'0.02'"))] limit: (&str, &str),
    #[case] zone: Option<&'static str>,
    #[case] midnight: Timestamp,
) -> Result<()> {
    let relay = limited(&[limit]).await?;
    if let Some(zone) = zone {
        in_time_zone(&relay, zone).await?;
    }
    let session = relay.session().await?;
    let (today, told) = send_until_refused(&session).await?;
    let until_midnight = midnight.since(relay.clock.now()).as_millis().div_ceil(1_000) as u64;
    assert_eq!((today, told.retry_after_seconds), (2, Some(until_midnight)));
    relay.clock.set(midnight.minus(Duration::from_millis(1)));
    assert_eq!(send_until_refused(&session).await?.0, 0);
    relay.clock.set(midnight);
    assert_eq!(send_until_refused(&session).await?.0, 2);
    relay.stop().await
}

#[tokio::test]
async fn a_month_ends_with_the_month() -> Result<()> {
    let relay = limited(&[("spend_per_month", "'0.02'")]).await?;
    let session = relay.session().await?;
    let mut went = vec![send_until_refused(&session).await?.0];
    for moment in ["2026-11-30T23:59:59.999Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"] {
        relay.clock.set(moment.parse()?);
        went.push(send_until_refused(&session).await?.0);
    }
    assert_eq!(went, [2, 0, 2, 2]);
    relay.stop().await
}

#[rstest]
#[tokio::test]
async fn a_clock_that_goes_back_gives_nothing(
    #[values(
        ("actions_per_minute", "2"),
        ("actions_per_hour", "2"),
        ("actions_per_day", "2"),
        ("spend_per_day", "'0.02'"),
        ("spend_per_month", "'0.02'"),
        ("org_spend_per_day", "'0.02'"),
        ("org_spend_per_month", "'0.02'")
    )]
    limit: (&str, &str),
    #[values(1, 48, 1_000)] hours: u64,
) -> Result<()> {
    let relay = limited(&[limit]).await?;
    let session = relay.session().await?;
    let before = send_until_refused(&session).await?.0;
    relay.clock.set(relay.clock.now().minus(Duration::from_secs(hours * 3_600)));
    assert_eq!((before, send_until_refused(&session).await?.0), (2, 0));
    relay.stop().await
}
