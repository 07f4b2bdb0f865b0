//! Voice messages: a call that says a text and hangs up.

use std::time::Duration;

use anyhow::{Context, Result};
use rstest::rstest;
use shared::ipc::Client;
use shared::model::{CallStatus, Channel, Direction, MessageStatus};
use shared::protocol::{
    DecideApproval, Decision, Envelope, ErrorCode, GetMessages, SendVoiceMessage, VoiceMessageSent, VoiceRoad,
};
use tests::emulators::twilio::{Emulator, Fault};
use tests::line::{Line, call_form};
use tests::refusal::refusal;
use tests::relay::{Answer, OUR_NUMBER, PERSON, TestRelay};
use tests::wait::until;

use super::{OTHER_SID, listening, saying};

/// Twilio's number for "not a valid phone number".
const INVALID: &str = "+15005550001";
const EMPTY_TWIML: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response></Response>";

fn message(text: &str) -> SendVoiceMessage {
    SendVoiceMessage {
        to: PERSON.to_owned(),
        text: text.to_owned(),
        voice: None,
        channel: None,
        idempotency_key: None,
    }
}

fn emulator(relay: &TestRelay) -> &Emulator {
    relay.twilio.as_ref().expect("in live mode there is one")
}

/// The paths that the carrier was asked to do something at.
fn posted(relay: &TestRelay, resource: &str) -> usize {
    let received = emulator(relay).received();
    received.iter().filter(|request| request.method == "POST" && request.target.ends_with(resource)).count()
}

/// What became of the only voice message, by the agent's own list.
async fn status(session: &Client) -> Result<MessageStatus> {
    let sent = GetMessages {
        direction: Some(Direction::Outbound),
        channel: Some(Channel::Voice),
        ..GetMessages::default()
    };
    let page = session.call(sent).await?.reply;
    assert_eq!(page.messages.len(), 1, "{page:?}");
    Ok(page.messages[0].status)
}

/// Sends one to a telephone that nobody picks up by itself.
async fn sent(relay: &TestRelay, wanted: SendVoiceMessage) -> Result<VoiceMessageSent> {
    emulator(relay).carrier.watch(PERSON.parse()?);
    Ok(relay.session().await?.call(wanted).await?.reply)
}

/// The address that the carrier was given under this name for the call, as a path.
fn path(relay: &TestRelay, name: &str) -> Result<String> {
    let received = emulator(relay).received();
    let placed = received.iter().find(|request| request.target.ends_with("/Calls.json"));
    let body = &placed.context("a call was placed")?.body;
    let (_, url) =
        form_urlencoded::parse(body).find(|(field, _)| field == name).context("it has that address")?;
    Ok(url.replace("https://relay.test", "").split('#').next().unwrap_or_default().to_owned())
}

/// The carrier asks what to say.
async fn picked_up(relay: &TestRelay, call: &str) -> Result<Answer> {
    relay.post_signed(&path(relay, "Url")?, &call_form(call, OUR_NUMBER)).await
}

async fn report(relay: &TestRelay, call: &str, status: &str) -> Result<u16> {
    let form = [("CallSid", call), ("CallStatus", status)];
    Ok(relay.post_signed(&path(relay, "StatusCallback")?, &form).await?.status)
}

#[tokio::test]
async fn whoever_picks_up_hears_the_notice_and_the_text_in_the_wanted_voice() -> Result<()> {
    let relay = TestRelay::live().await?;
    let wanted = SendVoiceMessage { voice: Some("Polly.Amy".to_owned()), ..message("Tea & cake at <five>.") };
    let reply = sent(&relay, wanted).await?;
    let call = reply.call_sid.context("it is named")?;
    let expected = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response>\
                    <Say language=\"en-US\" voice=\"Polly.Amy\">You are talking to an AI assistant. Tea &amp; cake at \
                    &lt;five&gt;.</Say><Hangup/></Response>";
    for _ in 0..2 {
        assert_eq!(picked_up(&relay, call.as_str()).await?.body, expected);
    }
    assert_eq!(emulator(&relay).problems(), [""; 0]);
    relay.stop().await
}

