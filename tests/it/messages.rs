//! Sending: what is refused, what is sent once, and what becomes of a lost answer.

mod receipts;
mod recovery;

use anyhow::Result;
use relay_providers::simulated::LineError;
use rstest::rstest;
use shared::ipc::Client;
use shared::model::{Channel, Direction, Message, MessageStatus};
use shared::protocol::{ErrorCode, GetMessages, SendMessage};
use tests::emulators::twilio::{Emulator, Fault};
use tests::refusal::refusal;
use tests::relay::{OUR_NUMBER, PERSON, TestRelay};
use tests::wait::until;

/// Twilio's number for "not a valid phone number".
const INVALID: &str = "+15005550001";

fn text(body: &str) -> SendMessage {
    SendMessage::sms(PERSON, body)
}

fn text_to(to: &str) -> SendMessage {
    SendMessage { to: to.to_owned(), ..text("hello") }
}

fn with_key(key: &str, message: SendMessage) -> SendMessage {
    SendMessage { idempotency_key: Some(key.to_owned()), ..message }
}

fn with_media(urls: &[&str], message: SendMessage) -> SendMessage {
    SendMessage { media_urls: urls.iter().map(|url| (*url).to_owned()).collect(), ..message }
}

fn emulator(relay: &TestRelay) -> &Emulator {
    relay.twilio.as_ref().expect("in live mode there is one")
}

/// How many messages the carrier was asked to send.
fn posts(relay: &TestRelay) -> usize {
    emulator(relay).received().iter().filter(|request| request.method == "POST").count()
}

/// How often the carrier was asked what it knows.
fn questions(relay: &TestRelay) -> usize {
    emulator(relay).received().iter().filter(|request| request.method == "GET").count()
}

/// The bodies that reached the person.
fn arrived(relay: &TestRelay) -> Vec<String> {
    let number = PERSON.parse().expect("it is a phone number");
    emulator(relay).carrier.texts_to(&number).into_iter().map(|text| text.body).collect()
}

/// Everything that was to be sent, newest first.
async fn outbox(session: &Client) -> Result<Vec<Message>> {
    let sent =
        GetMessages { direction: Some(Direction::Outbound), limit: Some(200), ..GetMessages::default() };
    Ok(session.call(sent).await?.reply.messages)
}

