//! When the agent is silent or not there: fillers, the answering machine, the voicemail.

use anyhow::Result;
use serde_json::json;
use shared::ipc::Client;
use shared::model::MessageKind;
use shared::protocol::{GetMessages, Speak};
use tests::line::{Line, session_ended};
use tests::relay::TestRelay;
use tests::wait::until;

use super::{SID, claim, hear, inbox, run_sql, said, saying};

const IMPATIENT: &str =
    "[voice]\nfiller_after_ms = 200\nsecond_filler_after_ms = 500\ngive_up_after_ms = 1000\nclaim_ms = 300";
const FILLERS: [&str; 2] = ["One moment, please.", "Thank you for waiting, I am still looking into it."];
const NO_ANSWER: &str =
    "I am sorry, I cannot get an answer right now, but I can take a message. Who is calling, please?";
const APOLOGY: &str =
    "I am sorry, nobody can take your call right now, but I can take a message. Who is calling, please?";
const ASK_MESSAGE: &str = "Thank you. What is it about?";
const ASK_CALLBACK: &str = "When and at which number can we call you back?";
const THANKS: &str = "Thank you. I have taken your message and will pass it on. Goodbye.";
const NOT_STORED: &str = "I am sorry, your message could not be saved. Please call again later. Goodbye.";

/// A call whose agent has not answered until the machine took it; gives the turn that it did not answer.
async fn left_alone(relay: &TestRelay, session: &Client) -> Result<(Line, Speak)> {
    let mut line = Line::call(relay, SID).await?;
    claim(session).await?;
    line.say("Hello?").await?;
    let turn_id = hear(session).await?.turn_id;
    let heard = [line.hears().await?, line.hears().await?, line.hears().await?];
    assert_eq!(heard, [FILLERS[0], FILLERS[1], NO_ANSWER]);
    Ok((line, Speak { turn_id, ..saying(SID, "Hello!") }))
}

#[tokio::test]
async fn a_caller_whom_nobody_answers_hears_two_fillers_and_then_the_machine() -> Result<()> {
    let relay = TestRelay::live_with(IMPATIENT).await?;
    let session = relay.session().await?;
    left_alone(&relay, &session).await?;
    relay.stop().await
}

#[tokio::test]
async fn words_that_come_too_late_are_not_spoken_and_the_next_turn_is_the_agents() -> Result<()> {
    let relay = TestRelay::live_with(IMPATIENT).await?;
    let session = relay.session().await?;
    let (mut line, late) = left_alone(&relay, &session).await?;
    let after = late.turn_id.clone();
    let told = session.call(late).await?.reply;
    let warning = "Too late for this turn: the answering machine took it. Speak with the new turnId to take the call back.";
    assert_eq!((told.spoken, told.warnings), (false, vec![warning.to_owned()]));
    line.say("Bob here.").await?;
    let listening = Speak { turn_id: after, wait_seconds: Some(20), ..saying(SID, "") };
    let heard = session.call(listening).await?.reply;
    let words: Vec<_> = heard.heard.iter().map(|turn| turn.text.as_str()).collect();
    assert_eq!(words, ["Bob here."]);
    let answer = Speak { turn_id: Some(heard.turn_id), ..saying(SID, "Hello Bob!") };
    assert!(session.call(answer).await?.reply.spoken);
    until("the agent's own words", async || Ok((line.hears().await? == "Hello Bob!").then_some(()))).await?;
    relay.stop().await
}

/// A caller who is alone with the machine and answers all its questions; the last answer is not yet given.
async fn leave_a_message(relay: &TestRelay) -> Result<Line> {
    let mut line = Line::call(relay, SID).await?;
    assert_eq!(line.hears().await?, APOLOGY);
    line.say("Bob").await?;
    assert_eq!(line.hears().await?, ASK_MESSAGE);
    line.say("The delivery.").await?;
    assert_eq!(line.hears().await?, ASK_CALLBACK);
    Ok(line)
}

#[tokio::test]
async fn an_unclaimed_call_leaves_a_voicemail_that_is_stored_before_the_thanks() -> Result<()> {
    let relay = TestRelay::live_with(IMPATIENT).await?;
    let session = relay.session().await?;
    let mut line = leave_a_message(&relay).await?;
    assert_eq!(inbox(&session, MessageKind::Voicemail).await?, [""; 0]);
    line.say("Tomorrow at ten.").await?;
    assert_eq!(line.hears().await?, THANKS);
    let [voicemail] = &inbox(&session, MessageKind::Voicemail).await?[..] else {
        panic!("not one voicemail")
    };
    assert!(
        voicemail.contains("Bob\nThe delivery.\nTomorrow at ten.\nCall back: Tomorrow at ten."),
        "{voicemail}"
    );
    assert_eq!(line.next().await?, json!({ "type": "end" }));
    relay.stop().await
}

