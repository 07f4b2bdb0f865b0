//! Who may ask about whom, for how long a token holds, and what a person's yes covers.

use std::time::Duration;

use anyhow::{Context, Result};
use relay::services::agents::rehearsal_agent;
use relay::services::tokens::{self, IssuedToken};
use relay_core::clock::Clock;
use relay_core::token::Role;
use rstest::rstest;
use shared::ids::{AgentId, ApprovalId};
use shared::ipc::Client;
use shared::model::LimitsPatch;
use shared::protocol::{
    DecideApproval, Decision, Envelope, ErrorCode, GetBilling, GetChannelStatus, GetUsage, Ping,
    SetAgentLimits, SetBillingConfig,
};
use tests::refusal::refusal;
use tests::relay::TestRelay;

use super::{LIMITS, about, of_limit};

const MINUTE: Duration = Duration::from_secs(60);

/// A call that only an admin may make.
fn raising(to: i64) -> SetAgentLimits {
    let limits = LimitsPatch { max_actions_per_day: Some(to), ..LimitsPatch::default() };
    SetAgentLimits { agent_id: AgentId::default_agent(), limits }
}

fn with(approval: &ApprovalId) -> Envelope {
    Envelope { approval_id: Some(approval.clone()), ..Envelope::default() }
}

/// Asks for it, and gives the question's id.
async fn ask(session: &Client, call: SetAgentLimits) -> Result<ApprovalId> {
    let problem = refusal(session.call(call).await)?;
    assert_eq!(problem.code, ErrorCode::ApprovalPending, "{problem:?}");
    problem.approval_id.context("the question has an id")
}

async fn decide(session: &Client, approval: &ApprovalId, decision: Decision) -> Result<()> {
    session.call(DecideApproval { approval_id: approval.clone(), decision }).await?;
    Ok(())
}

async fn token(relay: &TestRelay, role: Role, lifetime: Option<Duration>) -> Result<IssuedToken> {
    let (db, agent) = (&relay.app().db, AgentId::default_agent());
    Ok(tokens::create(db, &agent, role, lifetime, relay.clock.now()).await?)
}

async fn open(relay: &TestRelay, token: &IssuedToken) -> Result<Client> {
    relay.session_as(Some(token.secret.expose().to_owned())).await
}

fn ping() -> Ping {
    Ping { message: "x".to_owned() }
}

#[tokio::test]
async fn a_foreign_agent_and_one_that_is_not_there_are_the_same_to_an_agent() -> Result<()> {
    let relay = TestRelay::demo().await?;
    let session = relay.session().await?;
    let (mut foreign, mut absent) = (Vec::new(), Vec::new());
    for (answers, agent) in [(&mut foreign, rehearsal_agent().as_str()), (&mut absent, "nobody")] {
        answers.push(refusal(session.call_with(GetUsage { period: None }, about(agent)).await)?);
        answers.push(refusal(session.call_with(GetBilling { period: None }, about(agent)).await)?);
        answers.push(refusal(session.call_with(GetChannelStatus {}, about(agent)).await)?);
        answers.push(refusal(session.call_with(ping(), about(agent)).await)?);
    }
    assert_eq!((foreign[0].code, &foreign), (ErrorCode::NotFound, &absent));
    relay.stop().await
}

#[tokio::test]
async fn an_admin_may_ask_about_any_agent_but_not_about_one_that_is_not_there() -> Result<()> {
    let relay = TestRelay::demo().await?;
    let admin = relay.admin().await?;
    let other = rehearsal_agent();
    let found = admin.call_with(GetChannelStatus {}, about(other.as_str())).await?.reply;
    let nobody: AgentId = "nobody".parse()?;
    let limits = SetAgentLimits { agent_id: nobody.clone(), limits: LimitsPatch::default() };
    let billing =
        SetBillingConfig { agent_id: nobody, tier: None, markup_percent: Some(5), billing_email: None };
    let codes = [
        refusal(admin.call_with(GetUsage { period: None }, about("nobody")).await)?.code,
        refusal(admin.call(limits).await)?.code,
        refusal(admin.call(billing).await)?.code,
    ];
    assert_eq!((found.agent_id, codes), (other, [ErrorCode::NotFound; 3]));
    relay.stop().await
}

