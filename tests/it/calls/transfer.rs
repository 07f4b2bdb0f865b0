//! Putting a live call through to another telephone.

mod other_side;
mod refused;
mod unclear;

use std::time::Duration;

use anyhow::{Context, Result};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Method};
use data_encoding::BASE64;
use relay_providers::http::HttpRequest;
use relay_providers::twilio::Auth;
use relay_store::usage_logs::{self, UsageStatus};
use relay_store::{FutureExt, StoreError, call_logs};
use shared::ipc::Client;
use shared::model::{CallStatus, MessageKind, Micros};
use shared::protocol::{CallTransferred, ErrorCode, TransferCall};
use tests::emulators::twilio::Emulator;
use tests::line::{Line, attribute, call_status, session_ended};
use tests::refusal::refusal;
use tests::relay::{OUR_NUMBER, PERSON, TestRelay};
use tests::signing::encode_form;

use super::{SID, inbox, listening, said, saying, sid};

/// Whoever the call is handed to.
const COLLEAGUE: &str = "+12025550181";
const EMPTY_TWIML: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response></Response>";
const PATIENCE: Duration = Duration::from_secs(20);

fn to(number: &str, call: &str) -> TransferCall {
    TransferCall { call_sid: sid(call), to: number.to_owned(), announcement_text: None, mode: None }
}

fn emulator(relay: &TestRelay) -> &Emulator {
    relay.twilio.as_ref().expect("in live mode there is one")
}

/// The instructions that the carrier was given for calls, in order.
fn redirects(relay: &TestRelay) -> Vec<String> {
    let received = emulator(relay).received();
    let posts =
        received.iter().filter(|request| request.method == "POST" && request.target.contains("/Calls/"));
    let twiml =
        |body| form_urlencoded::parse(body).find(|(name, _)| name == "Twiml").map(|(_, twiml)| twiml.into());
    posts.filter_map(|request| twiml(&request.body)).collect()
}

/// A call that rings at the carrier, from which the relay has heard nothing yet.
fn ringing_call(relay: &TestRelay) -> Result<String> {
    let twilio = emulator(relay);
    twilio.carrier.watch(PERSON.parse()?);
    let Auth::Token(token) = &twilio.settings.auth else { anyhow::bail!("the emulator has a token") };
    let account = &twilio.settings.account_sid;
    let credentials = BASE64.encode(format!("{account}:{}", token.expose()).as_bytes());
    let wait = "<Response><Pause length=\"120\"/></Response>";
    let answer = twilio.carrier.handle(&HttpRequest {
        method: Method::POST,
        url: format!("http://emulator/2010-04-01/Accounts/{account}/Calls.json"),
        headers: HeaderMap::from_iter([(AUTHORIZATION, format!("Basic {credentials}").parse()?)]),
        body: encode_form(&[("To", PERSON), ("From", OUR_NUMBER), ("Twiml", wait)]).into_bytes(),
    });
    let answer: serde_json::Value = serde_json::from_slice(&answer.body)?;
    Ok(answer["sid"].as_str().context("the carrier has taken the call")?.to_owned())
}

/// A call that goes on at the carrier and is held by the session.
async fn held_call(relay: &TestRelay, session: &Client) -> Result<(Line, String)> {
    let call = ringing_call(relay)?;
    emulator(relay).carrier.answer(&PERSON.parse()?, PATIENCE).await?;
    let mut line = Line::call(relay, &call).await?;
    line.say("Hello?").await?;
    assert_eq!(said(&session.call(listening(&call, 20)).await?.reply), [("caller", "Hello?")]);
    Ok((line, call))
}

/// How a call stands, and the announcement of a transfer.
async fn row(relay: &TestRelay, call: &str) -> Result<(CallStatus, Option<String>)> {
    let call = sid(call);
    let read = relay.app().db.read::<_, StoreError, _>(move |conn| {
        async move { call_logs::find_by_sid(conn, &call).await }.boxed()
    });
    let row = read.await?.context("the call is recorded")?;
    Ok((row.status, row.say))
}

/// Where the carrier tells how the other telephone took the call, and the name of the transfer in it.
fn dial_address(twiml: &str) -> Result<(String, String)> {
    let action = attribute(twiml, "action").context("the transfer has an action")?;
    let path = action.strip_prefix("https://relay.test").and_then(|rest| rest.split('#').next());
    let path = path.context("it is ours")?.to_owned();
    let (_, transfer) = path.split_once("&dialled=").context("it names the transfer")?;
    let transfer = transfer.to_owned();
    Ok((path, transfer))
}

/// What a transfer costs, and for how many seconds.
async fn row_of_usage(relay: &TestRelay, transfer: &str) -> Result<(UsageStatus, Micros, i64)> {
    let transfer = transfer.to_owned();
    let read = relay
        .app()
        .db
        .read::<_, StoreError, _>(move |conn| async move { usage_logs::find(conn, &transfer).await }.boxed());
    let usage = read.await?.context("it is counted")?;
    Ok((usage.status, usage.charge, usage.quantity))
}

