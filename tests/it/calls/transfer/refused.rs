//! Transfers that must not be, or whose outcome nobody knows: the call goes on.

use anyhow::{Context, Result};
use relay::services::tokens;
use relay_core::clock::Clock;
use relay_core::token::Role;
use relay_store::usage_logs::UsageStatus;
use rstest::rstest;
use shared::ids::ApprovalId;
use shared::model::{CallStatus, Micros};
use shared::protocol::{DecideApproval, Decision, Envelope, ErrorCode, TransferCall};
use tests::emulators::twilio::Fault;
use tests::line::{Line, call_status};
use tests::refusal::refusal;
use tests::relay::{OUR_NUMBER, PERSON, TestRelay};
use tests::wait::until;

use super::super::placing::calling;
use super::super::{OTHER_SID, SID, listening, run_sql, saying, with_another_agent};
use super::{COLLEAGUE, charged, dial_address, emulator, held_call, redirects, ringing_call, row, to};

#[tokio::test]
async fn a_foreign_call_looks_like_one_that_is_not() -> Result<()> {
    let relay = with_another_agent(TestRelay::live().await?).await?;
    let channel = "INSERT INTO agent_channels (agent_id, channel, address, provider, status, created_at)
                   VALUES ('other', 'voice', '+12025550182', 'twilio', 'active', 0)";
    run_sql(&relay, channel).await?;
    let relay = relay.restart("").await?;
    let _line = Line::call(&relay, SID).await?;
    let (db, now) = (&relay.app().db, relay.clock.now());
    let token = tokens::create(db, &"other".parse()?, Role::Agent, None, now).await?;
    let stranger = relay.session_as(Some(token.secret.expose().to_owned())).await?;
    let foreign = refusal(stranger.call(to(COLLEAGUE, SID)).await)?;
    let absent = refusal(stranger.call(to(COLLEAGUE, OTHER_SID)).await)?;
    assert_eq!(serde_json::to_string(&foreign)?, serde_json::to_string(&absent)?);
    assert_eq!(foreign.code, ErrorCode::NotFound);
    relay.stop().await
}

#[tokio::test]
async fn a_call_that_another_session_holds_is_not_transferred() -> Result<()> {
    let relay = TestRelay::live().await?;
    let (session, other) = (relay.session().await?, relay.session().await?);
    let (_line, call) = held_call(&relay, &session).await?;
    assert_eq!(refusal(other.call(to(COLLEAGUE, &call)).await)?.code, ErrorCode::Forbidden);
    assert_eq!(redirects(&relay), [""; 0]);
    relay.stop().await
}

#[tokio::test]
async fn a_call_that_is_over_is_not_transferred() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let (_line, call) = held_call(&relay, &session).await?;
    call_status(&relay, &call, "completed").await?;
    assert_eq!(refusal(session.call(to(COLLEAGUE, &call)).await)?.code, ErrorCode::CallEnded);
    assert_eq!(redirects(&relay), [""; 0]);
    relay.stop().await
}

#[tokio::test]
async fn a_call_that_still_rings_is_not_transferred() -> Result<()> {
    let relay = TestRelay::live().await?;
    tests::line::ring(&relay, SID).await?;
    let problem = refusal(relay.session().await?.call(to(COLLEAGUE, SID)).await)?;
    assert_eq!(problem.message, "Nobody has answered the call yet; it was not transferred.");
    assert_eq!(redirects(&relay), [""; 0]);
    relay.stop().await
}

#[rstest]
#[case::no_number("Bob", None, ErrorCode::InvalidInput)]
#[case::nobody("", None, ErrorCode::InvalidInput)]
#[case::an_unknown_agent("nobody-of-this-name", None, ErrorCode::NotFound)]
#[case::itself(OUR_NUMBER, None, ErrorCode::InvalidInput)]
#[case::the_caller(PERSON, None, ErrorCode::InvalidInput)]
#[case::a_novel(COLLEAGUE, Some("a".repeat(1_001)), ErrorCode::InvalidInput)]
#[case::too_long_in_xml(COLLEAGUE, Some("\"".repeat(1_000)), ErrorCode::InvalidInput)]
#[tokio::test]
async fn a_transfer_that_cannot_be_is_refused_and_the_call_goes_on(
    #[case] number: &str,
    #[case] announcement_text: Option<String>,
    #[case] code: ErrorCode,
) -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let (mut line, call) = held_call(&relay, &session).await?;
    let wanted = TransferCall { announcement_text, ..to(number, &call) };
    assert_eq!(refusal(session.call(wanted).await)?.code, code);
    assert_eq!(redirects(&relay), [""; 0]);
    session.call(saying(&call, "I am here.")).await?;
    assert_eq!(line.hears().await?, "I am here.");
    relay.stop().await
}

#[tokio::test]
async fn a_call_that_the_carrier_does_not_transfer_goes_on_and_costs_nothing() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    // At the carrier it still rings, so it cannot be redirected.
    let call = ringing_call(&relay)?;
    let mut line = Line::call(&relay, &call).await?;
    line.say("Hello?").await?;
    session.call(listening(&call, 20)).await?;
    for attempt in 1..=2 {
        let problem = refusal(session.call(to(COLLEAGUE, &call)).await)?;
        let told = (problem.code, problem.provider_code.as_deref());
        assert_eq!(told, (ErrorCode::ProviderRejected, Some("21220")), "attempt {attempt}");
    }
    let [first, _] = &redirects(&relay)[..] else { panic!("not two requests") };
    let (_, transfer) = dial_address(first)?;
    assert_eq!(charged(&relay, &transfer).await?, (UsageStatus::Released, Micros(0)));
    session.call(saying(&call, "I am still here.")).await?;
    assert_eq!(line.hears().await?, "I am still here.");
    assert_eq!(row(&relay, &call).await?, (CallStatus::InProgress, None));
    relay.stop().await
}