/// How a token ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Expired,
    Revoked,
    Rotated,
}

#[rstest]
#[case::expired(End::Expired)]
#[case::revoked(End::Revoked)]
#[case::rotated(End::Rotated)]
#[tokio::test]
async fn an_open_session_outlives_its_token_by_no_call(#[case] end: End) -> Result<()> {
    let relay = TestRelay::live_with(LIMITS).await?;
    let token = token(&relay, Role::Admin, Some(MINUTE)).await?;
    let session = open(&relay, &token).await?;
    session.call(raising(7)).await?;
    let (db, now) = (&relay.app().db, relay.clock.now());
    match end {
        End::Expired => relay.clock.advance(MINUTE),
        End::Revoked => tokens::revoke(db, token.id, now).await?,
        End::Rotated => drop(tokens::rotate(db, token.id, now).await?),
    }
    let codes = [
        refusal(session.call(ping()).await)?.code,
        refusal(session.call(raising(8)).await)?.code,
        refusal(session.call(super::text()).await)?.code,
    ];
    assert_eq!(codes, [ErrorCode::AuthRequired; 3]);
    relay.stop().await
}

#[tokio::test]
async fn a_rotated_token_is_the_same_but_for_its_secret() -> Result<()> {
    let relay = TestRelay::live_with(LIMITS).await?;
    let old = token(&relay, Role::Admin, Some(MINUTE * 2)).await?;
    relay.clock.advance(MINUTE);
    let (_, fresh) = tokens::rotate(&relay.app().db, old.id, relay.clock.now()).await?;
    open(&relay, &fresh).await?.call(raising(7)).await?;
    assert_eq!(fresh.expires_at, old.expires_at);
    relay.stop().await
}

#[rstest]
#[case::expired(End::Expired)]
#[case::revoked(End::Revoked)]
#[case::rotated(End::Rotated)]
#[tokio::test]
async fn a_token_that_has_ended_is_not_made_anew(#[case] end: End) -> Result<()> {
    let relay = TestRelay::live_with(LIMITS).await?;
    let token = token(&relay, Role::Agent, Some(MINUTE)).await?;
    let db = &relay.app().db;
    match end {
        End::Expired => relay.clock.advance(MINUTE),
        End::Revoked => tokens::revoke(db, token.id.clone(), relay.clock.now()).await?,
        End::Rotated => drop(tokens::rotate(db, token.id.clone(), relay.clock.now()).await?),
    }
    let before = tokens::list(db, None).await?;
    let again = tokens::rotate(db, token.id, relay.clock.now()).await;
    assert_eq!((again.is_err(), tokens::list(db, None).await?), (true, before));
    relay.stop().await
}

#[tokio::test]
async fn a_yes_lets_the_same_call_pass_once() -> Result<()> {
    let relay = TestRelay::live_with(LIMITS).await?;
    let session = relay.session().await?;
    let approval = ask(&session, raising(7)).await?;
    decide(&session, &approval, Decision::Approve).await?;
    let in_force = session.call_with(raising(7), with(&approval)).await?.reply;
    let again = refusal(session.call_with(raising(7), with(&approval)).await)?;
    assert_eq!((in_force.limits.max_actions_per_day, again.code), (7, ErrorCode::ApprovalDenied));
    relay.stop().await
}

/// How a call with an approval is not what a person has said yes to.
#[derive(Clone, Copy, Debug)]
enum Wrong {
    Unanswered,
    Denied,
    OtherArguments,
    OtherCall,
    TooLate,
    Invented,
}

