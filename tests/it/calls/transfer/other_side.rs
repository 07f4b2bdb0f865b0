//! What the other telephone hears, and what is known of how it took the call.

use std::time::Duration;

use anyhow::{Context, Result};
use relay::services::agents::{REHEARSAL_NUMBER, rehearsal_agent};
use relay_store::usage_logs::UsageStatus;
use relay_store::{FutureExt, StoreError, call_logs};
use rstest::rstest;
use shared::ids::CallSid;
use shared::ipc::Client;
use shared::model::{CallStatus, Micros};
use shared::protocol::{TransferCall, TransferMode};
use tests::line::attribute;
use tests::relay::{OUR_NUMBER, PERSON, TestRelay};
use tests::wait::until;

use super::super::{OTHER_SID, listening, said, sid};
use super::{COLLEAGUE, EMPTY_TWIML, PATIENCE, charged, dial_address, held_call, redirects, to};

#[tokio::test]
async fn a_warm_transfer_is_announced_to_whoever_picks_up() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let (_line, call) = held_call(&relay, &session).await?;
    let text = Some("Bob about an <order>.".to_owned());
    let wanted =
        TransferCall { announcement_text: text, mode: Some(TransferMode::Warm), ..to(COLLEAGUE, &call) };
    session.call(wanted).await?;
    let [twiml] = &redirects(&relay)[..] else { panic!("not one request") };
    assert!(!twiml.contains("<Say"), "{twiml}");
    let whisper = attribute(twiml, "url").context("there is a whisper")?.replace("https://relay.test", "");
    let form =
        [("CallSid", OTHER_SID), ("From", OUR_NUMBER), ("To", COLLEAGUE), ("CallStatus", "in-progress")];
    let expected = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response>\
                    <Say language=\"en-US\">Bob about an &lt;order&gt;.</Say></Response>";
    assert_eq!(relay.post_signed(&whisper, &form).await?.body, expected);
    relay.stop().await
}

#[tokio::test]
async fn nothing_is_whispered_of_a_call_that_is_not_transferred() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let (_line, call) = held_call(&relay, &session).await?;
    let call = sid(&call);
    let read = relay.app().db.read::<_, StoreError, _>(move |conn| {
        async move { call_logs::find_by_sid(conn, &call).await }.boxed()
    });
    let own = read.await?.context("the call is recorded")?.session_id;
    let path = format!("/webhooks/default/voice?session={own}&whisper=1");
    let form = [("CallSid", OTHER_SID), ("From", OUR_NUMBER), ("To", COLLEAGUE)];
    assert_eq!(relay.post_signed(&path, &form).await?.status, 404);
    relay.stop().await
}

#[rstest]
#[case::answered(
    &[("DialCallStatus", "completed"), ("DialCallDuration", "61")],
    EMPTY_TWIML,
    (UsageStatus::Charged, Micros(40_000)),
    "The other telephone was answered."
)]
#[case::not_answered(
    &[("DialCallStatus", "no-answer")],
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response>\
     <Say language=\"en-US\">I am sorry, nobody answers there. Goodbye.</Say><Hangup/></Response>",
    (UsageStatus::Released, Micros(0)),
    "The other telephone was not answered."
)]
#[tokio::test]
async fn how_the_other_telephone_took_it_is_written_down_once(
    #[case] told: &[(&str, &str)],
    #[case] answer: &str,
    #[case] cost: (UsageStatus, Micros),
    #[case] turn: &str,
) -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let (_line, call) = held_call(&relay, &session).await?;
    session.call(to(COLLEAGUE, &call)).await?;
    let (path, transfer) = dial_address(&redirects(&relay)[0])?;
    let reserved = (UsageStatus::Reserved, Micros(200_000));
    assert_eq!(charged(&relay, &transfer).await?, reserved);
    relay.clock.advance(Duration::from_secs(90));
    let form = [&[("CallSid", call.as_str()), ("CallStatus", "in-progress")], told].concat();
    for _ in 0..2 {
        assert_eq!(relay.post_signed(&path, &form).await?.body, answer);
    }
    assert_eq!(charged(&relay, &transfer).await?, cost);
    let whole = until("the transcript", async || {
        let whole = session.call(listening(&call, 0)).await?.reply;
        Ok((said(&whole).len() == 4).then_some(whole))
    });
    assert_eq!(said(&whole.await?)[2..], [("machine", "Transferred."), ("machine", turn)]);
    relay.stop().await
}