/// Waits until the only message that was sent has this status.
async fn settles_as(session: &Client, status: MessageStatus) -> Result<()> {
    until(status.as_str(), async || {
        let sent = outbox(session).await?;
        assert_eq!(sent.len(), 1, "{sent:?}");
        Ok((sent[0].status == status).then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_text_goes_out_as_it_was_given() -> Result<()> {
    let relay = TestRelay::live().await?;
    let sent = relay.session().await?.call(text("Héllo & good day 👍\n= 1 + 1")).await?.reply;
    assert_eq!(
        (sent.status, sent.from.as_str(), sent.to.as_str(), sent.segments, sent.warnings),
        (MessageStatus::Accepted, OUR_NUMBER, PERSON, Some(1), vec![])
    );
    assert_eq!(arrived(&relay), ["Héllo & good day 👍\n= 1 + 1"]);
    relay.stop().await
}

#[rstest]
#[case::no_country(text_to("2025550147"))]
#[case::nothing(text_to(""))]
#[case::leading_zero(text_to("+02025550147"))]
#[case::too_long(text_to("+1202555014712345"))]
#[case::spaces_inside(text_to("+1 202 555 0147"))]
#[case::letters(text_to("+1202555CALL"))]
#[case::digits_of_another_script(text_to("+١٢٠٢٥٥٥٠١٤٧"))]
#[case::two_numbers(text_to("+12025550147,+12025550148"))]
#[case::another_road(text_to("whatsapp:+12025550147"))]
#[case::email(text_to("bob@example.com"))]
#[case::itself(text_to(OUR_NUMBER))]
#[case::no_words(text(""))]
#[case::only_blanks(text(" \n\t"))]
#[case::only_invisible_characters(text("\u{0}\u{200b}\u{202e}"))]
#[case::one_character_too_many(text(&"a".repeat(1_601)))]
#[case::a_book(text(&"a".repeat(100_000)))]
#[case::media_without_tls(with_media(&["http://example.com/a.png"], text("look")))]
#[case::media_of_this_machine(with_media(&["file:///etc/passwd"], text("look")))]
#[case::too_many_media(with_media(&["https://example.com/a.png"; 11], text("look")))]
#[case::an_empty_key(with_key("", text("hello")))]
#[case::a_long_key(with_key(&"k".repeat(257), text("hello")))]
#[case::a_voice_without_a_call(SendMessage { channel: Channel::Voice, ..text("hello") })]
#[tokio::test]
async fn a_message_that_makes_no_sense_is_refused_and_nothing_leaves(
    #[case] message: SendMessage,
) -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    assert_eq!(refusal(session.call(message).await)?.code, ErrorCode::InvalidInput);
    assert_eq!((outbox(&session).await?.len(), emulator(&relay).received()), (0, vec![]));
    relay.stop().await
}

#[rstest]
#[case(Channel::Email, ErrorCode::ProviderNotConfigured)]
#[case(Channel::Whatsapp, ErrorCode::ChannelNotProvisioned)]
#[tokio::test]
async fn a_channel_that_is_not_set_up_is_refused_and_nothing_leaves(
    #[case] channel: Channel,
    #[case] code: ErrorCode,
) -> Result<()> {
    let relay = TestRelay::live().await?;
    let problem = refusal(relay.session().await?.call(SendMessage { channel, ..text("hello") }).await)?;
    assert_eq!((problem.code, emulator(&relay).received()), (code, vec![]));
    relay.stop().await
}

#[tokio::test]
async fn the_longest_text_and_pictures_without_words_are_sent() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let long = "a".repeat(1_600);
    session.call(text(&long)).await?;
    session.call(with_media(&["https://example.com/a.png"], text(""))).await?;
    assert_eq!(arrived(&relay), [long, String::new()]);
    relay.stop().await
}

#[tokio::test]
async fn invisible_characters_do_not_go_out_and_are_told() -> Result<()> {
    let relay = TestRelay::live().await?;
    let sent = relay.session().await?.call(text("pay\u{0} \u{202e}now\u{202c}\u{200b}!")).await?.reply;
    let warning = "4 invisible or direction-changing characters were left out of the text.".to_owned();
    assert_eq!((arrived(&relay), sent.warnings), (vec!["pay now!".to_owned()], vec![warning]));
    relay.stop().await
}

#[tokio::test]
async fn a_key_sends_one_message_however_often_and_fast_it_is_used() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let message = with_key("once", text("hello"));
    let calls = (0..64).map(|_| session.call(message.clone()));
    let mut ids: Vec<_> = futures_util::future::try_join_all(calls)
        .await?
        .into_iter()
        .map(|told| told.reply.message_id)
        .collect();
    ids.push(session.call(message).await?.reply.message_id);
    ids.dedup();
    assert_eq!((ids.len(), arrived(&relay).len(), posts(&relay)), (1, 1, 1));
    relay.stop().await
}

#[rstest]
#[case::other_words(with_key("once", text("hello again")))]
#[case::another_person(with_key("once", text_to("+12025550148")))]
#[case::with_a_picture(with_key("once", with_media(&["https://example.com/a.png"], text("hello"))))]
#[tokio::test]
async fn a_key_that_comes_with_another_request_is_refused(#[case] other: SendMessage) -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    session.call(with_key("once", text("hello"))).await?;
    assert_eq!(refusal(session.call(other).await)?.code, ErrorCode::InvalidInput);
    assert_eq!(posts(&relay), 1);
    relay.stop().await
}

#[tokio::test]
async fn a_key_holds_after_a_restart() -> Result<()> {
    let relay = TestRelay::live().await?;
    let message = with_key("once", text("hello"));
    let first = relay.session().await?.call(message.clone()).await?.reply.message_id;
    let relay = relay.restart("").await?;
    assert_eq!(relay.session().await?.call(message).await?.reply.message_id, first);
    assert_eq!(posts(&relay), 1);
    relay.stop().await
}

#[rstest]
#[case::broken(Fault::Break)]
#[case::garbled(Fault::Garbage)]
#[case::too_much(Fault::Flood)]
#[tokio::test]
async fn a_message_whose_answer_was_lost_is_found_again_and_never_resent(#[case] fault: Fault) -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    emulator(&relay).fail(fault);
    let message = with_key("once", text("hello"));
    let problem = refusal(session.call(message.clone()).await)?;
    assert_eq!((problem.code, problem.retryable), (ErrorCode::OutcomeUnknown, false));
    assert_eq!(refusal(session.call(message.clone()).await)?.code, ErrorCode::OutcomeUnknown);
    emulator(&relay).fail(Fault::None);
    until("the question about it", async || Ok((questions(&relay) > 0).then_some(()))).await?;
    until("what became of it", async || {
        Ok(outbox(&session).await?.iter().all(|sent| sent.status != MessageStatus::Unknown).then_some(()))
    })
    .await?;
    assert!(session.call(message).await?.reply.external_id.is_some());
    assert_eq!((posts(&relay), arrived(&relay).len()), (1, 1));
    relay.stop().await
}

#[tokio::test]
async fn a_message_that_a_failing_carrier_never_took_stays_unknown_and_is_not_resent() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    emulator(&relay).fail(Fault::Status(500));
    assert_eq!(refusal(session.call(text("hello")).await)?.code, ErrorCode::OutcomeUnknown);
    emulator(&relay).fail(Fault::None);
    until("the question about it", async || Ok((questions(&relay) > 0).then_some(()))).await?;
    settles_as(&session, MessageStatus::Unknown).await?;
    assert_eq!((posts(&relay), arrived(&relay).len()), (1, 0));
    relay.stop().await
}

