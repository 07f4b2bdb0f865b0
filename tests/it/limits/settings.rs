//! Which limits are in force: the settings', the tier's, or an agent's own.

use anyhow::Result;
use rstest::rstest;
use shared::ids::AgentId;
use shared::model::{LimitsPatch, Micros, Tier};
use shared::protocol::{SetAgentLimits, SetBillingConfig};
use tests::relay::TestRelay;

use super::{limited, send_until_refused};

/// Puts the default agent on a tier, as an admin.
async fn on_tier(relay: &TestRelay, tier: Tier) -> Result<()> {
    let agent_id = AgentId::default_agent();
    let call = SetBillingConfig { agent_id, tier: Some(tier), markup_percent: None, billing_email: None };
    relay.admin().await?.call(call).await?;
    Ok(())
}

async fn set(relay: &TestRelay, limits: LimitsPatch) -> Result<()> {
    relay.admin().await?.call(SetAgentLimits { agent_id: AgentId::default_agent(), limits }).await?;
    Ok(())
}

#[rstest]
#[case::free(Tier::Free, 5)]
#[case::starter(Tier::Starter, 10)]
#[case::pro(Tier::Pro, 30)]
#[case::enterprise(Tier::Enterprise, 100)]
#[tokio::test]
async fn another_tier_is_in_force_from_the_next_action_on(
    #[case] tier: Tier,
    #[case] room: usize,
) -> Result<()> {
    let relay = limited(&[("actions_per_minute", "2")]).await?;
    let session = relay.session().await?;
    let before = send_until_refused(&session).await?.0;
    on_tier(&relay, tier).await?;
    let (more, told) = send_until_refused(&session).await?;
    assert_eq!((before, before + more), (2, room));
    assert!(told.message.contains(&format!("The limit of {room} actions a minute")), "{told:?}");
    relay.stop().await
}

#[tokio::test]
async fn a_smaller_tier_stops_an_agent_that_has_done_more_already() -> Result<()> {
    let relay = limited(&[("actions_per_minute", "8")]).await?;
    let session = relay.session().await?;
    let before = send_until_refused(&session).await?.0;
    on_tier(&relay, Tier::Free).await?;
    assert_eq!((before, send_until_refused(&session).await?.0), (8, 0));
    relay.stop().await
}

#[rstest]
#[case::actions(LimitsPatch { max_actions_per_minute: Some(4), ..LimitsPatch::default() })]
#[case::money(LimitsPatch { max_spend_per_day: Some(Micros(40_000)), ..LimitsPatch::default() })]
#[tokio::test]
async fn what_is_set_for_an_agent_wins_over_its_tier(#[case] limits: LimitsPatch) -> Result<()> {
    let relay = limited(&[]).await?;
    on_tier(&relay, Tier::Pro).await?;
    set(&relay, limits).await?;
    assert_eq!(send_until_refused(&relay.session().await?).await?.0, 4);
    relay.stop().await
}