#[rstest]
#[case::server_error(Fault::Status(500))]
#[case::silence(Fault::Silence)]
#[case::broken(Fault::Break)]
#[case::garbled(Fault::Garbage)]
#[tokio::test]
async fn a_transfer_whose_answer_was_lost_is_not_asked_for_again(#[case] fault: Fault) -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let (mut line, call) = held_call(&relay, &session).await?;
    // Else the caller would hear meanwhile that nobody answers.
    session.call(saying(&call, "I will try.")).await?;
    assert_eq!(line.hears().await?, "I will try.");
    emulator(&relay).fail(fault);
    let lost = refusal(session.call(to(COLLEAGUE, &call)).await)?;
    emulator(&relay).fail(Fault::None);
    let again = refusal(session.call(to(COLLEAGUE, &call)).await)?;
    assert_eq!([lost.code, again.code], [ErrorCode::OutcomeUnknown, ErrorCode::OutcomeUnknown]);
    assert_eq!(redirects(&relay).len(), 1);
    // As long as the line is open, the caller is there.
    session.call(saying(&call, "I am here.")).await?;
    assert_eq!(line.hears().await?, "I am here.");
    relay.stop().await
}

#[tokio::test]
async fn a_call_that_the_carrier_took_without_an_answer_is_handed_over() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let (line, call) = held_call(&relay, &session).await?;
    emulator(&relay).fail(Fault::Break);
    assert_eq!(refusal(session.call(to(COLLEAGUE, &call)).await)?.code, ErrorCode::OutcomeUnknown);
    line.hang_up().await?;
    let heard = until("the end for the agent", async || {
        let heard = session.call(listening(&call, 20)).await?.reply;
        Ok(heard.turn_id.is_none().then_some(heard))
    });
    assert_eq!(heard.await?.call_status, CallStatus::InProgress);
    assert_eq!(row(&relay, &call).await?, (CallStatus::InProgress, Some(String::new())));
    relay.stop().await
}

#[tokio::test]
async fn of_many_transfers_of_one_call_the_carrier_is_asked_for_one() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let (_line, call) = held_call(&relay, &session).await?;
    let all = futures_util::future::join_all((0..32).map(|_| session.call(to(COLLEAGUE, &call)))).await;
    assert_eq!((all.iter().filter(|reply| reply.is_ok()).count(), redirects(&relay).len()), (1, 1));
    relay.stop().await
}

#[tokio::test]
async fn a_transfer_to_somebody_new_needs_a_persons_yes_which_holds_once() -> Result<()> {
    let relay = TestRelay::live_with("[policy]\nrecipients = 'approve-new'").await?;
    let session = relay.session().await?;
    let (mut line, call) = held_call(&relay, &session).await?;
    let problem = refusal(session.call(to(COLLEAGUE, &call)).await)?;
    let approval_id: ApprovalId = problem.approval_id.context("a question was asked")?;
    assert_eq!((problem.code, redirects(&relay).len()), (ErrorCode::ApprovalPending, 0));
    session.call(saying(&call, "I am asking.")).await?;
    assert_eq!(line.hears().await?, "I am asking.");
    let decision = Decision::Approve;
    session.call(DecideApproval { approval_id: approval_id.clone(), decision }).await?;
    let envelope = Envelope { approval_id: Some(approval_id), ..Envelope::default() };
    session.call_with(to(COLLEAGUE, &call), envelope).await?;
    assert_eq!(redirects(&relay).len(), 1);
    relay.stop().await
}

#[tokio::test]
async fn a_transfer_counts_among_the_calls_to_its_number() -> Result<()> {
    let relay = TestRelay::live_with("[limits]\ncalls_per_day_same_number = 1").await?;
    let session = relay.session().await?;
    let (_line, call) = held_call(&relay, &session).await?;
    session.call(to(COLLEAGUE, &call)).await?;
    let refused = refusal(session.call(calling(COLLEAGUE)).await)?;
    assert_eq!(refused.code, ErrorCode::ContactFrequency);
    relay.stop().await
}

#[tokio::test]
async fn a_number_that_was_called_often_enough_is_not_transferred_to() -> Result<()> {
    let relay = TestRelay::live_with("[limits]\ncalls_per_day_same_number = 1").await?;
    let session = relay.session().await?;
    session.call(calling(COLLEAGUE)).await?;
    let (mut line, call) = held_call(&relay, &session).await?;
    assert_eq!(refusal(session.call(to(COLLEAGUE, &call)).await)?.code, ErrorCode::ContactFrequency);
    assert_eq!(redirects(&relay), [""; 0]);
    session.call(saying(&call, "I am here.")).await?;
    assert_eq!(line.hears().await?, "I am here.");
    relay.stop().await
}

#[tokio::test]
async fn a_transfer_over_a_limit_is_refused_and_the_call_goes_on() -> Result<()> {
    let relay = TestRelay::live_with("[limits]\nactions_per_minute = 0").await?;
    let session = relay.session().await?;
    let (mut line, call) = held_call(&relay, &session).await?;
    assert_eq!(refusal(session.call(to(COLLEAGUE, &call)).await)?.code, ErrorCode::RateLimited);
    assert_eq!((redirects(&relay).len(), row(&relay, &call).await?.1), (0, None));
    session.call(saying(&call, "I am here.")).await?;
    assert_eq!(line.hears().await?, "I am here.");
    relay.stop().await
}
