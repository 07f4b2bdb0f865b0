//! Whom an agent may reach on its own, and what a person's yes is good for.

mod approvals;
mod shown;
mod trail;

use anyhow::Result;
use relay_core::clock::Clock;
use relay_store::contacts::{self, ContactKey};
use relay_store::{FutureExt, StoreError, allowed_recipients};
use rstest::rstest;
use shared::ids::AgentId;
use shared::ipc::{Client, ClientError};
use shared::model::{Channel, RecipientPolicy};
use shared::protocol::{
    Envelope, ErrorCode, ListenToCall, MakeCall, SendMessage, SendVoiceMessage, SimulateAct, SimulateAnswer,
    TransferCall, WatchNumber,
};
use tests::emulators::twilio::Emulator;
use tests::refusal::refusal;
use tests::relay::{TestRelay, text_form};

const STRANGER: &str = "+12025550141";
const WHO_WROTE: &str = "+12025550142";
const APPROVED: &str = "+12025550143";
const LISTED: &str = "+12025550144";
const OWNER: &str = "+12025550145";

/// What stands between an agent and somebody.
#[derive(Clone, Copy, Debug)]
enum Tool {
    SendMessage,
    MakeCall,
    SendVoiceMessage,
}

impl Tool {
    const ALL: [Self; 3] = [Self::SendMessage, Self::MakeCall, Self::SendVoiceMessage];

    /// Uses it for a person; gives why not.
    async fn reach(self, session: &Client, to: &str) -> Result<Option<ErrorCode>> {
        self.reach_with(session, to, Envelope::default()).await
    }

    /// The same with an approval.
    async fn reach_with(self, session: &Client, to: &str, with: Envelope) -> Result<Option<ErrorCode>> {
        let answer: Result<(), ClientError> = match self {
            Self::SendMessage => session.call_with(text(to, "hello"), with).await.map(drop),
            Self::MakeCall => session.call_with(calling(to), with).await.map(drop),
            Self::SendVoiceMessage => session.call_with(speaking_to(to), with).await.map(drop),
        };
        Ok(if answer.is_ok() { None } else { Some(refusal(answer)?.code) })
    }
}

fn text(to: &str, body: &str) -> SendMessage {
    SendMessage::sms(to, body)
}

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

fn emulator(relay: &TestRelay) -> &Emulator {
    relay.twilio.as_ref().expect("in live mode there is one")
}

/// How many messages and calls the carrier was asked for.
fn left(relay: &TestRelay) -> usize {
    emulator(relay).received().iter().filter(|request| request.method == "POST").count()
}

fn settings(policy: &str) -> String {
    format!("[policy]\nrecipients = '{policy}'\n[owner]\nphone = '{OWNER}'\n")
}

/// A relay in live mode, with nobody known but its owner.
async fn live(policy: &str) -> Result<TestRelay> {
    TestRelay::live_with(&settings(policy)).await
}

/// Somebody was approved before, and somebody stands on the agent's list.
async fn with_acquaintances(relay: &TestRelay) -> Result<()> {
    let now = relay.clock.now();
    let known = relay.app().db.transaction::<_, StoreError, _>(move |tx| {
        async move {
            let agent_id = AgentId::default_agent();
            allowed_recipients::insert_if_absent(tx, &agent_id, LISTED, now).await?;
            let key = ContactKey { agent_id, channel: Channel::Sms, address: APPROVED.to_owned() };
            contacts::approve(tx, &key, now).await
        }
        .boxed()
    });
    Ok(known.await?)
}

