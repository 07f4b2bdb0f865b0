//! The local socket of a whole relay: who gets in, whose inbox it is, and what a client can break.

use std::time::Duration;

use anyhow::{Result, bail};
use relay::services::agents::{REHEARSAL_NUMBER, rehearsal_agent};
use relay::services::tokens;
use relay_core::clock::Clock;
use relay_core::token::Role;
use rstest::rstest;
use shared::ids::{AgentId, TokenId};
use shared::ipc::{Client, ClientError, transport};
use shared::protocol::{
    ClientFrame, Envelope, ErrorCode, GetMessages, Hello, Outcome, PROTOCOL_VERSION, PeerProgram, Ping,
    RefusalReason, RelayFrame, SimulateText, Welcome,
};
use tests::refusal::refusal;
use tests::relay::{OUR_NUMBER, PERSON, TestRelay, text_form};
use tests::wait::until;

const SMS: &str = "/webhooks/default/sms";

async fn token(relay: &TestRelay, agent: &AgentId, lifetime: Option<Duration>) -> Result<String> {
    let issued = tokens::create(&relay.app().db, agent, Role::Agent, lifetime, relay.clock.now()).await?;
    Ok(issued.secret.expose().to_owned())
}

/// A session whose token can be revoked.
async fn revocable(relay: &TestRelay) -> Result<(Hello, TokenId)> {
    let (db, agent) = (&relay.app().db, AgentId::default_agent());
    let issued = tokens::create(db, &agent, Role::Agent, None, relay.clock.now()).await?;
    let client = PeerProgram { name: "test".to_owned(), version: "0".to_owned() };
    let token = Some(issued.secret.expose().to_owned());
    Ok((Hello { protocol: PROTOCOL_VERSION, client, host: None, token }, issued.id))
}

async fn refused(relay: &TestRelay, protocol: u32, token: Option<String>) -> Result<RefusalReason> {
    let client = PeerProgram { name: "test".to_owned(), version: "0".to_owned() };
    let hello = Hello { protocol, client, host: None, token };
    match Client::connect(&relay.paths().socket(), &hello).await {
        Err(ClientError::Refused { reason, .. }) => Ok(reason),
        other => bail!("no refusal but {:?}", other.map(|session| session.agent_id().clone())),
    }
}

fn waiting(seconds: u64) -> GetMessages {
    GetMessages { wait_seconds: Some(seconds), ..GetMessages::default() }
}

fn ping() -> Ping {
    Ping { message: "x".to_owned() }
}

#[rstest]
#[case::empty("")]
#[case::no_token("let me in")]
#[case::unknown("cat_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")]
#[case::sql("cat_' OR '1'='1")]
#[tokio::test]
async fn a_token_that_nobody_gave_is_refused(#[case] token: &str) -> Result<()> {
    let relay = TestRelay::live().await?;
    assert_eq!(refused(&relay, PROTOCOL_VERSION, Some(token.to_owned())).await?, RefusalReason::BadToken);
    relay.stop().await
}

#[tokio::test]
async fn a_token_lets_in_until_it_expires() -> Result<()> {
    let relay = TestRelay::live().await?;
    let lifetime = Duration::from_secs(60);
    let token = token(&relay, &AgentId::default_agent(), Some(lifetime)).await?;
    assert_eq!(relay.session_as(Some(token.clone())).await?.agent_id(), &AgentId::default_agent());
    relay.clock.advance(lifetime);
    assert_eq!(refused(&relay, PROTOCOL_VERSION, Some(token)).await?, RefusalReason::BadToken);
    relay.stop().await
}

#[rstest]
#[case(PROTOCOL_VERSION + 1)]
#[case(0)]
#[tokio::test]
async fn another_version_of_the_protocol_is_refused(#[case] protocol: u32) -> Result<()> {
    let relay = TestRelay::live().await?;
    assert_eq!(refused(&relay, protocol, None).await?, RefusalReason::ProtocolMismatch);
    relay.stop().await
}

#[tokio::test]
async fn an_agent_sees_only_its_own_inbox() -> Result<()> {
    let relay = TestRelay::demo().await?;
    let token = token(&relay, &rehearsal_agent(), None).await?;
    let (owner, rehearsal) = (relay.session().await?, relay.session_as(Some(token)).await?);
    for (to, body) in [(OUR_NUMBER, "for the owner"), (REHEARSAL_NUMBER, "for the rehearsal")] {
        let text = SimulateText { from: PERSON.parse()?, to: to.parse()?, body: body.to_owned() };
        assert_eq!(owner.call(text).await?.reply.webhook_status, Some(200));
    }
    for (session, body) in [(&owner, "for the owner"), (&rehearsal, "for the rehearsal")] {
        let page = session.call(GetMessages::default()).await?.reply;
        assert_eq!(page.total, 1);
        assert!(page.messages[0].text.contains(body), "{}", page.messages[0].text);
    }
    relay.stop().await
}