#[tokio::test]
async fn a_voice_message_that_was_said_is_delivered() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let reply = sent(&relay, message("Hello.")).await?;
    let call = reply.call_sid.context("it is named")?;
    let mut seen = vec![reply.status, status(&session).await?];
    picked_up(&relay, call.as_str()).await?;
    seen.push(status(&session).await?);
    report(&relay, call.as_str(), "completed").await?;
    seen.push(status(&session).await?);
    use MessageStatus::{Accepted, Delivered, Sent};
    assert_eq!(seen, [Accepted, Accepted, Sent, Delivered]);
    assert_eq!(picked_up(&relay, call.as_str()).await?.body, EMPTY_TWIML);
    relay.stop().await
}

#[rstest]
#[case("busy")]
#[case("no-answer")]
#[case("failed")]
#[case("canceled")]
#[tokio::test]
async fn a_voice_message_that_nobody_heard_is_not_delivered(#[case] word: &str) -> Result<()> {
    let relay = TestRelay::live().await?;
    let call = sent(&relay, message("Hello.")).await?.call_sid.context("it is named")?;
    report(&relay, call.as_str(), "ringing").await?;
    report(&relay, call.as_str(), word).await?;
    assert_eq!(status(&relay.session().await?).await?, MessageStatus::Undelivered);
    relay.stop().await
}

#[tokio::test]
async fn news_that_come_out_of_order_end_in_the_same() -> Result<()> {
    let relay = TestRelay::live().await?;
    let call = sent(&relay, message("Hello.")).await?.call_sid.context("it is named")?;
    let form = [("CallSid", call.as_str()), ("CallStatus", "completed"), ("CallDuration", "7")];
    relay.post_signed(&path(&relay, "StatusCallback")?, &form).await?;
    for word in ["in-progress", "ringing", "initiated"] {
        report(&relay, call.as_str(), word).await?;
    }
    assert_eq!(status(&relay.session().await?).await?, MessageStatus::Delivered);
    relay.stop().await
}

#[tokio::test]
async fn a_key_calls_once_however_often_and_fast_it_is_used() -> Result<()> {
    let relay = TestRelay::live().await?;
    emulator(&relay).carrier.watch(PERSON.parse()?);
    let session = relay.session().await?;
    let wanted = SendVoiceMessage { idempotency_key: Some("once".to_owned()), ..message("Hello.") };
    futures_util::future::join_all((0..32).map(|_| session.call(wanted.clone()))).await;
    let again = session.call(wanted.clone()).await?.reply;
    let other = SendVoiceMessage { text: "Goodbye.".to_owned(), ..wanted.clone() };
    assert_eq!(refusal(session.call(other).await)?.code, ErrorCode::InvalidInput);
    assert_eq!((posted(&relay, "/Calls.json"), session.call(wanted).await?.reply), (1, again));
    relay.stop().await
}

#[rstest]
#[case::empty(message(""), ErrorCode::InvalidInput)]
#[case::nothing_to_hear(message(" \u{202e}\u{200b}\n"), ErrorCode::InvalidInput)]
#[case::a_novel(message(&"a".repeat(3_001)), ErrorCode::InvalidInput)]
#[case::no_number(SendVoiceMessage { to: "2025550147".to_owned(), ..message("Hi.") }, ErrorCode::InvalidInput)]
#[case::itself(SendVoiceMessage { to: OUR_NUMBER.to_owned(), ..message("Hi.") }, ErrorCode::InvalidInput)]
#[case::an_unknown_agent(SendVoiceMessage { to: "nobody".to_owned(), ..message("Hi.") }, ErrorCode::NotFound)]
#[case::a_nameless_voice(
    SendVoiceMessage { voice: Some(String::new()), ..message("Hi.") },
    ErrorCode::InvalidInput
)]
#[case::an_empty_key(
    SendVoiceMessage { idempotency_key: Some(String::new()), ..message("Hi.") },
    ErrorCode::InvalidInput
)]
#[case::as_a_voice_note(
    SendVoiceMessage { channel: Some(VoiceRoad::Whatsapp), ..message("Hi.") },
    ErrorCode::ProviderNotConfigured
)]
#[tokio::test]
async fn a_voice_message_that_cannot_be_is_refused_and_nobody_is_rung(
    #[case] wanted: SendVoiceMessage,
    #[case] code: ErrorCode,
) -> Result<()> {
    let relay = TestRelay::live().await?;
    assert_eq!(refusal(relay.session().await?.call(wanted).await)?.code, code);
    assert_eq!(emulator(&relay).received(), []);
    relay.stop().await
}

