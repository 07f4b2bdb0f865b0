//! Whether an agent's channels work, and what it is told to do if not.

use anyhow::Result;
use relay::services::operator;
use relay_core::clock::Clock;
use shared::ids::AgentId;
use shared::model::Channel;
use shared::protocol::{ChannelStatus, GetChannelStatus, Health, SendMessage};
use tests::refusal::refusal;
use tests::relay::{OUR_NUMBER, PERSON, TestRelay};

use super::{all_recorded, text};

async fn statuses(relay: &TestRelay) -> Result<Vec<ChannelStatus>> {
    Ok(relay.session().await?.call(GetChannelStatus {}).await?.reply.channels)
}

async fn status(relay: &TestRelay, channel: Channel) -> Result<ChannelStatus> {
    let found = statuses(relay).await?.into_iter().find(|status| status.channel == channel);
    Ok(found.expect("the agent has this channel"))
}

#[tokio::test]
async fn a_channel_that_works_has_no_problems_and_tells_when_it_was_used() -> Result<()> {
    let relay = TestRelay::live().await?;
    relay.session().await?.call(text()).await?;
    let expected = ChannelStatus {
        channel: Channel::Sms,
        address: OUR_NUMBER.to_owned(),
        provider: "twilio".to_owned(),
        status: "active".to_owned(),
        health: Health::Ok,
        last_inbound_at: None,
        last_outbound_at: Some(relay.clock.now()),
        problems: Vec::new(),
    };
    assert_eq!(status(&relay, Channel::Sms).await?, expected);
    relay.stop().await
}

#[tokio::test]
async fn the_channels_of_a_blocked_agent_are_down() -> Result<()> {
    let relay = TestRelay::demo().await?;
    operator::block(&relay.app().db, AgentId::default_agent(), relay.clock.now()).await?;
    let found = status(&relay, Channel::Email).await?;
    let told: Vec<_> = found.problems.iter().map(|text| text.contains("comms-relay agent unblock")).collect();
    assert_eq!((found.status.as_str(), found.health, told), ("blocked", Health::Down, vec![true]));
    relay.stop().await
}

#[tokio::test]
async fn a_channel_whose_last_three_messages_failed_is_degraded_until_one_goes_out() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let mut seen = Vec::new();
    // Twilio's number for "not a valid phone number", three times, then somebody's.
    for to in ["+15005550001", "+15005550001", "+15005550001", PERSON] {
        let sent = session.call(SendMessage::sms(to, "hello")).await;
        if to != PERSON {
            refusal(sent)?;
        }
        all_recorded(&session).await?;
        seen.push(status(&relay, Channel::Sms).await?.health);
    }
    assert_eq!(seen, [Health::Ok, Health::Ok, Health::Degraded, Health::Ok]);
    relay.stop().await
}