async fn charged(relay: &TestRelay, transfer: &str) -> Result<(UsageStatus, Micros)> {
    let (status, charge, _) = row_of_usage(relay, transfer).await?;
    Ok((status, charge))
}

#[tokio::test]
async fn a_cold_transfer_is_announced_to_the_caller() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let (_line, call) = held_call(&relay, &session).await?;
    let wanted =
        TransferCall { announcement_text: Some("You & me: <wait>.".to_owned()), ..to(COLLEAGUE, &call) };
    let reply = session.call(wanted).await?.reply;
    let expected =
        CallTransferred { status: "transferring".to_owned(), call_sid: sid(&call), to: COLLEAGUE.to_owned() };
    assert_eq!(reply, expected);
    let [twiml] = &redirects(&relay)[..] else { panic!("not one request") };
    let [action, limit] = ["action", "timeLimit"].map(|name| attribute(twiml, name).expect(name));
    assert!((580..=600).contains(&limit.parse::<u32>()?), "{limit}");
    assert!(action.starts_with("https://relay.test/webhooks/default/voice?session="), "{action}");
    let expected = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response>\
         <Say language=\"en-US\">You &amp; me: &lt;wait&gt;.</Say>\
         <Dial callerId=\"{OUR_NUMBER}\" timeLimit=\"{limit}\" timeout=\"30\" answerOnBridge=\"true\" action=\"{}\">\
         <Number>{COLLEAGUE}</Number></Dial></Response>",
        action.replace('&', "&amp;")
    );
    assert_eq!(*twiml, expected);
    assert_eq!(emulator(&relay).problems(), [""; 0]);
    relay.stop().await
}

#[tokio::test]
async fn a_listener_is_told_at_once_that_the_call_is_handed_over() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let (_line, call) = held_call(&relay, &session).await?;
    let heard = session.call(listening(&call, 0)).await?.reply;
    let until = heard.turns[0].turn_id.clone();
    session.call(shared::protocol::ConfirmRead::Turns { call_sid: sid(&call), until }).await?;
    let (heard, told) = tokio::join!(session.call(listening(&call, 60)), session.call(to(COLLEAGUE, &call)));
    told?;
    let heard = heard?.reply;
    assert_eq!((heard.call_status, heard.turn_id), (CallStatus::InProgress, None));
    relay.stop().await
}

#[tokio::test]
async fn nobody_speaks_in_a_call_that_was_handed_over() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let (_line, call) = held_call(&relay, &session).await?;
    session.call(to(COLLEAGUE, &call)).await?;
    let spoken = refusal(session.call(saying(&call, "Still there?")).await)?;
    let again = refusal(session.call(to(COLLEAGUE, &call)).await)?;
    assert_eq!(spoken, again);
    assert_eq!(
        (spoken.code, spoken.message.as_str()),
        (ErrorCode::CallEnded, "The call was transferred; nobody talks in it for you any more.")
    );
    assert_eq!(redirects(&relay).len(), 1);
    relay.stop().await
}

#[tokio::test]
async fn a_call_that_was_handed_over_ends_when_the_carrier_says_so() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let (line, call) = held_call(&relay, &session).await?;
    session.call(to(COLLEAGUE, &call)).await?;
    line.hang_up().await?;
    for session_status in ["completed", "failed"] {
        let answer = session_ended(&relay, &call, [session_status, "in-progress"]).await?;
        assert_eq!(answer.body, EMPTY_TWIML, "{session_status}");
    }
    assert_eq!(row(&relay, &call).await?, (CallStatus::InProgress, Some(String::new())));
    call_status(&relay, &call, "completed").await?;
    let whole = session.call(listening(&call, 0)).await?.reply;
    assert_eq!(said(&whole)[1..], [("caller", "Hello?"), ("machine", "Transferred.")]);
    assert_eq!(whole.call_status, CallStatus::Completed);
    assert_eq!(inbox(&session, MessageKind::Voicemail).await?, [""; 0]);
    relay.stop().await
}

#[tokio::test]
async fn the_lost_socket_of_a_call_that_was_handed_over_is_no_lost_call() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let (line, call) = held_call(&relay, &session).await?;
    session.call(to(COLLEAGUE, &call)).await?;
    line.hang_up().await?;
    // The socket of another call is lost later; once that one is over, this one would be, too.
    let other = Line::call(&relay, SID).await?;
    session.call(listening(SID, 0)).await?;
    drop(other);
    super::transcript(&session).await?;
    assert_eq!(row(&relay, &call).await?.0, CallStatus::InProgress);
    relay.stop().await
}

#[tokio::test]
async fn no_socket_is_opened_for_a_call_that_was_handed_over_not_even_after_a_restart() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let (line, call) = held_call(&relay, &session).await?;
    session.call(to(COLLEAGUE, &call)).await?;
    line.hang_up().await?;
    let mut again = Line::open(&relay, &call).await?;
    assert_eq!(again.closed().await?, Some(1008));
    let relay = relay.restart("").await?;
    let mut again = Line::open(&relay, &call).await?;
    assert_eq!(again.closed().await?, Some(1008));
    relay.stop().await
}