#[rstest]
#[case::absent(&[])]
#[case::of_another_kind(&[("DialCallStatus", "completed")])]
#[tokio::test]
async fn news_of_a_transfer_that_nobody_made_change_nothing(#[case] told: &[(&str, &str)]) -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let (_line, call) = held_call(&relay, &session).await?;
    session.call(to(COLLEAGUE, &call)).await?;
    let (path, transfer) = dial_address(&redirects(&relay)[0])?;
    let path = path.replace(&transfer, "0190163d-8694-739b-aea5-966c26f8ad91");
    let form = [&[("CallSid", call.as_str())], told].concat();
    let status = relay.post_signed(&path, &form).await?.status;
    assert_eq!(status, if told.is_empty() { 422 } else { 404 });
    relay.stop().await
}

/// A call of a person at the simulated carrier, held by the session.
async fn called(relay: &TestRelay, session: &Client) -> Result<CallSid> {
    let call = relay.carrier().call(&PERSON.parse()?, &OUR_NUMBER.parse()?).await?.call_sid;
    relay.carrier().say(&call, "Hello?")?;
    assert_eq!(said(&session.call(listening(call.as_str(), 20)).await?.reply), [("caller", "Hello?")]);
    Ok(call)
}

#[tokio::test]
async fn a_caller_is_put_through_and_hears_the_announcement() -> Result<()> {
    let relay = TestRelay::demo().await?;
    let (session, carrier) = (relay.session().await?, relay.carrier());
    let call = called(&relay, &session).await?;
    let (heard, _) = carrier.heard(&call, 0, PATIENCE).await?;
    let text = Some("Putting you through.".to_owned());
    session.call(TransferCall { announcement_text: text, ..to(COLLEAGUE, call.as_str()) }).await?;
    let ringing = until("the other telephone", async || {
        let (heard, status) = carrier.heard(&call, heard.len(), PATIENCE).await?;
        Ok(heard.last().is_some_and(|last| last.starts_with("[rings")).then_some((heard, status)))
    });
    let (after, status) = ringing.await?;
    assert_eq!(
        after[after.len() - 2..],
        ["Putting you through.".to_owned(), format!("[rings at {COLLEAGUE}]")]
    );
    assert_eq!((status, carrier.dialled(&call)), (CallStatus::InProgress, vec![COLLEAGUE.parse()?]));
    carrier.hang_up(&call)?;
    let over = until("the end of the call", async || {
        let turns = session.call(listening(call.as_str(), 0)).await?.reply;
        Ok(turns.call_status.is_final().then_some(turns.call_status))
    });
    assert_eq!(over.await?, CallStatus::Completed);
    relay.stop().await
}

#[tokio::test]
async fn whoever_picks_up_another_agents_telephone_hears_who_comes() -> Result<()> {
    let relay = TestRelay::demo().await?;
    let (session, carrier) = (relay.session().await?, relay.carrier());
    let call = called(&relay, &session).await?;
    let wanted = TransferCall {
        announcement_text: Some("It is Bob.".to_owned()),
        mode: Some(TransferMode::Warm),
        ..to(rehearsal_agent().as_str(), call.as_str())
    };
    assert_eq!(session.call(wanted).await?.reply.to, REHEARSAL_NUMBER);
    let told =
        until("the whisper", async || Ok(Some(carrier.whispered(&call)).filter(|told| !told.is_empty())));
    assert_eq!(told.await?, ["It is Bob."]);
    assert_eq!(carrier.dialled(&call), [REHEARSAL_NUMBER.parse()?]);
    relay.stop().await
}