#[tokio::test]
async fn a_session_may_have_64_calls_in_flight_and_one_more_is_refused() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let waits = futures_util::future::join_all((0..64).map(|_| session.call(waiting(60))));
    tokio::pin!(waits);
    let problem = tokio::select! {
        biased;
        _ = &mut waits => panic!("nothing has come in"),
        answer = session.call(ping()) => answer.unwrap_err(),
    };
    let ClientError::Api(problem) = problem else { panic!("{problem:?}") };
    assert_eq!((problem.code, problem.retryable), (ErrorCode::RateLimited, true));
    assert_eq!(relay.session().await?.call(ping()).await?.reply.echo, "x");
    relay.stop().await
}

#[tokio::test]
async fn a_wait_that_nobody_waits_for_any_more_takes_nothing() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    tokio::select! {
        biased;
        _ = session.call(waiting(60)) => panic!("nothing has come in"),
        answer = session.call(ping()) => drop(answer?),
    }
    // Sent after the cancellation, so that its answer shows that the relay has obeyed that.
    session.call(ping()).await?;
    let form = text_form("SM00000000000000000000000000000001", PERSON, "hello");
    assert_eq!(relay.post_signed(SMS, &form).await?.status, 200);
    let page = session.call(GetMessages::default()).await?.reply;
    assert_eq!((page.messages.len(), page.messages[0].attempt), (1, 1));
    relay.stop().await
}

#[tokio::test]
async fn a_wait_that_outlives_its_token_is_given_nothing_and_keeps_nothing() -> Result<()> {
    let relay = TestRelay::live().await?;
    let (hello, token) = revocable(&relay).await?;
    let session = Client::connect(&relay.paths().socket(), &hello).await?;
    let meanwhile = async {
        // Each is answered after the wait has begun.
        for _ in 0..10 {
            session.call(ping()).await?;
        }
        tokens::revoke(&relay.app().db, token, relay.clock.now()).await?;
        let form = text_form("SM00000000000000000000000000000001", PERSON, "hello");
        relay.post_signed(SMS, &form).await
    };
    let (waited, posted) = tokio::join!(session.call(waiting(60)), meanwhile);
    assert_eq!(posted?.status, 200);
    assert_eq!(refusal(waited)?.code, ErrorCode::AuthRequired);
    let page = relay.session().await?.call(GetMessages::default()).await?.reply;
    // The first attempt was taken back.
    assert_eq!((page.messages.len(), page.messages[0].attempt), (1, 2));
    relay.stop().await
}

#[tokio::test]
async fn who_is_no_longer_let_in_is_not_told_what_waits() -> Result<()> {
    let relay = TestRelay::live().await?;
    let form = text_form("SM00000000000000000000000000000001", PERSON, "hello");
    assert_eq!(relay.post_signed(SMS, &form).await?.status, 200);
    let (hello, token) = revocable(&relay).await?;
    // A client of ours passes nothing on that comes beside a failure.
    let (mut reader, mut writer) = transport::frames(transport::connect(&relay.paths().socket()).await?);
    writer.send(&hello).await?;
    reader.receive::<Welcome>().await?;
    let mut told = Vec::new();
    for id in 0..2 {
        let call = Box::new(ping().into());
        writer.send(&ClientFrame::Call { id, call, envelope: Envelope::default() }).await?;
        let Some(RelayFrame::Reply { result, unread, .. }) = reader.receive().await? else {
            bail!("no reply")
        };
        let code = match result {
            Outcome::Ok(_) => None,
            Outcome::Error(problem) => Some(problem.code),
        };
        told.push((code, unread.is_some()));
        tokens::revoke(&relay.app().db, token.clone(), relay.clock.now()).await.ok();
    }
    assert_eq!(told, [(None, true), (Some(ErrorCode::AuthRequired), false)]);
    relay.stop().await
}

#[tokio::test]
async fn an_answer_that_comes_too_late_to_be_wanted_is_handed_over_again() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    for number in 0..20 {
        let sid = format!("SM{number:032x}");
        let form = text_form(&sid, PERSON, "hello");
        // The wait is given up at some moment of the message's coming in, before, during or after its hand-over.
        tokio::select! {
            _ = session.call(waiting(60)) => (),
            posted = relay.post_signed(SMS, &form) => assert_eq!(posted?.status, 200),
        }
        relay.post_signed(SMS, &form).await?;
    }
    drop(session);
    let next = relay.session().await?;
    let mut ids = Vec::new();
    until("all messages", async || {
        let page = next.call(GetMessages::default()).await?.reply;
        ids.extend(page.messages.into_iter().map(|message| message.id));
        Ok((ids.len() >= 20).then_some(()))
    })
    .await?;
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 20);
    relay.stop().await
}