#[tokio::test]
async fn the_longest_text_can_be_said_to_its_end() -> Result<()> {
    let relay = TestRelay::live().await?;
    let reply = sent(&relay, message(&"a".repeat(3_000))).await?;
    assert_eq!(reply.status, MessageStatus::Accepted);
    let received = emulator(&relay).received();
    let limit = form_urlencoded::parse(&received[0].body).find(|(name, _)| name == "TimeLimit");
    assert_eq!(limit.context("there is a limit")?.1, "240");
    relay.stop().await
}

#[tokio::test]
async fn a_text_that_the_longest_call_would_cut_off_is_refused() -> Result<()> {
    let relay = TestRelay::live_with("[limits]\ncall_minutes = 1").await?;
    let problem = refusal(relay.session().await?.call(message(&"a".repeat(1_000))).await)?;
    assert_eq!(
        (problem.code, problem.message.as_str()),
        (
            ErrorCode::InvalidInput,
            "`text` is not valid: to say it takes about 67 seconds, and this call ends after 60"
        )
    );
    assert_eq!(emulator(&relay).received(), []);
    relay.stop().await
}

#[tokio::test]
async fn what_the_carrier_refuses_has_failed_and_is_told_again_for_the_same_key() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let wanted = SendVoiceMessage {
        to: INVALID.to_owned(),
        idempotency_key: Some("bad".to_owned()),
        ..message("Hello.")
    };
    let problem = refusal(session.call(wanted.clone()).await)?;
    assert_eq!(
        (problem.code, problem.provider_code.as_deref(), problem.message_id.is_some()),
        (ErrorCode::ProviderRejected, Some("21211"), true)
    );
    assert_eq!(refusal(session.call(wanted).await)?.code, ErrorCode::ProviderRejected);
    assert_eq!((posted(&relay, "/Calls.json"), status(&session).await?), (1, MessageStatus::Failed));
    relay.stop().await
}

#[rstest]
#[case::broken(Fault::Break, MessageStatus::Accepted)]
#[case::server_error(Fault::Status(500), MessageStatus::Failed)]
#[tokio::test]
async fn a_voice_message_whose_answer_was_lost_is_asked_about_and_never_sent_again(
    #[case] fault: Fault,
    #[case] settled: MessageStatus,
) -> Result<()> {
    let relay = TestRelay::live().await?;
    emulator(&relay).carrier.watch(PERSON.parse()?);
    emulator(&relay).fail(fault);
    let session = relay.session().await?;
    assert_eq!(refusal(session.call(message("Hello.")).await)?.code, ErrorCode::OutcomeUnknown);
    emulator(&relay).fail(Fault::None);
    let became = until("what became of the call", async || {
        Ok(Some(status(&session).await?).filter(|status| *status != MessageStatus::Intended))
    });
    assert_eq!((became.await?, posted(&relay, "/Calls.json")), (settled, 1));
    relay.stop().await
}

#[tokio::test]
async fn a_voice_message_that_a_stop_left_open_never_goes_out_as_a_text() -> Result<()> {
    let relay = TestRelay::live().await?;
    emulator(&relay).fail(Fault::Status(500));
    let lost = refusal(relay.session().await?.call(message("Hello.")).await)?;
    assert_eq!(lost.code, ErrorCode::OutcomeUnknown);
    emulator(&relay).fail(Fault::None);
    let relay = relay.restart("").await?;
    let session = relay.session().await?;
    let became = until("what became of the call", async || {
        Ok(Some(status(&session).await?).filter(|status| *status != MessageStatus::Intended))
    });
    assert_eq!((became.await?, posted(&relay, "/Messages.json")), (MessageStatus::Failed, 0));
    relay.stop().await
}

