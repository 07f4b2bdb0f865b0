//! Limits of calls: how long one may last, and how often the same number may be called.

use anyhow::{Context, Result};
use rstest::rstest;
use shared::ipc::Client;
use shared::protocol::{ErrorCode, MakeCall, SendVoiceMessage};
use tests::refusal::refusal;
use tests::relay::{PERSON, TestRelay};

use super::{emulator, left, limited};

const SOMEBODY_ELSE: &str = "+12025550148";
/// Twilio's number for "not a valid phone number".
const INVALID: &str = "+15005550001";

fn calling(to: &str) -> MakeCall {
    MakeCall {
        to: to.to_owned(),
        system_prompt: None,
        greeting: None,
        voice: None,
        language: None,
        responder: None,
        max_duration_seconds: None,
        record: None,
        detect_voicemail: None,
        idempotency_key: None,
    }
}

fn speaking_to(to: &str) -> SendVoiceMessage {
    let (to, text) = (to.to_owned(), "hello".to_owned());
    SendVoiceMessage { to, text, voice: None, channel: None, idempotency_key: None }
}

/// What the carrier was told of the only call that it was asked for.
fn told(relay: &TestRelay, name: &str) -> Result<String> {
    let received = emulator(relay).received();
    let mut calls = received.iter().filter(|request| request.target.ends_with("/Calls.json"));
    let fields: Vec<(String, String)> =
        form_urlencoded::parse(&calls.next().context("no call")?.body).into_owned().collect();
    assert!(calls.next().is_none(), "more than one call");
    let field = fields.into_iter().find(|(field, _)| field == name);
    Ok(field.context("the carrier is not told")?.1)
}

/// Whether each of these calls goes, one after the other.
async fn go(session: &Client, numbers: &[&str]) -> Result<Vec<Option<ErrorCode>>> {
    let mut answers = Vec::new();
    for number in numbers {
        let answer = session.call(calling(number)).await;
        answers.push(if answer.is_ok() { None } else { Some(refusal(answer)?.code) });
    }
    Ok(answers)
}

#[rstest]
#[case::the_default(None, None, "600")]
#[case::as_it_is_set(Some("3"), None, "180")]
#[case::shorter_by_wish(Some("3"), Some(45), "45")]
#[tokio::test]
async fn the_carrier_is_told_when_a_call_must_end(
    #[case] minutes: Option<&str>,
    #[case] wanted: Option<i64>,
    #[case] seconds: &str,
) -> Result<()> {
    let limits: Vec<_> = minutes.map(|minutes| ("call_minutes", minutes)).into_iter().collect();
    let relay = limited(&limits).await?;
    let call = MakeCall { max_duration_seconds: wanted, ..calling(PERSON) };
    relay.session().await?.call(call).await?;
    assert_eq!(told(&relay, "TimeLimit")?, seconds);
    relay.stop().await
}

#[tokio::test]
async fn a_longer_call_than_is_allowed_is_not_placed() -> Result<()> {
    let relay = limited(&[("call_minutes", "3")]).await?;
    let call = MakeCall { max_duration_seconds: Some(181), ..calling(PERSON) };
    assert_eq!(refusal(relay.session().await?.call(call).await)?.code, ErrorCode::InvalidInput);
    assert_eq!(left(&relay), 0);
    relay.stop().await
}

#[tokio::test]
async fn the_same_number_is_called_twice_a_day_and_others_too() -> Result<()> {
    let relay = limited(&[("calls_per_day_same_number", "2")]).await?;
    let session = relay.session().await?;
    let frequency = Some(ErrorCode::ContactFrequency);
    let today = go(&session, &[PERSON, PERSON, PERSON, SOMEBODY_ELSE]).await?;
    assert_eq!((today, left(&relay)), (vec![None, None, frequency, None], 3));
    relay.clock.set("2026-11-19T00:00:00Z".parse()?);
    let tomorrow = go(&session, &[PERSON, PERSON, PERSON]).await?;
    assert_eq!((tomorrow, left(&relay)), (vec![None, None, frequency], 5));
    relay.stop().await
}

#[tokio::test]
async fn a_voice_message_is_a_call_to_the_number_as_well() -> Result<()> {
    let relay = limited(&[("calls_per_day_same_number", "2")]).await?;
    let session = relay.session().await?;
    session.call(speaking_to(PERSON)).await?;
    session.call(calling(PERSON)).await?;
    let refused = refusal(session.call(speaking_to(PERSON)).await)?;
    assert_eq!((refused.code, left(&relay)), (ErrorCode::ContactFrequency, 2));
    relay.stop().await
}

#[tokio::test]
async fn calls_that_were_not_placed_do_not_count() -> Result<()> {
    let relay = limited(&[("calls_per_day_same_number", "2")]).await?;
    let session = relay.session().await?;
    let rejected = Some(ErrorCode::ProviderRejected);
    assert_eq!(go(&session, &[INVALID; 3]).await?, [rejected; 3]);
    relay.stop().await
}

#[tokio::test]
async fn of_calls_to_one_number_at_once_only_two_leave() -> Result<()> {
    let relay = limited(&[("calls_per_day_same_number", "2")]).await?;
    let session = relay.session().await?;
    let answers = futures_util::future::join_all((0..16).map(|_| session.call(calling(PERSON)))).await;
    let refused: Vec<_> = answers.into_iter().filter(Result::is_err).map(refusal).collect::<Result<_>>()?;
    let codes: Vec<_> = refused.iter().map(|refused| refused.code).collect();
    assert_eq!((codes, left(&relay)), (vec![ErrorCode::ContactFrequency; 14], 2));
    relay.stop().await
}
