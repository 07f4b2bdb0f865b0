//! What a person is shown when an agent asks, which is what their yes covers.

use anyhow::Result;
use relay_core::clock::Clock;
use relay_store::agent_channels::{self, AgentChannel};
use relay_store::agents::AgentStatus;
use relay_store::{FutureExt, StoreError};
use rstest::rstest;
use shared::ids::AgentId;
use shared::model::Channel;
use shared::protocol::{Decision, ErrorCode, MakeCall, SendMessage, SendVoiceMessage};
use tests::refusal::refusal;
use tests::relay::TestRelay;

use super::approvals::{ask, decide, with};
use super::{STRANGER, calling, left, live, settings, speaking_to, text};
use crate::limits::sales::with_sales;

const THEN_KNOWN: &str = "From then on this agent may write to and call this address on its own.";

enum Asked {
    Message(SendMessage),
    Call(MakeCall),
    VoiceMessage(SendVoiceMessage),
}

#[rstest]
#[case::message(
    Asked::Message(SendMessage { media_urls: vec!["https://a.test/1".to_owned()], ..text(STRANGER, "hello") }),
    "Send by sms to +12025550141: «hello»; media (1): «https://a.test/1»."
)]
#[case::call(
    Asked::Call(MakeCall { greeting: Some("Hi".to_owned()), max_duration_seconds: Some(90), ..calling(STRANGER) }),
    "Call +12025550141, for 2 min at the most: greeting «Hi»."
)]
#[case::voice_message(Asked::VoiceMessage(speaking_to(STRANGER)), "Call +12025550141 and say: «hello».")]
#[tokio::test]
async fn the_question_says_all_that_will_be_done(#[case] asked: Asked, #[case] words: &str) -> Result<()> {
    let relay = live("approve-new").await?;
    let session = relay.session().await?;
    let told = match asked {
        Asked::Message(call) => refusal(session.call(call).await)?,
        Asked::Call(call) => refusal(session.call(call).await)?,
        Asked::VoiceMessage(call) => refusal(session.call(call).await)?,
    };
    let expected = format!("A person must approve this first; nothing was done. {words} {THEN_KNOWN}");
    assert_eq!((told.code, told.message), (ErrorCode::ApprovalPending, expected));
    relay.stop().await
}

/// Gives the agent `sales` another number for texts.
async fn renumber_sales(relay: &TestRelay) -> Result<()> {
    let channel = AgentChannel {
        agent_id: "sales".parse::<AgentId>()?,
        channel: Channel::Sms,
        address: "+12025550156".to_owned(),
        provider: "twilio".to_owned(),
        status: AgentStatus::Active,
        created_at: relay.clock.now(),
    };
    let changed = relay.app().db.transaction::<_, StoreError, _>(move |tx| {
        async move { agent_channels::upsert(tx, &channel).await }.boxed()
    });
    Ok(changed.await?)
}

#[tokio::test]
async fn a_yes_to_an_agents_number_is_none_to_another_number_of_that_agent() -> Result<()> {
    let settings = settings("approve-new");
    let relay = with_sales(TestRelay::live_with(&settings).await?, &settings).await?;
    let approval = ask(&relay.session().await?, text("sales", "hello")).await?;
    decide(&relay.session().await?, &approval, Decision::Approve).await?;
    renumber_sales(&relay).await?;
    let relay = relay.restart(&settings).await?;
    let answer = relay.session().await?.call_with(text("sales", "hello"), with(&approval)).await;
    assert_eq!((refusal(answer)?.code, left(&relay)), (ErrorCode::ApprovalDenied, 0));
    relay.stop().await
}