/// Who is reached, in the order of `STRANGER` to `OWNER`.
const fn expected(policy: RecipientPolicy) -> [(&'static str, Option<ErrorCode>); 5] {
    let (pending, forbidden) = (Some(ErrorCode::ApprovalPending), Some(ErrorCode::Forbidden));
    let [stranger, who_wrote, approved, listed] = match policy {
        RecipientPolicy::Open => [None; 4],
        RecipientPolicy::ApproveNew => [pending, None, None, None],
        RecipientPolicy::AllowList => [forbidden, forbidden, forbidden, None],
    };
    [(STRANGER, stranger), (WHO_WROTE, who_wrote), (APPROVED, approved), (LISTED, listed), (OWNER, None)]
}

#[rstest]
#[tokio::test]
async fn every_policy_holds_for_everybody_and_every_tool(
    #[values(RecipientPolicy::Open, RecipientPolicy::ApproveNew, RecipientPolicy::AllowList)]
    policy: RecipientPolicy,
) -> Result<()> {
    let relay = live(policy.as_str()).await?;
    with_acquaintances(&relay).await?;
    let form = text_form("SM00000000000000000000000000000001", WHO_WROTE, "hello");
    assert_eq!(relay.post_signed("/webhooks/default/sms", &form).await?.status, 200);
    let session = relay.session().await?;
    let mut told = Vec::new();
    for tool in Tool::ALL {
        for (to, _) in expected(policy) {
            let before = left(&relay);
            let refused = tool.reach(&session, to).await?;
            assert_eq!(left(&relay) - before, usize::from(refused.is_none()), "{tool:?} {to}");
            told.push((to, refused));
        }
    }
    assert_eq!(told, expected(policy).repeat(3));
    relay.stop().await
}

#[rstest]
#[case::live_asks(true, Some(ErrorCode::ApprovalPending))]
#[case::demo_does_not(false, None)]
#[tokio::test]
async fn where_nothing_is_set_live_mode_asks_before_a_first_contact(
    #[case] live: bool,
    #[case] told: Option<ErrorCode>,
) -> Result<()> {
    // Named, but with nothing in it.
    let unset = "[policy]\nrecipients = ''\n";
    let relay = if live { TestRelay::live_with(unset).await? } else { TestRelay::demo_with(unset).await? };
    assert_eq!(Tool::SendMessage.reach(&relay.session().await?, STRANGER).await?, told);
    relay.stop().await
}

#[tokio::test]
async fn who_called_first_may_be_called_back() -> Result<()> {
    let relay = live("approve-new").await?;
    tests::line::ring(&relay, "CA00000000000000000000000000000001").await?;
    let told = Tool::MakeCall.reach(&relay.session().await?, tests::relay::PERSON).await?;
    assert_eq!(told, None);
    relay.stop().await
}

#[tokio::test]
async fn nobody_may_reach_its_own_number_whatever_the_policy() -> Result<()> {
    for policy in ["open", "approve-new", "allow-list"] {
        let relay = live(policy).await?;
        let session = relay.session().await?;
        for tool in Tool::ALL {
            let told = tool.reach(&session, tests::relay::OUR_NUMBER).await?;
            assert_eq!(told, Some(ErrorCode::InvalidInput), "{policy} {tool:?}");
        }
        assert_eq!(left(&relay), 0);
        relay.stop().await?;
    }
    Ok(())
}

/// In demo mode, where calls are answered: the owner is called, and then put through to somebody.
#[rstest]
#[tokio::test]
async fn a_call_is_put_through_only_to_whom_the_agent_may_reach(
    #[values(RecipientPolicy::Open, RecipientPolicy::ApproveNew, RecipientPolicy::AllowList)]
    policy: RecipientPolicy,
) -> Result<()> {
    let relay = TestRelay::demo_with(&settings(policy.as_str())).await?;
    with_acquaintances(&relay).await?;
    let session = relay.session().await?;
    let mut told = Vec::new();
    for (to, _) in expected(policy).into_iter().filter(|(to, _)| ![WHO_WROTE, OWNER].contains(to)) {
        session.call(WatchNumber { number: OWNER.parse()? }).await?;
        let call = session.call(calling(OWNER)).await?.reply.call_sid;
        session.call(SimulateAnswer { number: OWNER.parse()?, wait_seconds: 20 }).await?;
        // Whom we hear, we can put through.
        session.call(SimulateAct::Say { call_sid: call.clone(), text: "Hello?".to_owned() }).await?;
        session.call(ListenToCall { call_sid: call.clone(), wait_seconds: Some(20) }).await?;
        let put_through =
            TransferCall { call_sid: call, to: to.to_owned(), announcement_text: None, mode: None };
        let answer = session.call(put_through).await;
        let refused = if answer.is_ok() { None } else { Some(refusal(answer)?.code) };
        told.push((to, refused));
    }
    let wanted: Vec<_> =
        expected(policy).into_iter().filter(|(to, _)| ![WHO_WROTE, OWNER].contains(to)).collect();
    assert_eq!(told, wanted);
    relay.stop().await
}
