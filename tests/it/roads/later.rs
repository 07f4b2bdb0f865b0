//! Messages that wait for their time.

use std::time::Duration;

use anyhow::Result;
use relay::services::operator;
use relay_core::clock::Clock;
use rstest::rstest;
use shared::ids::AgentId;
use shared::ipc::Client;
use shared::model::{Direction, Message, MessageStatus};
use shared::protocol::{ErrorCode, GetMessages, SendMessage};
use tests::refusal::refusal;
use tests::relay::{PERSON, TestRelay};
use tests::wait::until;

const HOUR: Duration = Duration::from_secs(3_600);

fn in_an_hour(relay: &TestRelay) -> SendMessage {
    SendMessage { schedule_at: Some(relay.clock.now().plus(HOUR)), ..SendMessage::sms(PERSON, "later") }
}

fn arrived(relay: &TestRelay) -> usize {
    let carrier = &relay.twilio.as_ref().expect("it is live").carrier;
    carrier.texts_to(&PERSON.parse().expect("it is a number")).len()
}

async fn outbox(session: &Client) -> Result<Vec<Message>> {
    let sent = GetMessages { direction: Some(Direction::Outbound), ..GetMessages::default() };
    Ok(session.call(sent).await?.reply.messages)
}

async fn becomes(session: &Client, status: MessageStatus) -> Result<()> {
    until(status.as_str(), async || Ok((outbox(session).await?[0].status == status).then_some(()))).await
}

#[tokio::test]
async fn a_message_waits_for_its_time_and_goes_once() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let taken = session.call(in_an_hour(&relay)).await?.reply;
    assert_eq!((taken.status, arrived(&relay)), (MessageStatus::Intended, 0));
    relay.clock.advance(HOUR);
    becomes(&session, MessageStatus::Accepted).await?;
    assert_eq!((outbox(&session).await?.len(), arrived(&relay)), (1, 1));
    relay.stop().await
}

#[tokio::test]
async fn a_message_keeps_its_time_over_a_restart() -> Result<()> {
    let relay = TestRelay::live().await?;
    let wanted = in_an_hour(&relay);
    relay.session().await?.call(wanted).await?;
    let relay = relay.restart("").await?;
    let session = relay.session().await?;
    assert_eq!((outbox(&session).await?[0].status, arrived(&relay)), (MessageStatus::Intended, 0));
    relay.clock.advance(HOUR);
    becomes(&session, MessageStatus::Accepted).await?;
    assert_eq!(arrived(&relay), 1);
    relay.stop().await
}

#[tokio::test]
async fn what_may_not_go_when_its_time_comes_does_not() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    session.call(in_an_hour(&relay)).await?;
    operator::block(&relay.app().db, AgentId::default_agent(), relay.clock.now()).await?;
    relay.clock.advance(HOUR);
    becomes(&session, MessageStatus::Failed).await?;
    assert_eq!(arrived(&relay), 0);
    relay.stop().await
}

#[tokio::test]
async fn limits_count_when_a_message_goes() -> Result<()> {
    let relay = TestRelay::live_with("[limits]\nactions_per_minute = 2").await?;
    let session = relay.session().await?;
    for _ in 0..3 {
        session.call(in_an_hour(&relay)).await?;
    }
    relay.clock.advance(HOUR);
    until("two of them", async || Ok((arrived(&relay) == 2).then_some(()))).await?;
    // The first of the next minute is refused while the third waits, and goes with it.
    let problem = refusal(session.call(SendMessage::sms(PERSON, "now")).await)?;
    assert_eq!((problem.code, arrived(&relay)), (ErrorCode::RateLimited, 2));
    relay.clock.advance(Duration::from_secs(60));
    until("the third", async || Ok((arrived(&relay) == 3).then_some(()))).await?;
    relay.stop().await
}

#[tokio::test]
async fn a_message_that_nobody_expects_any_more_is_not_sent() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    session.call(in_an_hour(&relay)).await?;
    relay.clock.advance(3 * HOUR);
    becomes(&session, MessageStatus::Failed).await?;
    assert_eq!(arrived(&relay), 0);
    relay.stop().await
}

#[tokio::test]
async fn a_hundred_messages_wait_at_once_and_no_more() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let wanted = in_an_hour(&relay);
    for _ in 0..100 {
        session.call(wanted.clone()).await?;
    }
    assert_eq!(refusal(session.call(wanted).await)?.code, ErrorCode::RateLimited);
    relay.stop().await
}

#[rstest]
#[case::the_past(-60)]
#[case::this_moment(0)]
#[case::next_year(366 * 86_400)]
#[tokio::test]
async fn a_time_that_makes_no_sense_is_refused(#[case] seconds: i64) -> Result<()> {
    let relay = TestRelay::live().await?;
    let now = relay.clock.now();
    let span = Duration::from_secs(seconds.unsigned_abs());
    let at = if seconds < 0 { now.minus(span) } else { now.plus(span) };
    let message = SendMessage { schedule_at: Some(at), ..SendMessage::sms(PERSON, "later") };
    let problem = refusal(relay.session().await?.call(message).await)?;
    assert_eq!(problem.code, ErrorCode::InvalidInput);
    relay.stop().await
}