#[rstest]
#[case::unanswered(Wrong::Unanswered, ErrorCode::ApprovalPending)]
#[case::denied(Wrong::Denied, ErrorCode::ApprovalDenied)]
#[case::other_arguments(Wrong::OtherArguments, ErrorCode::ApprovalDenied)]
#[case::other_call(Wrong::OtherCall, ErrorCode::ApprovalDenied)]
#[case::too_late(Wrong::TooLate, ErrorCode::ApprovalDenied)]
#[case::invented(Wrong::Invented, ErrorCode::NotFound)]
#[tokio::test]
async fn nothing_is_done_without_a_yes_to_exactly_this_call(
    #[case] wrong: Wrong,
    #[case] code: ErrorCode,
) -> Result<()> {
    let relay = TestRelay::live_with(LIMITS).await?;
    let session = relay.session().await?;
    let asked = ask(&session, raising(7)).await?;
    match wrong {
        Wrong::Unanswered => (),
        Wrong::Denied => decide(&session, &asked, Decision::Deny).await?,
        Wrong::OtherArguments | Wrong::OtherCall | Wrong::TooLate | Wrong::Invented => {
            decide(&session, &asked, Decision::Approve).await?;
        }
    }
    if matches!(wrong, Wrong::TooLate) {
        relay.clock.advance(MINUTE * 15);
    }
    let agent_id = AgentId::default_agent();
    let answer = match wrong {
        Wrong::OtherArguments => refusal(session.call_with(raising(8), with(&asked)).await)?,
        Wrong::OtherCall => {
            let call =
                SetBillingConfig { agent_id, tier: None, markup_percent: Some(7), billing_email: None };
            refusal(session.call_with(call, with(&asked)).await)?
        }
        Wrong::Invented => refusal(session.call_with(raising(7), with(&ApprovalId::generate())).await)?,
        Wrong::Unanswered | Wrong::Denied | Wrong::TooLate => {
            refusal(session.call_with(raising(7), with(&asked)).await)?
        }
    };
    let (_, left) = of_limit(&session, "maxActionsPerDay").await?;
    assert_eq!((answer.code, left.as_str()), (code, "500"));
    relay.stop().await
}

#[tokio::test]
async fn a_yes_to_one_agent_is_none_to_another() -> Result<()> {
    let relay = TestRelay::demo().await?;
    let (db, now) = (&relay.app().db, relay.clock.now());
    let token = tokens::create(db, &rehearsal_agent(), Role::Agent, None, now).await?;
    let (session, other) = (relay.session().await?, open(&relay, &token).await?);
    let approval = ask(&session, raising(7)).await?;
    let decision = DecideApproval { approval_id: approval.clone(), decision: Decision::Approve };
    let deciding = refusal(other.call(decision).await)?.code;
    decide(&session, &approval, Decision::Approve).await?;
    let using = refusal(other.call_with(raising(7), with(&approval)).await)?.code;
    assert_eq!((deciding, using), (ErrorCode::NotFound, ErrorCode::NotFound));
    relay.stop().await
}

#[tokio::test]
async fn the_same_question_is_asked_once() -> Result<()> {
    let relay = TestRelay::live_with(LIMITS).await?;
    let session = relay.session().await?;
    let (first, second) = (ask(&session, raising(7)).await?, ask(&session, raising(7)).await?);
    assert_eq!(first, second);
    relay.stop().await
}

#[tokio::test]
async fn a_host_may_answer_only_where_the_settings_let_it() -> Result<()> {
    let relay = TestRelay::live_with("[policy]\nelicitation = false").await?;
    let session = relay.session().await?;
    let approval_id = ask(&session, raising(7)).await?;
    let decision = DecideApproval { approval_id, decision: Decision::Approve };
    assert_eq!(refusal(session.call(decision).await)?.code, ErrorCode::Forbidden);
    relay.stop().await
}
