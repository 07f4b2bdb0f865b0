//! What is said in a call: heard once and whole, spoken once, written down in order.

use anyhow::Result;
use rstest::rstest;
use serde_json::json;
use shared::model::CallStatus;
use shared::protocol::{ConfirmRead, ErrorCode, MakeCall, Speak};
use tests::line::{Line, SOCKET, call_form, call_status, session_ended};
use tests::refusal::refusal;
use tests::relay::{OUR_NUMBER, PERSON, TestRelay};
use tokio::time::Instant;

use super::{SID, claim, hear, said, saying, sid, speak, transcript};

const GREETING: &str = "You are talking to an AI assistant. Hello! How can I help you?";

#[tokio::test]
async fn of_words_that_grow_only_the_last_count() -> Result<()> {
    let relay = TestRelay::live().await?;
    let mut line = Line::call(&relay, SID).await?;
    line.say_so_far("I would").await?;
    line.say_so_far("I would like").await?;
    line.say("I would like to book.").await?;
    assert_eq!(said(&hear(&relay.session().await?).await?), [("caller", "I would like to book.")]);
    relay.stop().await
}

#[tokio::test]
async fn words_that_nobody_said_are_no_turn() -> Result<()> {
    let relay = TestRelay::live().await?;
    let mut line = Line::call(&relay, SID).await?;
    line.say("  ").await?;
    line.say("Hello?").await?;
    assert_eq!(said(&hear(&relay.session().await?).await?), [("caller", "Hello?")]);
    relay.stop().await
}

#[tokio::test]
async fn a_caller_may_interrupt_the_greeting_before_saying_anything() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let mut line = Line::call(&relay, SID).await?;
    line.interrupt("You are").await?;
    line.interrupt("You are").await?;
    line.say("Yes, yes.").await?;
    let heard = hear(&session).await?;
    assert_eq!(
        (heard.heard_until.as_deref(), said(&heard)),
        (Some("You are"), vec![("caller", "Yes, yes.")])
    );
    relay.stop().await
}

#[tokio::test]
async fn the_agent_learns_how_much_of_its_words_was_heard() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let mut line = Line::call(&relay, SID).await?;
    line.say("Hello?").await?;
    let turn_id = hear(&session).await?.turn_id;
    let talking = session.call(Speak { turn_id, wait_seconds: Some(20), ..saying(SID, "A long story.") });
    let (heard, talked_over) = tokio::join!(talking, async {
        line.hears().await?;
        line.interrupt("A long").await?;
        line.say("Stop.").await
    });
    talked_over?;
    let heard = heard?.reply;
    let words: Vec<_> = heard.heard.iter().map(|turn| turn.text.as_str()).collect();
    assert_eq!((heard.spoken, heard.heard_until.as_deref(), words), (true, Some("A long"), vec!["Stop."]));
    relay.stop().await
}

#[tokio::test]
async fn words_for_a_turn_are_spoken_once() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let mut line = Line::call(&relay, SID).await?;
    line.say("Hello?").await?;
    let turn_id = hear(&session).await?.turn_id;
    let answer = Speak { turn_id, ..saying(SID, "Hello!") };
    let first = session.call(answer.clone()).await?.reply;
    let again = session.call(answer).await?.reply;
    let warning = "This turn was answered before; the words were not spoken again.".to_owned();
    assert_eq!((first.spoken, again.spoken, again.warnings), (true, false, vec![warning]));
    speak(&session, "And more.").await?;
    assert_eq!([line.hears().await?, line.hears().await?], ["Hello!", "And more."]);
    relay.stop().await
}

#[tokio::test]
async fn what_was_heard_is_told_again_until_it_is_confirmed() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let mut line = Line::call(&relay, SID).await?;
    line.say("Hello?").await?;
    let first = hear(&session).await?;
    assert_eq!(first.turns, claim(&session).await?.turns);
    let until = first.turns[0].turn_id.clone();
    session.call(ConfirmRead::Turns { call_sid: sid(SID), until }).await?;
    assert_eq!(said(&claim(&session).await?), []);
    relay.stop().await
}

#[tokio::test]
async fn keys_that_are_pressed_one_after_the_other_are_one_turn() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let mut line = Line::call(&relay, SID).await?;
    line.press("42#").await?;
    line.say("Done.").await?;
    tests::wait::until("the words after the keys", async || {
        Ok(claim(&session).await?.turns.iter().any(|turn| turn.text == "Done.").then_some(()))
    })
    .await?;
    assert_eq!(said(&claim(&session).await?), [("caller", "42#"), ("caller", "Done.")]);
    relay.stop().await
}