#[tokio::test]
async fn a_carrier_that_never_answers_delays_the_tool_by_seconds_only() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    emulator(&relay).fail(Fault::Silence);
    let sent = session.call(text("hello")).await?.reply;
    assert_eq!((sent.status, sent.warnings.len()), (MessageStatus::Sending, 1));
    settles_as(&session, MessageStatus::Unknown).await?;
    emulator(&relay).fail(Fault::None);
    until("what became of it", async || {
        Ok((outbox(&session).await?[0].status != MessageStatus::Unknown).then_some(()))
    })
    .await?;
    assert_eq!((posts(&relay), arrived(&relay).len()), (1, 1));
    relay.stop().await
}

#[tokio::test]
async fn a_carrier_that_asks_for_patience_is_asked_again() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    emulator(&relay).fail(Fault::Status(429));
    let (sent, relented) = tokio::join!(session.call(text("hello")), async {
        until("a second try", async || Ok((posts(&relay) == 2).then_some(()))).await?;
        emulator(&relay).fail(Fault::None);
        anyhow::Ok(())
    });
    relented?;
    assert!(matches!(sent?.reply.status, MessageStatus::Accepted | MessageStatus::Sending));
    settles_as(&session, MessageStatus::Accepted).await?;
    assert_eq!((posts(&relay), arrived(&relay).len()), (3, 1));
    relay.stop().await
}

#[tokio::test]
async fn a_number_that_the_carrier_refuses_is_told_with_its_code() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let message = with_key("bad", text_to(INVALID));
    let problem = refusal(session.call(message.clone()).await)?;
    assert_eq!(
        (problem.code, problem.provider_code.as_deref(), problem.message_id.is_some()),
        (ErrorCode::ProviderRejected, Some("21211"), true)
    );
    assert_eq!(refusal(session.call(message).await)?.code, ErrorCode::ProviderRejected);
    assert_eq!((posts(&relay), outbox(&session).await?[0].status), (1, MessageStatus::Failed));
    relay.stop().await
}

#[tokio::test]
async fn a_person_who_opted_out_at_the_carrier_is_told_as_such() -> Result<()> {
    let relay = TestRelay::live().await?;
    // The carrier obeys the word by itself; nobody listens where it forwards it to.
    let forwarded = emulator(&relay).carrier.text(&PERSON.parse()?, &OUR_NUMBER.parse()?, "STOP").await;
    assert_eq!(forwarded.unwrap_err(), LineError::WebhookUnreachable);
    let problem = refusal(relay.session().await?.call(text("hello")).await)?;
    assert_eq!(
        (problem.code, problem.provider_code.as_deref(), problem.retryable),
        (ErrorCode::ProviderRejected, Some("21610"), false)
    );
    assert!(problem.message.contains("opted out"), "{}", problem.message);
    relay.stop().await
}

#[tokio::test]
async fn wrong_credentials_are_told_without_them() -> Result<()> {
    let relay = TestRelay::live().await?;
    emulator(&relay).fail(Fault::Status(401));
    let problem = refusal(relay.session().await?.call(text("hello")).await)?;
    assert_eq!(problem.code, ErrorCode::ProviderRejected);
    assert!(!format!("{problem:?}").contains("token-of-the-emulator"), "{problem:?}");
    relay.stop().await
}
