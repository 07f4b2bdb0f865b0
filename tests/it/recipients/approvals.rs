//! A person's yes covers exactly the call that was asked about, once, for a quarter of an hour.

use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::future::join_all;
use rstest::rstest;
use shared::ids::{AgentId, ApprovalId};
use shared::ipc::Client;
use shared::model::LimitsPatch;
use shared::protocol::{
    ApiError, Call, DecideApproval, Decision, Envelope, ErrorCode, SendMessage, SetAgentLimits,
};
use tests::refusal::refusal;
use tests::relay::TestRelay;

use super::{STRANGER, Tool, left, live, settings, text};
use crate::limits::sales::{sales_session, with_sales};

const LIFETIME: Duration = Duration::from_secs(15 * 60);
const A_MOMENT: Duration = Duration::from_millis(1);

pub(super) fn with(approval: &ApprovalId) -> Envelope {
    Envelope { agent_id: None, approval_id: Some(approval.clone()) }
}

/// Makes a call that a person must allow first; gives the question's id.
pub(super) async fn ask<C>(session: &Client, call: C) -> Result<ApprovalId>
where
    C: Call,
    C::Reply: std::fmt::Debug,
{
    let problem = refusal(session.call(call).await)?;
    assert_eq!(problem.code, ErrorCode::ApprovalPending, "{problem:?}");
    problem.approval_id.context("the question has no id")
}

pub(super) async fn decide(session: &Client, approval: &ApprovalId, decision: Decision) -> Result<()> {
    session.call(DecideApproval { approval_id: approval.clone(), decision }).await?;
    Ok(())
}

/// The same, with a yes to it.
async fn ask_and_approve<C>(session: &Client, call: C) -> Result<ApprovalId>
where
    C: Call,
    C::Reply: std::fmt::Debug,
{
    let approval = ask(session, call).await?;
    decide(session, &approval, Decision::Approve).await?;
    Ok(approval)
}

/// What the agent is told of a message with this approval.
async fn refused(session: &Client, message: SendMessage, approval: &ApprovalId) -> Result<ApiError> {
    refusal(session.call_with(message, with(approval)).await)
}

fn hello() -> SendMessage {
    text(STRANGER, "hello")
}

/// A call that only an admin may make.
fn more_actions() -> SetAgentLimits {
    let limits = LimitsPatch { max_actions_per_day: Some(7), ..LimitsPatch::default() };
    SetAgentLimits { agent_id: AgentId::default_agent(), limits }
}

#[rstest]
#[case::another_body(text(STRANGER, "hello!"))]
#[case::another_recipient(text("+12025550149", "hello"))]
#[case::a_picture(SendMessage { media_urls: vec!["https://example.com/a.png".to_owned()], ..hello() })]
#[case::another_key(SendMessage { idempotency_key: Some("k".to_owned()), ..hello() })]
#[case::another_time(SendMessage { schedule_at: Some("2026-11-18T12:00:00Z".parse().unwrap()), ..hello() })]
#[tokio::test]
async fn a_yes_to_one_message_is_none_to_another(#[case] other: SendMessage) -> Result<()> {
    let relay = live("approve-new").await?;
    let session = relay.session().await?;
    let approval = ask_and_approve(&session, hello()).await?;
    let told = refused(&session, other, &approval).await?;
    assert_eq!((told.code, left(&relay)), (ErrorCode::ApprovalDenied, 0));
    assert_eq!(told.message, "It was given for another call; nothing was done.");
    // The yes is still good for what it was given for.
    session.call_with(hello(), with(&approval)).await?;
    assert_eq!(left(&relay), 1);
    relay.stop().await
}

#[rstest]
#[tokio::test]
async fn a_yes_for_one_tool_is_none_for_another(
    #[values(Tool::MakeCall, Tool::SendVoiceMessage)] other: Tool,
) -> Result<()> {
    let relay = live("approve-new").await?;
    let session = relay.session().await?;
    let approval = ask_and_approve(&session, hello()).await?;
    let told = other.reach_with(&session, STRANGER, with(&approval)).await?;
    let as_admin = refusal(session.call_with(more_actions(), with(&approval)).await)?.code;
    assert_eq!(
        (told, as_admin, left(&relay)),
        (Some(ErrorCode::ApprovalDenied), ErrorCode::ApprovalDenied, 0)
    );
    relay.stop().await
}

