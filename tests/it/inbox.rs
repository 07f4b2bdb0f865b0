//! Handing over: nothing is lost, nothing goes to two readers, and what was not confirmed comes again.

use std::time::Duration;

use anyhow::Result;
use shared::ids::LeaseId;
use shared::model::{Direction, MessageStatus};
use shared::protocol::{ConfirmRead, ErrorCode, Event, GetMessages, MessagePage, Ping, SendMessage};
use tests::relay::{PERSON, TestRelay, text_form};
use tokio::time::timeout;

const SMS: &str = "/webhooks/default/sms";
const SOON: Duration = Duration::from_secs(10);

async fn receive(relay: &TestRelay, number: u32, body: &str) -> Result<()> {
    let sid = format!("SM{number:032x}");
    assert_eq!(relay.post_signed(SMS, &text_form(&sid, PERSON, body)).await?.status, 200);
    Ok(())
}

fn waiting(seconds: u64) -> GetMessages {
    GetMessages { wait_seconds: Some(seconds), ..GetMessages::default() }
}

fn lease(page: &MessagePage) -> LeaseId {
    page.lease.clone().expect("something was handed over")
}

#[tokio::test]
async fn a_waiting_reader_gets_a_message_as_it_comes() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let (page, received) = tokio::join!(session.call(waiting(10)), receive(&relay, 1, "hello"));
    received?;
    let page = page?.reply;
    assert_eq!((page.messages.len(), page.messages[0].attempt), (1, 1));
    relay.stop().await
}

#[tokio::test]
async fn a_wait_that_ends_gives_an_empty_page() -> Result<()> {
    let relay = TestRelay::live().await?;
    let page = relay.session().await?.call(waiting(1)).await?.reply;
    assert_eq!((page.messages.len(), page.lease), (0, None));
    relay.stop().await
}

#[tokio::test]
async fn unread_messages_come_oldest_first() -> Result<()> {
    let relay = TestRelay::live().await?;
    for number in 1..=3 {
        receive(&relay, number, &format!("number {number}")).await?;
    }
    let page = relay.session().await?.call(GetMessages::default()).await?.reply;
    let texts: Vec<_> =
        page.messages.iter().map(|m| m.text.lines().nth(1).unwrap_or_default().to_owned()).collect();
    assert_eq!(texts, ["number 1", "number 2", "number 3"]);
    relay.stop().await
}

#[tokio::test]
async fn a_confirmed_message_is_read_for_good() -> Result<()> {
    let relay = TestRelay::live().await?;
    receive(&relay, 1, "hello").await?;
    let session = relay.session().await?;
    let page = session.call(GetMessages::default()).await?.reply;
    session.call(ConfirmRead::Messages { lease: lease(&page) }).await?;
    let told = session.call(Ping { message: "x".to_owned() }).await?;
    assert_eq!(told.unread, None);
    assert_eq!(session.call(GetMessages::default()).await?.reply.messages.len(), 0);
    relay.stop().await
}

#[tokio::test]
async fn what_a_session_never_confirmed_comes_again_when_it_ends() -> Result<()> {
    let relay = TestRelay::live().await?;
    receive(&relay, 1, "hello").await?;
    let first = relay.session().await?;
    assert_eq!(first.call(GetMessages::default()).await?.reply.messages[0].attempt, 1);
    drop(first);
    let page = timeout(SOON, relay.session().await?.call(waiting(10))).await??.reply;
    assert_eq!(page.messages[0].attempt, 2);
    relay.stop().await
}

#[tokio::test]
async fn what_was_never_confirmed_comes_again_after_a_restart() -> Result<()> {
    let relay = TestRelay::live().await?;
    receive(&relay, 1, "hello").await?;
    let session = relay.session().await?;
    assert_eq!(session.call(GetMessages::default()).await?.reply.messages.len(), 1);
    let relay = relay.restart("").await?;
    let page = relay.session().await?.call(GetMessages::default()).await?.reply;
    assert_eq!(page.messages[0].attempt, 2);
    relay.stop().await
}

#[tokio::test]
async fn two_sessions_never_both_get_a_message() -> Result<()> {
    let relay = TestRelay::live().await?;
    for number in 0..40 {
        receive(&relay, number, "for one of you").await?;
    }
    let mut seen = Vec::new();
    let sessions = [relay.session().await?, relay.session().await?, relay.session().await?];
    let take = GetMessages { limit: Some(5), ..GetMessages::default() };
    for _ in 0..3 {
        let pages = futures_util::future::try_join_all(sessions.iter().map(|s| s.call(take.clone()))).await?;
        seen.extend(pages.into_iter().flat_map(|told| told.reply.messages).map(|message| message.id));
    }
    let handed_over = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!((handed_over, seen.len()), (40, 40));
    relay.stop().await
}

#[tokio::test]
async fn a_foreign_lease_cannot_be_confirmed() -> Result<()> {
    let relay = TestRelay::live().await?;
    receive(&relay, 1, "hello").await?;
    let owner = relay.session().await?;
    let page = owner.call(GetMessages::default()).await?.reply;
    let stranger = relay.session().await?;
    let refused = stranger.call(ConfirmRead::Messages { lease: lease(&page) }).await.unwrap_err();
    let absent = stranger.call(ConfirmRead::Messages { lease: LeaseId::generate() }).await.unwrap_err();
    assert_eq!(format!("{refused:?}"), format!("{absent:?}"));
    relay.stop().await
}

#[tokio::test]
async fn every_result_tells_what_waits() -> Result<()> {
    let relay = TestRelay::live().await?;
    receive(&relay, 1, "hello").await?;
    let told = relay.session().await?.call(Ping { message: "x".to_owned() }).await?;
    assert_eq!(told.unread.map(|unread| unread.messages), Some(1));
    relay.stop().await
}

#[tokio::test]
async fn a_subscriber_is_told_of_changes() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let mut events = session.subscribe().await?;
    // The answer to a call shows that the subscription has arrived.
    session.call(Ping { message: "x".to_owned() }).await?;
    receive(&relay, 1, "hello").await?;
    let event = timeout(SOON, events.next()).await?;
    assert!(matches!(event, Some(Event::InboxChanged { unread }) if unread.messages == 1), "{event:?}");
    relay.stop().await
}

#[tokio::test]
async fn history_shows_both_directions_newest_first() -> Result<()> {
    let relay = TestRelay::live().await?;
    receive(&relay, 1, "question").await?;
    let session = relay.session().await?;
    let answer = SendMessage::sms(PERSON, "answer");
    session.call(answer).await?;
    let all = GetMessages { unread: Some(false), limit: Some(1), ..GetMessages::default() };
    let first = session.call(all.clone()).await?.reply;
    assert_eq!((first.messages[0].direction, first.total), (Direction::Outbound, 2));
    assert_eq!(first.messages[0].status, MessageStatus::Accepted);
    let next = session.call(GetMessages { cursor: first.next_cursor, ..all }).await?.reply;
    assert_eq!(next.messages[0].direction, Direction::Inbound);
    relay.stop().await
}

#[tokio::test]
async fn limits_and_cursors_that_make_no_sense_are_refused() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    for question in [
        GetMessages { limit: Some(0), ..GetMessages::default() },
        GetMessages { limit: Some(201), ..GetMessages::default() },
        GetMessages { cursor: Some("next".to_owned()), ..GetMessages::default() },
    ] {
        let problem = session.call(question).await.unwrap_err();
        let shared::ipc::ClientError::Api(problem) = problem else { panic!("{problem:?}") };
        assert_eq!(problem.code, ErrorCode::InvalidInput);
    }
    relay.stop().await
}