#[tokio::test]
async fn what_a_caller_adds_to_the_goodbye_reaches_the_agent() -> Result<()> {
    let relay = TestRelay::live_with(IMPATIENT).await?;
    let session = relay.session().await?;
    let mut line = leave_a_message(&relay).await?;
    line.say("Tomorrow at ten.").await?;
    assert_eq!(line.hears().await?, THANKS);
    session.call(GetMessages::default()).await?;
    line.say("And bring milk.").await?;
    assert_eq!(line.next().await?, json!({ "type": "end" }));
    let voicemails = until("what was added", async || {
        let voicemails = inbox(&session, MessageKind::Voicemail).await?;
        Ok(voicemails.iter().any(|text| text.contains("And bring milk.")).then_some(voicemails))
    })
    .await?;
    assert_eq!(voicemails.len(), 1, "{voicemails:?}");
    relay.stop().await
}

#[tokio::test]
async fn a_caller_who_hangs_up_halfway_has_left_what_was_said() -> Result<()> {
    let relay = TestRelay::live_with(IMPATIENT).await?;
    let session = relay.session().await?;
    let mut line = Line::call(&relay, SID).await?;
    line.hears().await?;
    line.say("Bob").await?;
    line.hears().await?;
    line.say_so_far("It is about").await?;
    line.hang_up().await?;
    session_ended(&relay, SID, ["completed", "completed"]).await?;
    let [voicemail] = &until("the voicemail", async || {
        Ok(Some(inbox(&session, MessageKind::Voicemail).await?).filter(|entries| !entries.is_empty()))
    })
    .await?[..] else {
        panic!("not one voicemail")
    };
    assert!(voicemail.contains("Bob"), "{voicemail}");
    relay.stop().await
}

#[tokio::test]
async fn a_caller_is_told_when_the_message_could_not_be_stored() -> Result<()> {
    let relay = TestRelay::live_with(IMPATIENT).await?;
    let full = "CREATE TRIGGER full BEFORE INSERT ON messages WHEN NEW.kind = 'voicemail'
                BEGIN SELECT RAISE(ABORT, 'the disk is full'); END";
    run_sql(&relay, full).await?;
    let mut line = leave_a_message(&relay).await?;
    line.say("Tomorrow at ten.").await?;
    assert_eq!(line.hears().await?, NOT_STORED);
    assert_eq!(inbox(&relay.session().await?, MessageKind::Voicemail).await?, [""; 0]);
    relay.stop().await
}

#[tokio::test]
async fn a_voicemail_that_could_not_be_announced_is_announced_after_a_restart() -> Result<()> {
    let relay = TestRelay::live_with(IMPATIENT).await?;
    let full = "CREATE TRIGGER full BEFORE INSERT ON messages WHEN NEW.kind = 'voicemail'
                BEGIN SELECT RAISE(ABORT, 'the disk is full'); END";
    run_sql(&relay, full).await?;
    let line = leave_a_message(&relay).await?;
    line.hang_up().await?;
    session_ended(&relay, SID, ["completed", "completed"]).await?;
    run_sql(&relay, "DROP TRIGGER full").await?;
    let relay = relay.restart("").await?;
    let [voicemail] = &inbox(&relay.session().await?, MessageKind::Voicemail).await?[..] else {
        panic!("not one voicemail")
    };
    assert!(voicemail.contains("Bob\nThe delivery."), "{voicemail}");
    relay.stop().await
}

#[tokio::test]
async fn what_a_caller_leaves_before_and_after_a_restart_of_the_relay_is_one_voicemail() -> Result<()> {
    let relay = TestRelay::live_with(IMPATIENT).await?;
    let mut line = Line::call(&relay, SID).await?;
    assert_eq!(line.hears().await?, APOLOGY);
    line.say("Bob").await?;
    assert_eq!(line.hears().await?, ASK_MESSAGE);
    let relay = relay.restart(IMPATIENT).await?;
    session_ended(&relay, SID, ["failed", "in-progress"]).await?;
    let mut line = Line::open(&relay, SID).await?;
    assert_eq!(line.hears().await?, APOLOGY);
    for words in ["It is Bob.", "The delivery."] {
        line.say(words).await?;
        line.hears().await?;
    }
    line.say("Tomorrow at ten.").await?;
    assert_eq!(line.hears().await?, THANKS);
    let [voicemail] = &inbox(&relay.session().await?, MessageKind::Voicemail).await?[..] else {
        panic!("not one voicemail")
    };
    assert!(voicemail.contains("Bob\nIt is Bob.\nThe delivery.\nTomorrow at ten."), "{voicemail}");
    relay.stop().await
}

#[tokio::test]
async fn an_agent_that_listens_in_time_has_the_call() -> Result<()> {
    let relay = TestRelay::live_with("[voice]\nclaim_ms = 2000").await?;
    let session = relay.session().await?;
    let mut line = Line::call(&relay, SID).await?;
    // Longer than the time to claim: the machine would have spoken by then.
    let nothing = session.call(super::listening(SID, 3)).await?.reply;
    assert_eq!(said(&nothing), []);
    line.say("Hello?").await?;
    hear(&session).await?;
    super::speak(&session, "Hello!").await?;
    assert_eq!(line.hears().await?, "Hello!");
    relay.stop().await
}
