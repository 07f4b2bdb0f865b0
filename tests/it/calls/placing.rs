//! Placing calls: what is refused, what goes to the carrier, and what becomes of a lost answer.

use anyhow::Result;
use relay_store::call_logs;
use relay_store::{FutureExt, StoreError};
use rstest::rstest;
use shared::ipc::Client;
use shared::model::{CallStatus, Responder};
use shared::protocol::{ErrorCode, Hello, MakeCall, PROTOCOL_VERSION, PeerProgram};
use tests::emulators::twilio::{Emulator, Fault};
use tests::line::{Line, attribute, call_form};
use tests::process::{Home, RelayProcess};
use tests::refusal::refusal;
use tests::relay::{OUR_NUMBER, PERSON, TestRelay};
use tests::wait::until;

/// Twilio's number for "not a valid phone number".
const INVALID: &str = "+15005550001";

pub(super) fn calling(to: &str) -> MakeCall {
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

fn emulator(relay: &TestRelay) -> &Emulator {
    relay.twilio.as_ref().expect("in live mode there is one")
}

/// How many calls the carrier was asked to place.
fn placed(relay: &TestRelay) -> usize {
    let received = emulator(relay).received();
    received
        .iter()
        .filter(|request| request.method == "POST" && request.target.ends_with("/Calls.json"))
        .count()
}

/// The status of the only call there is.
async fn status(relay: &TestRelay) -> Result<(CallStatus, bool)> {
    let listed = relay.app().db.read::<_, StoreError, _>(|conn| {
        async move { call_logs::list_recent(conn, &shared::ids::AgentId::default_agent(), 2).await }.boxed()
    });
    let rows = listed.await?;
    assert_eq!(rows.len(), 1, "{rows:?}");
    Ok((rows[0].status, rows[0].call_sid.is_some()))
}

#[rstest]
#[case::no_country(calling("2025550147"), ErrorCode::InvalidInput)]
#[case::nothing(calling(""), ErrorCode::InvalidInput)]
#[case::another_road(calling("sip:bob@example.com"), ErrorCode::InvalidInput)]
#[case::itself(calling(OUR_NUMBER), ErrorCode::InvalidInput)]
#[case::too_short(MakeCall { max_duration_seconds: Some(9), ..calling(PERSON) }, ErrorCode::InvalidInput)]
#[case::too_long(MakeCall { max_duration_seconds: Some(601), ..calling(PERSON) }, ErrorCode::InvalidInput)]
#[case::backwards(MakeCall { max_duration_seconds: Some(i64::MIN), ..calling(PERSON) }, ErrorCode::InvalidInput)]
#[case::a_novel(MakeCall { greeting: Some("a".repeat(1_001)), ..calling(PERSON) }, ErrorCode::InvalidInput)]
#[case::empty_key(MakeCall { idempotency_key: Some(String::new()), ..calling(PERSON) }, ErrorCode::InvalidInput)]
#[case::recorded(MakeCall { record: Some(true), ..calling(PERSON) }, ErrorCode::ProviderNotConfigured)]
#[case::with_detection(
    MakeCall { detect_voicemail: Some(true), ..calling(PERSON) },
    ErrorCode::ProviderNotConfigured
)]
#[case::by_an_assistant(
    MakeCall { responder: Some(Responder::Assistant), ..calling(PERSON) },
    ErrorCode::ProviderNotConfigured
)]
#[case::by_sampling(
    MakeCall { responder: Some(Responder::Sampling), ..calling(PERSON) },
    ErrorCode::ProviderNotConfigured
)]
#[tokio::test]
async fn a_call_that_cannot_be_is_refused_and_nobody_is_rung(
    #[case] wanted: MakeCall,
    #[case] code: ErrorCode,
) -> Result<()> {
    let relay = TestRelay::live().await?;
    assert_eq!(refusal(relay.session().await?.call(wanted).await)?.code, code);
    assert_eq!(emulator(&relay).received(), []);
    relay.stop().await
}

#[tokio::test]
async fn without_a_public_address_no_call_is_placed() -> Result<()> {
    let home = Home::temp();
    let live = [
        ("COMMS_MODE", "live"),
        ("COMMS_TWILIO__BASE_URL", "http://127.0.0.1:9"),
        ("TWILIO_ACCOUNT_SID", "AC00000000000000000000000000000001"),
        ("TWILIO_AUTH_TOKEN", "token"),
        ("TWILIO_PHONE_NUMBER", OUR_NUMBER),
    ];
    let relay = RelayProcess::start(&home, &live).await?;
    let client = PeerProgram { name: "test".to_owned(), version: "0".to_owned() };
    let hello = Hello { protocol: PROTOCOL_VERSION, client, host: None, token: None };
    let session = Client::connect(relay.socket(), &hello).await?;
    let problem = refusal(session.call(calling(PERSON)).await)?;
    assert_eq!(
        (problem.code, problem.hint.as_str()),
        (ErrorCode::ProviderNotConfigured, "The person who runs the relay must set public.url.")
    );
    relay.terminate().await?;
    Ok(())
}