#[tokio::test]
async fn nobody_can_talk_in_the_call_of_a_voice_message() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let call = sent(&relay, message("Hello.")).await?.call_sid.context("it is named")?;
    picked_up(&relay, call.as_str()).await?;
    let heard = session.call(listening(call.as_str(), 0)).await?.reply;
    assert_eq!((heard.call_status, heard.turn_id), (CallStatus::InProgress, None));
    let problem = refusal(session.call(saying(call.as_str(), "And more.")).await)?;
    assert_eq!(problem.message, "This call only says a voice message; nobody can talk in it.");
    let mut line = Line::open(&relay, call.as_str()).await?;
    assert_eq!(line.closed().await?, Some(1008));
    relay.stop().await
}

#[tokio::test]
async fn the_answer_of_a_voice_message_under_a_foreign_name_is_refused() -> Result<()> {
    let relay = TestRelay::live().await?;
    sent(&relay, message("Hello.")).await?;
    assert_eq!(picked_up(&relay, OTHER_SID).await?.status, 404);
    relay.stop().await
}

#[tokio::test]
async fn a_voice_message_to_somebody_new_needs_a_persons_yes() -> Result<()> {
    let relay = TestRelay::live_with("[policy]\nrecipients = 'approve-new'").await?;
    emulator(&relay).carrier.watch(PERSON.parse()?);
    let session = relay.session().await?;
    let problem = refusal(session.call(message("Hello.")).await)?;
    let approval_id = problem.approval_id.context("a question was asked")?;
    assert_eq!((problem.code, posted(&relay, "/Calls.json")), (ErrorCode::ApprovalPending, 0));
    let decision = Decision::Approve;
    session.call(DecideApproval { approval_id: approval_id.clone(), decision }).await?;
    let envelope = Envelope { approval_id: Some(approval_id), ..Envelope::default() };
    session.call_with(message("Hello."), envelope).await?;
    assert_eq!(posted(&relay, "/Calls.json"), 1);
    relay.stop().await
}

#[tokio::test]
async fn a_number_gets_no_more_voice_messages_a_day_than_calls() -> Result<()> {
    let relay = TestRelay::live_with("[limits]\ncalls_per_day_same_number = 1").await?;
    sent(&relay, message("Hello.")).await?;
    let problem = refusal(relay.session().await?.call(message("Hello again.")).await)?;
    assert_eq!((problem.code, posted(&relay, "/Calls.json")), (ErrorCode::ContactFrequency, 1));
    relay.stop().await
}

#[tokio::test]
async fn a_person_who_picks_up_hears_the_message_and_nothing_else() -> Result<()> {
    let relay = TestRelay::demo().await?;
    let (session, carrier) = (relay.session().await?, relay.carrier());
    carrier.watch(PERSON.parse()?);
    let call = session.call(message("Tea at five.")).await?.reply.call_sid.context("it is named")?;
    carrier.answer(&PERSON.parse()?, Duration::from_secs(20)).await?;
    let over = until("the end of the call", async || {
        let (heard, status) = carrier.heard(&call, 1, Duration::from_secs(5)).await?;
        Ok(status.is_final().then_some((heard, status)))
    });
    let text = "You are talking to an AI assistant. Tea at five.".to_owned();
    assert_eq!(over.await?, (vec![text], CallStatus::Completed));
    until("the carrier's last word", async || {
        Ok((status(&session).await? == MessageStatus::Delivered).then_some(()))
    })
    .await?;
    relay.stop().await
}

#[tokio::test]
async fn a_person_who_declines_has_no_message() -> Result<()> {
    let relay = TestRelay::demo().await?;
    let (session, carrier) = (relay.session().await?, relay.carrier());
    carrier.watch(PERSON.parse()?);
    let call = session.call(message("Tea at five.")).await?.reply.call_sid.context("it is named")?;
    carrier.hang_up(&call)?;
    until("the carrier's last word", async || {
        Ok((status(&session).await? == MessageStatus::Undelivered).then_some(()))
    })
    .await?;
    assert_eq!(carrier.heard(&call, 0, Duration::ZERO).await?, (Vec::new(), CallStatus::Busy));
    relay.stop().await
}
