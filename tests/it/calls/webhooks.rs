//! The carrier's posts about calls: repeated, out of order, about lost sockets.

use anyhow::Result;
use relay_store::call_logs::{self, CallLog};
use relay_store::{FutureExt, StoreError};
use rstest::rstest;
use shared::model::{CallStatus, MessageKind};
use tests::line::{Line, VOICE, attribute, call_form, call_status, ring, session_ended};
use tests::refusal::refusal;
use tests::relay::{Answer, TestRelay};
use tests::wait::until;

use super::{OTHER_SID, SID, claim, hear, inbox, said, saying, sid, speak, transcript};

const EMPTY_TWIML: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response></Response>";

async fn row(relay: &TestRelay) -> Result<CallLog> {
    let read = relay.app().db.read::<_, StoreError, _>(|conn| {
        async move { call_logs::find_by_sid(conn, &sid(SID)).await }.boxed()
    });
    Ok(read.await?.expect("the call is recorded"))
}

#[tokio::test]
async fn a_call_is_connected_to_the_socket_with_a_notice_and_a_greeting() -> Result<()> {
    let relay = TestRelay::live_with("[voice]\ngreeting = 'Who & what?'").await?;
    let twiml = ring(&relay, SID).await?.body;
    let named = ["url", "welcomeGreeting", "language"].map(|name| attribute(&twiml, name));
    let expected = [
        "wss://relay.test/webhooks/default/voice-ws",
        "You are talking to an AI assistant. Who & what?",
        "en-US",
    ];
    assert_eq!(named, expected.map(|value| Some(value.to_owned())));
    relay.stop().await
}

#[tokio::test]
async fn the_same_call_announced_again_gets_the_same_answer_and_is_one_entry() -> Result<()> {
    let relay = TestRelay::live().await?;
    let first = ring(&relay, SID).await?;
    assert_eq!(first.status, 200);
    let again = futures_util::future::try_join_all((0..20).map(|_| ring(&relay, SID))).await?;
    assert!(again.iter().all(|answer| *answer == first), "{again:?}");
    assert_eq!(inbox(&relay.session().await?, MessageKind::Call).await?.len(), 1);
    relay.stop().await
}

#[tokio::test]
async fn a_call_announced_many_times_at_once_is_one_entry() -> Result<()> {
    let relay = TestRelay::live().await?;
    let answers = futures_util::future::try_join_all((0..20).map(|_| ring(&relay, SID))).await?;
    assert!(answers.iter().all(|answer| *answer == answers[0] && answer.status == 200), "{answers:?}");
    assert_eq!(inbox(&relay.session().await?, MessageKind::Call).await?.len(), 1);
    relay.stop().await
}

#[rstest]
#[case::empty(Some(""), "anonymous")]
#[case::absent(None, "anonymous")]
#[case::the_carriers_own_word(Some("Anonymous"), "Anonymous")]
#[case::the_number_for_hidden_ones(Some("+266696687"), "+266696687")]
#[tokio::test]
async fn a_caller_may_hide_the_number(#[case] from: Option<&str>, #[case] known_as: &str) -> Result<()> {
    let relay = TestRelay::live().await?;
    let mut form = call_form(SID, from.unwrap_or_default());
    form.retain(|(name, _)| *name != "From" || from.is_some());
    assert_eq!(relay.post_signed(VOICE, &form).await?.status, 200);
    assert_eq!(row(&relay).await?.from_address, known_as);
    relay.stop().await
}

#[rstest]
#[case::in_order(&["ringing", "in-progress", "completed"], CallStatus::Completed)]
#[case::backwards(&["completed", "in-progress", "ringing", "initiated"], CallStatus::Completed)]
#[case::repeated(&["in-progress", "in-progress", "ringing", "in-progress"], CallStatus::InProgress)]
#[case::unknown_word(&["in-progress", "levitating"], CallStatus::InProgress)]
#[tokio::test]
async fn the_status_of_a_call_only_moves_forward(
    #[case] told: &[&str],
    #[case] status: CallStatus,
) -> Result<()> {
    let relay = TestRelay::live().await?;
    ring(&relay, SID).await?;
    for word in told {
        assert_eq!(call_status(&relay, SID, word).await?, 200);
    }
    assert_eq!(row(&relay).await?.status, status);
    relay.stop().await
}

#[tokio::test]
async fn news_of_a_call_that_nobody_knows_changes_nothing() -> Result<()> {
    let relay = TestRelay::live().await?;
    assert_eq!(call_status(&relay, OTHER_SID, "completed").await?, 200);
    assert_eq!(ring(&relay, OTHER_SID).await?.status, 200);
    let mut line = Line::open(&relay, OTHER_SID).await?;
    line.say("Hello?").await?;
    relay.stop().await
}

#[tokio::test]
async fn a_call_that_is_over_is_not_connected_again() -> Result<()> {
    let relay = TestRelay::live().await?;
    ring(&relay, SID).await?;
    call_status(&relay, SID, "completed").await?;
    assert_eq!(ring(&relay, SID).await?.body, EMPTY_TWIML);
    relay.stop().await
}

#[tokio::test]
async fn a_caller_whose_socket_was_lost_is_connected_again_three_times() -> Result<()> {
    let relay = TestRelay::live().await?;
    let first = ring(&relay, SID).await?.body;
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(session_ended(&relay, SID, ["failed", "in-progress"]).await?);
    }
    let greeting = attribute(&first, "welcomeGreeting").expect("there is a greeting");
    let silent = first.replace(&format!(" welcomeGreeting=\"{greeting}\""), "");
    let ok = |body: &str| Answer { status: 200, body: body.to_owned(), retry_after: None };
    assert_eq!(answers, [ok(&silent), ok(&silent), ok(&silent), ok(EMPTY_TWIML)]);
    assert_eq!(row(&relay).await?.status, CallStatus::Completed);
    relay.stop().await
}

