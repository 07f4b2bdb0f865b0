//! Taking an agent back: everything that it was given returns to where it came from.

use anyhow::{Context, Result};
use relay_providers::simulated::LineError;
use relay_store::number_purchases::PurchaseStatus;
use rstest::rstest;
use shared::model::Channel;
use shared::protocol::{ChannelsReleased, DeprovisionChannels, ErrorCode, ReleasedChannel};
use tests::emulators::twilio::{Fault, Received};
use tests::refusal::refusal;
use tests::relay::TestRelay;

use super::{ALL, Left, NUMBER, OFFERED, is_paid_for, person, sales};

fn take_back(agent: &str) -> DeprovisionChannels {
    let agent_id = agent.parse().expect("it is an agent's id");
    DeprovisionChannels { agent_id, release_number: None, confirm: Some(true) }
}

fn had(channel: Channel, address: &str, released: bool) -> ReleasedChannel {
    ReleasedChannel { channel, address: address.to_owned(), released }
}

fn is_release(request: &Received) -> bool {
    request.method == "DELETE"
}

#[tokio::test]
async fn everything_returns_to_where_it_came_from() -> Result<()> {
    let relay = TestRelay::demo().await?;
    let admin = relay.admin().await?;
    admin.call(sales(&ALL)).await?;
    let expected = ChannelsReleased {
        agent_id: "sales".parse()?,
        channels: vec![
            had(Channel::Email, "sales@agents.example", false),
            had(Channel::Sms, OFFERED, true),
            had(Channel::Voice, OFFERED, true),
            had(Channel::Whatsapp, "+12025550171", true),
        ],
        not_undone: Vec::new(),
        slots_remaining: 4,
    };
    assert_eq!(admin.call(take_back("sales")).await?.reply, expected);
    assert_eq!(Left::at(&relay).await?, Left::nothing_but(Some(PurchaseStatus::Released)));
    relay.stop().await
}

#[tokio::test]
async fn nobody_reaches_an_agent_that_was_taken_back() -> Result<()> {
    let relay = TestRelay::demo().await?;
    let admin = relay.admin().await?;
    let token = admin.call(sales(&NUMBER)).await?.reply.token.expose().to_owned();
    admin.call(take_back("sales")).await?;
    assert!(relay.session_as(Some(token)).await.is_err(), "its token still opens a session");
    let text = relay.carrier().text(&person(), &OFFERED.parse()?, "hello?").await;
    assert_eq!(text, Err(LineError::NotOurNumber));
    relay.stop().await
}

#[tokio::test]
async fn taking_back_twice_changes_nothing_more() -> Result<()> {
    let relay = TestRelay::demo().await?;
    let admin = relay.admin().await?;
    admin.call(sales(&ALL)).await?;
    admin.call(take_back("sales")).await?;
    let again = admin.call(take_back("sales")).await?.reply;
    let nothing = ChannelsReleased {
        agent_id: "sales".parse()?,
        channels: Vec::new(),
        not_undone: Vec::new(),
        slots_remaining: 4,
    };
    assert_eq!(again, nothing);
    relay.stop().await
}

#[tokio::test]
async fn a_number_that_shall_be_kept_stays_the_accounts() -> Result<()> {
    let relay = TestRelay::live().await?;
    let admin = relay.admin().await?;
    admin.call(sales(&NUMBER)).await?;
    let keep = DeprovisionChannels { release_number: Some(false), ..take_back("sales") };
    let done = admin.call(keep).await?.reply;
    let expected = [had(Channel::Sms, OFFERED, false), had(Channel::Voice, OFFERED, false)];
    assert_eq!((done.channels.as_slice(), done.not_undone), (&expected[..], Vec::new()));
    let relay = relay.restart("").await?;
    assert!(is_paid_for(&relay).await?);
    assert_eq!(Left::at(&relay).await?, Left::nothing_but(Some(PurchaseStatus::Bought)));
    relay.stop().await
}

#[tokio::test]
async fn what_could_not_be_given_back_is_told_and_given_back_by_the_next_call() -> Result<()> {
    let relay = TestRelay::live().await?;
    let admin = relay.admin().await?;
    admin.call(sales(&NUMBER)).await?;
    let twilio = relay.twilio.as_ref().context("live mode has an emulator")?;
    twilio.fail_at(is_release, Fault::Status(500));
    let first = admin.call(take_back("sales")).await?.reply;
    let channels =
        |released| vec![had(Channel::Sms, OFFERED, released), had(Channel::Voice, OFFERED, released)];
    assert_eq!((first.channels, first.not_undone.len()), (channels(false), 1));
    twilio.fail(Fault::None);
    let second = admin.call(take_back("sales")).await?.reply;
    assert_eq!((second.channels, second.not_undone.len()), (channels(true), 0));
    assert!(!is_paid_for(&relay).await?);
    relay.stop().await
}

#[rstest]
#[case::default_agent(take_back("default"), ErrorCode::InvalidInput)]
#[case::rehearsal(take_back("rehearsal"), ErrorCode::InvalidInput)]
#[case::without_a_yes(DeprovisionChannels { confirm: None, ..take_back("sales") }, ErrorCode::InvalidInput)]
#[case::unknown(take_back("nobody"), ErrorCode::NotFound)]
#[tokio::test]
async fn an_agent_that_must_stay_stays(
    #[case] call: DeprovisionChannels,
    #[case] code: ErrorCode,
) -> Result<()> {
    let relay = TestRelay::demo().await?;
    let admin = relay.admin().await?;
    admin.call(sales(&[Channel::Email])).await?;
    assert_eq!(refusal(admin.call(call).await)?.code, code);
    let expected =
        Left { places: vec!["default".to_owned(), "sales".to_owned()], purchases: Vec::new(), senders: 0 };
    assert_eq!(Left::at(&relay).await?, expected);
    relay.stop().await
}