#[tokio::test]
async fn keys_are_sent_after_the_words() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let mut line = Line::call(&relay, SID).await?;
    line.say("Press one.").await?;
    hear(&session).await?;
    session.call(Speak { digits: Some("1w2*#".to_owned()), ..saying(SID, "Pressing.") }).await?;
    assert_eq!(line.hears().await?, "Pressing.");
    assert_eq!(line.next().await?, json!({ "type": "sendDigits", "digits": "1w2*#" }));
    relay.stop().await
}

#[rstest]
#[case::letters(Speak { digits: Some("12a".to_owned()), ..saying(SID, "") })]
#[case::nothing(Speak { digits: Some(String::new()), ..saying(SID, "") })]
#[case::a_novel(saying(SID, &"a".repeat(4_001)))]
#[tokio::test]
async fn what_cannot_be_said_is_refused(#[case] speech: Speak) -> Result<()> {
    let relay = TestRelay::live().await?;
    let _line = Line::call(&relay, SID).await?;
    let problem = refusal(relay.session().await?.call(speech).await)?;
    assert_eq!(problem.code, ErrorCode::InvalidInput);
    relay.stop().await
}

#[tokio::test]
async fn nothing_is_said_before_anybody_has_answered() -> Result<()> {
    let relay = TestRelay::live().await?;
    tests::line::ring(&relay, SID).await?;
    let problem = refusal(relay.session().await?.call(saying(SID, "Hello?")).await)?;
    assert_eq!(problem.message, "Nobody has answered the call yet; nothing was spoken.");
    relay.stop().await
}

#[tokio::test]
async fn the_last_words_are_spoken_before_the_call_ends() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let mut line = Line::call(&relay, SID).await?;
    line.say("Bye.").await?;
    hear(&session).await?;
    let ended = session.call(Speak { end_call: true, ..saying(SID, "Goodbye!") }).await?.reply;
    assert!(ended.spoken);
    assert_eq!(line.hears().await?, "Goodbye!");
    assert_eq!(line.next().await?, json!({ "type": "end" }));
    let problem = refusal(session.call(saying(SID, "One more thing.")).await)?;
    assert_eq!(problem.code, ErrorCode::CallEnded);
    relay.stop().await
}

#[tokio::test]
async fn the_transcript_has_everything_in_order_with_what_was_really_heard() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let mut line = Line::call(&relay, SID).await?;
    line.say("Hello?").await?;
    hear(&session).await?;
    speak(&session, "A long story.").await?;
    line.hears().await?;
    line.interrupt("A long").await?;
    line.press("7").await?;
    line.say("Thanks.").await?;
    tests::wait::until("the last words", async || {
        Ok(claim(&session).await?.turns.iter().any(|turn| turn.text == "Thanks.").then_some(()))
    })
    .await?;
    session_ended(&relay, SID, ["completed", "completed"]).await?;
    let whole = transcript(&session).await?;
    let heard: Vec<_> = whole.turns.iter().map(|turn| turn.heard_until.as_deref()).collect();
    let expected = [
        ("machine", GREETING),
        ("caller", "Hello?"),
        ("agent", "A long story."),
        ("caller", "7"),
        ("caller", "Thanks."),
    ];
    assert_eq!(said(&whole), expected);
    assert_eq!(heard, [None, None, Some("A long"), None, None]);
    assert_eq!((whole.call_status, whole.turn_id), (CallStatus::Completed, None));
    relay.stop().await
}

#[tokio::test]
async fn a_call_ends_with_a_notice_when_its_time_is_up() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let wanted = MakeCall { max_duration_seconds: Some(10), ..calling(PERSON) };
    let placed = session.call(wanted).await?.reply;
    let form = call_form(placed.call_sid.as_str(), OUR_NUMBER);
    let path = format!("/webhooks/default/voice?session={}", placed.session_id);
    relay.post_signed(&path, &form).await?;
    let mut line = Line::connect(&relay, SOCKET).await?;
    let started = Instant::now();
    line.set_up(placed.call_sid.as_str()).await?;
    assert_eq!(line.hears().await?, "I am sorry, the time for this call is up. Goodbye.");
    assert!(started.elapsed().as_secs() >= 9, "{:?}", started.elapsed());
    assert_eq!(line.next().await?, json!({ "type": "end" }));
    assert_eq!(call_status(&relay, placed.call_sid.as_str(), "completed").await?, 200);
    relay.stop().await
}

fn calling(to: &str) -> MakeCall {
    super::placing::calling(to)
}