#[tokio::test]
async fn the_end_of_a_session_that_was_not_lost_ends_the_call() -> Result<()> {
    let relay = TestRelay::live().await?;
    ring(&relay, SID).await?;
    let answer = session_ended(&relay, SID, ["ended", "in-progress"]).await?;
    assert_eq!((answer.status, answer.body.as_str()), (200, EMPTY_TWIML));
    assert_eq!(row(&relay).await?.status, CallStatus::Completed);
    relay.stop().await
}

#[tokio::test]
async fn a_conversation_goes_on_over_another_socket_and_nothing_is_doubled() -> Result<()> {
    let relay = TestRelay::live_with("[voice]\nfiller_after_ms = 3900").await?;
    let session = relay.session().await?;
    let mut line = Line::call(&relay, SID).await?;
    line.say("One?").await?;
    let heard = hear(&session).await?;
    drop(line);
    session_ended(&relay, SID, ["failed", "in-progress"]).await?;
    let mut line = Line::open(&relay, SID).await?;
    speak(&session, "One.").await?;
    assert_eq!(line.hears().await?, "One.");
    line.say("Two?").await?;
    let words = saying(SID, "");
    let after =
        session.call(shared::protocol::Speak { turn_id: heard.turn_id, wait_seconds: Some(20), ..words });
    let after: Vec<_> = after.await?.reply.heard.into_iter().map(|turn| turn.text).collect();
    assert_eq!(after, ["Two?"]);
    call_status(&relay, SID, "completed").await?;
    let whole = transcript(&session).await?;
    assert_eq!(said(&whole)[1..], [("caller", "One?"), ("agent", "One."), ("caller", "Two?")]);
    relay.stop().await
}

#[tokio::test]
async fn words_that_are_said_while_the_socket_is_lost_are_heard_over_the_next() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let mut line = Line::call(&relay, SID).await?;
    line.say("Hello?").await?;
    hear(&session).await?;
    line.hang_up().await?;
    assert!(speak(&session, "I am here.").await?.spoken);
    session_ended(&relay, SID, ["failed", "in-progress"]).await?;
    let mut line = Line::open(&relay, SID).await?;
    assert_eq!(line.hears().await?, "I am here.");
    relay.stop().await
}

#[tokio::test]
async fn a_transcript_goes_on_in_order_after_a_restart_of_the_relay() -> Result<()> {
    let relay = TestRelay::live().await?;
    let mut line = Line::call(&relay, SID).await?;
    for words in ["One.", "Two.", "Three."] {
        line.say(words).await?;
    }
    let session = relay.session().await?;
    until("all three", async || Ok((claim(&session).await?.turns.len() == 3).then_some(()))).await?;
    drop(session);
    let relay = relay.restart("").await?;
    relay.clock.advance(std::time::Duration::from_secs(1));
    session_ended(&relay, SID, ["failed", "in-progress"]).await?;
    let mut line = Line::open(&relay, SID).await?;
    line.say("Four.").await?;
    let session = relay.session().await?;
    hear(&session).await?;
    call_status(&relay, SID, "completed").await?;
    let whole = transcript(&session).await?;
    let caller: Vec<_> = said(&whole).into_iter().filter(|(speaker, _)| *speaker == "caller").collect();
    assert_eq!(caller, ["One.", "Two.", "Three.", "Four."].map(|words| ("caller", words)));
    relay.stop().await
}

#[tokio::test]
async fn a_call_whose_socket_never_comes_back_is_over() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let line = Line::call(&relay, SID).await?;
    claim(&session).await?;
    drop(line);
    assert_eq!(transcript(&session).await?.call_status, CallStatus::Completed);
    relay.stop().await
}

#[tokio::test]
async fn a_lost_socket_of_a_call_that_is_over_is_not_replaced() -> Result<()> {
    let relay = TestRelay::live().await?;
    ring(&relay, SID).await?;
    call_status(&relay, SID, "completed").await?;
    assert_eq!(session_ended(&relay, SID, ["failed", "in-progress"]).await?.body, EMPTY_TWIML);
    assert_eq!(session_ended(&relay, SID, ["failed", "completed"]).await?.body, EMPTY_TWIML);
    relay.stop().await
}

#[tokio::test]
async fn words_to_a_caller_who_has_hung_up_are_not_spoken() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let mut line = Line::call(&relay, SID).await?;
    line.say("Hello?").await?;
    hear(&session).await?;
    line.hang_up().await?;
    session_ended(&relay, SID, ["completed", "completed"]).await?;
    let problem = refusal(session.call(saying(SID, "Hello!")).await)?;
    assert_eq!(problem.code, shared::protocol::ErrorCode::CallEnded);
    relay.stop().await
}

#[tokio::test]
async fn a_listener_is_told_at_once_that_the_caller_has_hung_up() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let line = Line::call(&relay, SID).await?;
    claim(&session).await?;
    let (heard, told) = tokio::join!(hear(&session), async {
        line.hang_up().await?;
        call_status(&relay, SID, "completed").await
    });
    assert_eq!((heard?.call_status, told?), (CallStatus::Completed, 200));
    relay.stop().await
}
