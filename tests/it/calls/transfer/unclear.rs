//! Transfers of which the relay does not know what the carrier made of them: it died while it asked, or the answer
//! was lost.

use std::time::Duration;

use anyhow::Result;
use relay_store::usage_logs::UsageStatus;
use rstest::rstest;
use shared::ipc::Client;
use shared::model::{CallStatus, Micros};
use shared::protocol::ErrorCode;
use tests::emulators::twilio::Fault;
use tests::line::{Line, call_status, session_ended};
use tests::refusal::refusal;
use tests::relay::{OUR_NUMBER, TestRelay};
use tests::wait::until;

use super::super::{OTHER_SID, listening, said, saying};
use super::{
    COLLEAGUE, EMPTY_TWIML, charged, dial_address, emulator, held_call, redirects, row, row_of_usage, to,
};

/// A call for which the carrier was asked, and has not said what became of it.
async fn asked(relay: &TestRelay, session: &Client, fault: Fault) -> Result<(Line, String)> {
    let (line, call) = held_call(relay, session).await?;
    emulator(relay).fail(fault);
    assert_eq!(refusal(session.call(to(COLLEAGUE, &call)).await)?.code, ErrorCode::OutcomeUnknown);
    emulator(relay).fail(Fault::None);
    Ok((line, call))
}

/// The same, at the next start of the relay: nothing but the database tells of it.
async fn asked_before_the_start(fault: Fault) -> Result<(TestRelay, String)> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let (_line, call) = asked(&relay, &session, fault).await?;
    Ok((relay.restart("").await?, call))
}

/// The name of the first transfer, and the address at which the carrier tells its end.
fn transfer(relay: &TestRelay) -> Result<(String, String)> {
    let (path, transfer) = dial_address(&redirects(relay)[0])?;
    Ok((transfer, path))
}

#[tokio::test]
async fn a_caller_who_was_not_put_through_before_the_relay_died_is_connected_again() -> Result<()> {
    let (relay, call) = asked_before_the_start(Fault::Status(500)).await?;
    let answer = session_ended(&relay, &call, ["failed", "in-progress"]).await?;
    assert!(answer.body.contains("<ConversationRelay "), "{answer:?}");
    let mut line = Line::open(&relay, &call).await?;
    let session = relay.session().await?;
    session.call(saying(&call, "I am back.")).await?;
    assert_eq!(line.hears().await?, "I am back.");
    relay.stop().await
}

#[rstest]
#[case::in_the_same_life(false)]
#[case::after_a_restart(true)]
#[tokio::test]
async fn a_call_that_came_back_can_be_transferred_again(#[case] restarts: bool) -> Result<()> {
    let mut relay = TestRelay::live().await?;
    let mut session = relay.session().await?;
    let (line, call) = asked(&relay, &session, Fault::Status(500)).await?;
    line.hang_up().await?;
    if restarts {
        relay = relay.restart("").await?;
        session = relay.session().await?;
    }
    session_ended(&relay, &call, ["failed", "in-progress"]).await?;
    let mut line = Line::open(&relay, &call).await?;
    line.say("Still me.").await?;
    until("the caller's words", async || {
        let heard = session.call(listening(&call, 20)).await?.reply;
        Ok((said(&heard).last() == Some(&("caller", "Still me."))).then_some(()))
    })
    .await?;
    session.call(to(COLLEAGUE, &call)).await?;
    assert_eq!(redirects(&relay).len(), 2);
    relay.stop().await
}

#[tokio::test]
async fn a_session_that_ends_while_nobody_knows_is_no_end_of_the_call() -> Result<()> {
    let (relay, call) = asked_before_the_start(Fault::Break).await?;
    let answer = session_ended(&relay, &call, ["ended", "in-progress"]).await?;
    assert_eq!((answer.body.as_str(), row(&relay, &call).await?.0), (EMPTY_TWIML, CallStatus::InProgress));
    relay.stop().await
}

#[tokio::test]
async fn what_was_never_put_through_costs_nothing_when_the_call_is_over() -> Result<()> {
    let (relay, call) = asked_before_the_start(Fault::Status(500)).await?;
    let (transfer, _) = transfer(&relay)?;
    let reserved = charged(&relay, &transfer).await?;
    relay.clock.advance(Duration::from_secs(90));
    call_status(&relay, &call, "completed").await?;
    assert_eq!(
        [reserved, charged(&relay, &transfer).await?],
        [(UsageStatus::Reserved, Micros(200_000)), (UsageStatus::Released, Micros(0))]
    );
    relay.stop().await
}

#[tokio::test]
async fn a_transfer_of_which_no_end_is_told_costs_the_time_until_the_end_of_the_call() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let (_line, call) = held_call(&relay, &session).await?;
    session.call(to(COLLEAGUE, &call)).await?;
    relay.clock.advance(Duration::from_secs(61));
    call_status(&relay, &call, "completed").await?;
    let (transfer, _) = transfer(&relay)?;
    assert_eq!(row_of_usage(&relay, &transfer).await?, (UsageStatus::Charged, Micros(40_000), 61));
    relay.stop().await
}

#[rstest]
#[case::of_one_that_was_released(Fault::Break)]
#[case::of_one_that_was_charged_by_its_time(Fault::None)]
#[tokio::test]
async fn the_carriers_word_after_the_end_of_the_call_is_what_is_charged(#[case] fault: Fault) -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let (_line, call) = held_call(&relay, &session).await?;
    emulator(&relay).fail(fault);
    assert_eq!(session.call(to(COLLEAGUE, &call)).await.is_ok(), fault == Fault::None);
    emulator(&relay).fail(Fault::None);
    relay.clock.advance(Duration::from_secs(200));
    call_status(&relay, &call, "completed").await?;
    let (transfer, path) = transfer(&relay)?;
    let form = [("CallSid", call.as_str()), ("DialCallStatus", "completed"), ("DialCallDuration", "61")];
    assert_eq!(relay.post_signed(&path, &form).await?.body, EMPTY_TWIML);
    assert_eq!(row_of_usage(&relay, &transfer).await?, (UsageStatus::Charged, Micros(40_000), 61));
    relay.stop().await
}

#[rstest]
#[case::the_other_telephone_is_answered("whisper=1", &[])]
#[case::the_two_have_parted("dialled=", &[("DialCallStatus", "completed"), ("DialCallDuration", "5")])]
#[tokio::test]
async fn the_carriers_questions_tell_that_the_call_was_put_through(
    #[case] query: &str,
    #[case] told: &[(&str, &str)],
) -> Result<()> {
    let (relay, call) = asked_before_the_start(Fault::Break).await?;
    let (_, path) = transfer(&relay)?;
    let (page, dialled) = path.split_once("dialled=").expect("the address names the transfer");
    let path = if query == "dialled=" { format!("{page}{query}{dialled}") } else { format!("{page}{query}") };
    let form = [&[("CallSid", OTHER_SID), ("From", OUR_NUMBER), ("To", COLLEAGUE)], told].concat();
    assert_eq!(relay.post_signed(&path, &form).await?.status, 200);
    assert_eq!(row(&relay, &call).await?, (CallStatus::InProgress, Some(String::new())));
    let spoken = refusal(relay.session().await?.call(saying(&call, "Hello?")).await)?;
    assert_eq!(spoken.message, "The call was transferred; nobody talks in it for you any more.");
    relay.stop().await
}