#[tokio::test]
async fn a_placed_call_is_named_at_once_and_held_by_who_placed_it() -> Result<()> {
    let relay = TestRelay::live().await?;
    let (session, other) = (relay.session().await?, relay.session().await?);
    let call =
        session.call(MakeCall { greeting: Some("It is me.".to_owned()), ..calling(PERSON) }).await?.reply;
    assert_eq!((call.from.as_str(), call.to.as_str(), call.responder), (OUR_NUMBER, PERSON, Responder::Auto));
    let path = format!("/webhooks/default/voice?session={}", call.session_id);
    let form = call_form(call.call_sid.as_str(), OUR_NUMBER);
    let answer = relay.post_signed(&path, &form).await?;
    let greeting = attribute(&answer.body, "welcomeGreeting");
    assert_eq!(greeting.as_deref(), Some("You are talking to an AI assistant. It is me."));
    let mut line = Line::open(&relay, call.call_sid.as_str()).await?;
    line.say("Who is it?").await?;
    let heard = session.call(super::listening(call.call_sid.as_str(), 20)).await?.reply;
    assert_eq!(super::said(&heard), [("caller", "Who is it?")]);
    let refused = refusal(other.call(super::listening(call.call_sid.as_str(), 0)).await)?;
    assert_eq!(refused.code, ErrorCode::Forbidden);
    relay.stop().await
}

#[tokio::test]
async fn the_answer_of_a_call_under_a_foreign_name_is_refused() -> Result<()> {
    let relay = TestRelay::live().await?;
    let call = relay.session().await?.call(calling(PERSON)).await?.reply;
    let form = call_form(super::OTHER_SID, OUR_NUMBER);
    let path = format!("/webhooks/default/voice?session={}", call.session_id);
    assert_eq!(relay.post_signed(&path, &form).await?.status, 404);
    relay.stop().await
}

#[tokio::test]
async fn a_key_places_one_call_however_often_and_fast_it_is_used() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let wanted = MakeCall { idempotency_key: Some("once".to_owned()), ..calling(PERSON) };
    futures_util::future::join_all((0..32).map(|_| session.call(wanted.clone()))).await;
    let again = session.call(wanted.clone()).await?.reply;
    let other = refusal(session.call(MakeCall { greeting: Some("Hi.".to_owned()), ..wanted.clone() }).await)?;
    assert_eq!(other.code, ErrorCode::InvalidInput);
    assert_eq!((placed(&relay), session.call(wanted).await?.reply.call_sid), (1, again.call_sid));
    relay.stop().await
}

#[tokio::test]
async fn a_call_that_the_carrier_refuses_is_told_with_its_code_and_told_again_for_the_same_key() -> Result<()>
{
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let wanted = MakeCall { idempotency_key: Some("bad".to_owned()), ..calling(INVALID) };
    let problem = refusal(session.call(wanted.clone()).await)?;
    assert_eq!(
        (problem.code, problem.provider_code.as_deref()),
        (ErrorCode::ProviderRejected, Some("21211"))
    );
    assert_eq!(refusal(session.call(wanted).await)?.code, ErrorCode::ProviderRejected);
    assert_eq!((placed(&relay), status(&relay).await?), (1, (CallStatus::Failed, false)));
    relay.stop().await
}

#[rstest]
#[case::broken(Fault::Break, true)]
#[case::garbled(Fault::Garbage, true)]
#[case::too_much(Fault::Flood, true)]
#[case::server_error(Fault::Status(500), false)]
#[case::silent(Fault::Silence, true)]
#[tokio::test]
async fn a_call_whose_answer_was_lost_is_asked_about_and_never_placed_again(
    #[case] fault: Fault,
    #[case] taken: bool,
) -> Result<()> {
    let relay = TestRelay::live().await?;
    emulator(&relay).carrier.watch(PERSON.parse()?);
    emulator(&relay).fail(fault);
    let session = relay.session().await?;
    assert_eq!(refusal(session.call(calling(PERSON)).await)?.code, ErrorCode::OutcomeUnknown);
    emulator(&relay).fail(Fault::None);
    let settled = until("what became of the call", async || {
        Ok(Some(status(&relay).await?).filter(|(status, named)| *named || status.is_final()))
    })
    .await?;
    assert_eq!((settled.1, placed(&relay)), (taken, 1));
    relay.stop().await
}