#[tokio::test]
async fn a_yes_is_used_up_by_the_message_that_it_allows() -> Result<()> {
    let relay = live("approve-new").await?;
    let session = relay.session().await?;
    let approval = ask_and_approve(&session, hello()).await?;
    session.call_with(hello(), with(&approval)).await?;
    let told = refused(&session, hello(), &approval).await?;
    assert_eq!((told.code, left(&relay)), (ErrorCode::ApprovalDenied, 1));
    assert_eq!(told.message, "It has been used; a yes holds for one call; nothing was done.");
    relay.stop().await
}

#[tokio::test]
async fn a_yes_that_is_brought_at_the_same_moment_by_several_sessions_allows_one_message() -> Result<()> {
    let relay = live("approve-new").await?;
    let sessions = [relay.session().await?, relay.session().await?];
    let approval = ask_and_approve(&sessions[0], hello()).await?;
    let uses = (0..16).map(|n| sessions[n % 2].call_with(hello(), with(&approval)));
    let answers = join_all(uses).await;
    let codes: Vec<_> = answers
        .into_iter()
        .filter(Result::is_err)
        .map(|answer| Ok(refusal(answer)?.code))
        .collect::<Result<_>>()?;
    assert_eq!((codes, left(&relay)), (vec![ErrorCode::ApprovalDenied; 15], 1));
    relay.stop().await
}

#[tokio::test]
async fn a_yes_to_an_admins_call_allows_one_such_call_at_the_same_moment() -> Result<()> {
    let relay = live("approve-new").await?;
    let sessions = [relay.session().await?, relay.session().await?];
    let approval = ask_and_approve(&sessions[0], more_actions()).await?;
    let answers = join_all((0..16).map(|n| sessions[n % 2].call_with(more_actions(), with(&approval)))).await;
    let (done, denied): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    let codes: Vec<_> = denied.into_iter().map(|answer| Ok(refusal(answer)?.code)).collect::<Result<_>>()?;
    assert_eq!((done.len(), codes), (1, vec![ErrorCode::ApprovalDenied; 15]));
    relay.stop().await
}

#[tokio::test]
async fn who_was_approved_once_may_be_reached_again_by_every_tool() -> Result<()> {
    let relay = live("approve-new").await?;
    let session = relay.session().await?;
    let approval = ask_and_approve(&session, hello()).await?;
    session.call_with(hello(), with(&approval)).await?;
    for tool in Tool::ALL {
        assert_eq!(tool.reach(&session, STRANGER).await?, None, "{tool:?}");
    }
    relay.stop().await
}

#[tokio::test]
async fn a_no_holds() -> Result<()> {
    let relay = live("approve-new").await?;
    let session = relay.session().await?;
    let approval = ask(&session, hello()).await?;
    decide(&session, &approval, Decision::Deny).await?;
    let told = refused(&session, hello(), &approval).await?;
    assert_eq!((told.code, left(&relay)), (ErrorCode::ApprovalDenied, 0));
    assert_eq!(told.message, "A person has said no; nothing was done.");
    // Nor can it be turned into a yes.
    let call = DecideApproval { approval_id: approval, decision: Decision::Approve };
    assert_eq!(refusal(session.call(call).await)?.code, ErrorCode::NotFound);
    relay.stop().await
}

#[rstest]
#[case::in_time(LIFETIME - A_MOMENT, 1)]
#[case::too_late(LIFETIME, 0)]
#[tokio::test]
async fn a_yes_holds_for_a_quarter_of_an_hour(#[case] later: Duration, #[case] sent: usize) -> Result<()> {
    let relay = live("approve-new").await?;
    let session = relay.session().await?;
    let approval = ask_and_approve(&session, hello()).await?;
    relay.clock.advance(later);
    let answer = session.call_with(hello(), with(&approval)).await;
    if sent == 0 {
        let told = refusal(answer)?;
        assert_eq!(
            (told.code, told.message.as_str()),
            (ErrorCode::ApprovalDenied, "It has run out; nothing was done.")
        );
    }
    assert_eq!(left(&relay), sent);
    relay.stop().await
}

#[tokio::test]
async fn a_question_that_nobody_has_answered_in_time_is_asked_anew() -> Result<()> {
    let relay = live("approve-new").await?;
    let session = relay.session().await?;
    let first = ask(&session, hello()).await?;
    relay.clock.advance(LIFETIME - A_MOMENT);
    let same = ask(&session, hello()).await?;
    relay.clock.advance(A_MOMENT);
    let call = DecideApproval { approval_id: first.clone(), decision: Decision::Approve };
    assert_eq!(refusal(session.call(call).await)?.code, ErrorCode::NotFound);
    let second = ask(&session, hello()).await?;
    assert_eq!((first == same, first == second, left(&relay)), (true, false, 0));
    relay.stop().await
}

