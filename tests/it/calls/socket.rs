//! The rules of the live-call socket: who gets one, what ends it, and what does not.

use anyhow::Result;
use rstest::rstest;
use serde_json::json;
use tests::line::{Line, NotOpened, SOCKET, ring};
use tests::relay::{PUBLIC_URL, TestRelay};
use tests::signing;

use super::{OTHER_SID, SID, claim, hear, said, speak, with_another_agent};

const REFUSED: Option<u16> = Some(1008);
const UNREADABLE: Option<u16> = Some(1007);

#[tokio::test]
async fn kinds_of_frames_that_nobody_knows_are_ignored() -> Result<()> {
    let relay = TestRelay::live().await?;
    let mut line = Line::call(&relay, SID).await?;
    for kind in 0..20 {
        line.send(&json!({ "type": format!("of-tomorrow-{kind}"), "callSid": 7 })).await?;
    }
    line.say("Hello?").await?;
    assert_eq!(said(&hear(&relay.session().await?).await?), [("caller", "Hello?")]);
    relay.stop().await
}

#[rstest]
#[case::no_json("{")]
#[case::no_object("[]")]
#[case::no_type("{}")]
#[case::no_key(r#"{"type":"dtmf"}"#)]
#[case::of_another_call(r#"{"type":"setup","callSid":"CA00000000000000000000000000000002"}"#)]
#[tokio::test]
async fn the_tenth_frame_in_a_row_that_makes_no_sense_ends_the_socket(#[case] frame: &str) -> Result<()> {
    let relay = TestRelay::live().await?;
    let mut line = Line::call(&relay, SID).await?;
    for _ in 0..10 {
        line.send_text(frame).await?;
    }
    assert_eq!(line.closed().await?, UNREADABLE);
    relay.stop().await
}

#[tokio::test]
async fn nine_frames_without_sense_are_forgiven_after_one_with() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let mut line = Line::call(&relay, SID).await?;
    for words in ["one", "two"] {
        for _ in 0..9 {
            line.send_text("{").await?;
        }
        line.say(words).await?;
        assert_eq!(said(&hear(&session).await?).last(), Some(&("caller", words)));
    }
    speak(&session, "I hear you.").await?;
    assert_eq!(line.hears().await?, "I hear you.");
    relay.stop().await
}

#[tokio::test]
async fn a_second_socket_of_a_call_is_refused_and_does_no_harm_to_the_first() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let mut first = Line::call(&relay, SID).await?;
    claim(&session).await?;
    let mut second = Line::open(&relay, SID).await?;
    assert_eq!(second.closed().await?, REFUSED);
    first.say("Still there?").await?;
    assert_eq!(said(&hear(&session).await?), [("caller", "Still there?")]);
    speak(&session, "Yes.").await?;
    assert_eq!(first.hears().await?, "Yes.");
    relay.stop().await
}

#[tokio::test]
async fn a_call_may_be_introduced_again_and_nothing_comes_of_it() -> Result<()> {
    let relay = TestRelay::live().await?;
    let mut line = Line::call(&relay, SID).await?;
    for _ in 0..12 {
        line.set_up(SID).await?;
    }
    line.say("Hello?").await?;
    assert_eq!(said(&hear(&relay.session().await?).await?), [("caller", "Hello?")]);
    relay.stop().await
}

#[rstest]
#[case::words(r#"{"type":"prompt","voicePrompt":"Hello?","last":true}"#)]
#[case::garbage("{")]
#[case::of_no_call(r#"{"type":"setup"}"#)]
#[case::of_an_impossible_call(r#"{"type":"setup","callSid":"'; DROP TABLE call_logs"}"#)]
#[case::of_a_call_that_nobody_announced(r#"{"type":"setup","callSid":"CA00000000000000000000000000000002"}"#)]
#[tokio::test]
async fn a_socket_that_introduces_no_call_of_ours_is_refused(#[case] frame: &str) -> Result<()> {
    let relay = TestRelay::live().await?;
    ring(&relay, SID).await?;
    let mut line = Line::connect(&relay, SOCKET).await?;
    line.send_text(frame).await?;
    assert_eq!(line.closed().await?, REFUSED);
    relay.stop().await
}

#[tokio::test]
async fn the_call_of_another_agent_is_refused_like_one_that_is_not() -> Result<()> {
    let relay = with_another_agent(TestRelay::live().await?).await?;
    ring(&relay, SID).await?;
    let mut closed = Vec::new();
    for sid in [SID, OTHER_SID] {
        let mut line = Line::connect(&relay, "/webhooks/other/voice-ws").await?;
        line.set_up(sid).await?;
        closed.push(line.closed().await?);
    }
    assert_eq!(closed, [REFUSED, REFUSED]);
    relay.stop().await
}

#[rstest]
#[case::unsigned(SOCKET, String::new(), 403)]
#[case::for_another_path(SOCKET, "/webhooks/other/voice-ws".to_owned(), 403)]
#[case::of_an_unknown_agent("/webhooks/other/voice-ws", "/webhooks/other/voice-ws".to_owned(), 404)]
#[tokio::test]
async fn only_the_carrier_can_open_a_socket(
    #[case] path: &str,
    #[case] signed: String,
    #[case] status: u16,
) -> Result<()> {
    let relay = TestRelay::live().await?;
    ring(&relay, SID).await?;
    let signature = if signed.is_empty() { signed } else { relay.sign_socket(&signed) };
    assert_eq!(Line::try_connect(&relay, path, &signature).await?.err(), Some(NotOpened(status)));
    relay.stop().await
}

#[tokio::test]
async fn a_signature_of_another_scheme_opens_nothing() -> Result<()> {
    let relay = TestRelay::live().await?;
    let signature = signing::sign_url("token-of-the-emulator", &format!("{PUBLIC_URL}{SOCKET}"));
    assert_eq!(Line::try_connect(&relay, SOCKET, &signature).await?.err(), Some(NotOpened(403)));
    relay.stop().await
}

#[tokio::test]
async fn a_frame_over_64_kib_ends_the_socket_and_not_the_call() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let mut line = Line::call(&relay, SID).await?;
    claim(&session).await?;
    // The relay may be gone before everything is written.
    let _ = line.say(&"a".repeat(64 * 1024)).await;
    line.closed().await?;
    let mut next = Line::open(&relay, SID).await?;
    next.say("Me again.").await?;
    assert_eq!(said(&hear(&session).await?), [("caller", "Me again.")]);
    relay.stop().await
}

#[tokio::test]
async fn a_frame_of_nearly_64_kib_is_heard() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let mut line = Line::call(&relay, SID).await?;
    let speech = "a".repeat(63 * 1024);
    line.say(&speech).await?;
    assert_eq!(said(&hear(&session).await?), [("caller", speech.as_str())]);
    relay.stop().await
}