#[tokio::test]
async fn the_same_question_is_asked_once_also_by_another_session_and_after_its_yes() -> Result<()> {
    let relay = live("approve-new").await?;
    let (one, other) = (relay.session().await?, relay.session().await?);
    let first = ask(&one, hello()).await?;
    let second = ask(&other, hello()).await?;
    decide(&one, &first, Decision::Approve).await?;
    let third = ask(&one, hello()).await?;
    assert_eq!((&second, &third, left(&relay)), (&first, &first, 0));
    relay.stop().await
}

#[tokio::test]
async fn a_yes_without_a_question_that_was_answered_is_none() -> Result<()> {
    let relay = live("approve-new").await?;
    let session = relay.session().await?;
    let approval = ask(&session, hello()).await?;
    let told = refused(&session, hello(), &approval).await?;
    assert_eq!((told.code, told.approval_id), (ErrorCode::ApprovalPending, Some(approval)));
    assert_eq!(left(&relay), 0);
    relay.stop().await
}

#[tokio::test]
async fn a_message_that_a_limit_stops_does_not_use_its_yes_up() -> Result<()> {
    let settings = format!("{}[limits]\nactions_per_minute = 1\n", settings("approve-new"));
    let relay = TestRelay::live_with(&settings).await?;
    let session = relay.session().await?;
    let approval = ask_and_approve(&session, hello()).await?;
    session.call(text(super::OWNER, "hello")).await?;
    assert_eq!(refused(&session, hello(), &approval).await?.code, ErrorCode::RateLimited);
    relay.clock.advance(Duration::from_secs(60));
    session.call_with(hello(), with(&approval)).await?;
    assert_eq!(left(&relay), 2);
    relay.stop().await
}

#[tokio::test]
async fn more_than_twenty_questions_at_once_are_not_put_to_anybody() -> Result<()> {
    let relay = live("approve-new").await?;
    let session = relay.session().await?;
    let question = |n: u32| text(STRANGER, &format!("hello {n}"));
    let first = ask(&session, question(1)).await?;
    for n in 2..=20 {
        ask(&session, question(n)).await?;
    }
    let told = refusal(session.call(question(21)).await)?;
    assert_eq!((told.code, told.approval_id), (ErrorCode::RateLimited, None));
    // What was asked already is no new question, and one that is answered makes room.
    assert_eq!(ask(&session, question(1)).await?, first);
    decide(&session, &first, Decision::Deny).await?;
    ask(&session, question(21)).await?;
    assert_eq!(left(&relay), 0);
    relay.stop().await
}

#[tokio::test]
async fn where_hosts_may_not_answer_only_the_operator_can() -> Result<()> {
    let relay = TestRelay::live_with("[policy]\nrecipients = 'approve-new'\nelicitation = false\n").await?;
    let session = relay.session().await?;
    let approval = ask(&session, hello()).await?;
    for decision in [Decision::Approve, Decision::Deny] {
        let call = DecideApproval { approval_id: approval.clone(), decision };
        assert_eq!(refusal(session.call(call).await)?.code, ErrorCode::Forbidden);
    }
    let told = refused(&session, hello(), &approval).await?;
    assert_eq!((told.code, left(&relay)), (ErrorCode::ApprovalPending, 0));
    relay.stop().await
}

#[tokio::test]
async fn the_question_of_another_agent_looks_like_one_that_is_not() -> Result<()> {
    let settings = settings("approve-new");
    let relay = with_sales(TestRelay::live_with(&settings).await?, &settings).await?;
    let (ours, sales) = (relay.session().await?, sales_session(&relay).await?);
    let pending = ask(&ours, text(STRANGER, "pending")).await?;
    let approved = ask_and_approve(&ours, hello()).await?;
    let mut told = Vec::new();
    for id in [&pending, &approved, &ApprovalId::generate()] {
        let decided = DecideApproval { approval_id: id.clone(), decision: Decision::Approve };
        told.push([
            serde_json::to_string(&refused(&sales, hello(), id).await?)?,
            serde_json::to_string(&refusal(sales.call_with(more_actions(), with(id)).await)?)?,
            serde_json::to_string(&refusal(sales.call(decided).await)?)?,
        ]);
    }
    assert!(told[0].iter().all(|told| told.contains("not_found")), "{told:?}");
    assert_eq!(told, vec![told[0].clone(); 3]);
    assert_eq!(left(&relay), 0);
    relay.stop().await
}
