//! Live calls on a whole relay: the test is the carrier at one end and the agent at the other.

mod conversation;
mod holding;
mod machine;
mod placing;
mod socket;
mod transfer;
mod voice_message;
mod webhooks;

use anyhow::Result;
use relay_store::agents::{self, Agent, AgentStatus};
use relay_store::{FutureExt, StoreError};
use shared::ids::CallSid;
use shared::ipc::Client;
use shared::model::{MessageKind, Responder, Timestamp};
use shared::protocol::{CallTurns, GetMessages, Heard, ListenToCall, Speak};
use tests::relay::TestRelay;
use tests::wait::until;

const SID: &str = "CA00000000000000000000000000000001";
/// A call that nobody has announced.
const OTHER_SID: &str = "CA00000000000000000000000000000002";

fn listening(sid: &str, seconds: u64) -> ListenToCall {
    ListenToCall { call_sid: sid.parse().expect("it is a call sid"), wait_seconds: Some(seconds) }
}

fn saying(sid: &str, words: &str) -> Speak {
    Speak {
        call_sid: sid.parse().expect("it is a call sid"),
        turn_id: None,
        body: words.to_owned(),
        digits: None,
        end_call: false,
        wait_seconds: Some(0),
    }
}

/// Claims the call, without waiting.
async fn claim(session: &Client) -> Result<CallTurns> {
    Ok(session.call(listening(SID, 0)).await?.reply)
}

/// Waits for what the caller says next.
async fn hear(session: &Client) -> Result<CallTurns> {
    Ok(session.call(listening(SID, 20)).await?.reply)
}

async fn speak(session: &Client, words: &str) -> Result<Heard> {
    Ok(session.call(saying(SID, words)).await?.reply)
}

/// What was said in these turns: who, and which words or keys.
fn said(turns: &CallTurns) -> Vec<(&str, &str)> {
    turns
        .turns
        .iter()
        .map(|turn| (turn.speaker.as_str(), turn.digits.as_ref().unwrap_or(&turn.text).as_str()))
        .collect()
}

/// What waits in the inbox, by kind, without reading it.
async fn inbox(session: &Client, kind: MessageKind) -> Result<Vec<String>> {
    let everything = GetMessages { mark_read: Some(false), limit: Some(200), ..GetMessages::default() };
    let page = session.call(everything).await?.reply;
    Ok(page.messages.into_iter().filter(|entry| entry.kind == kind).map(|entry| entry.text).collect())
}

/// The whole transcript, once the call is over.
async fn transcript(session: &Client) -> Result<CallTurns> {
    until("the end of the call", async || {
        Ok(Some(claim(session).await?).filter(|turns| turns.call_status.is_final()))
    })
    .await
}

/// Runs a statement on the relay's database, to bring about what no door leads to.
async fn run_sql(relay: &TestRelay, sql: &'static str) -> Result<()> {
    let run = relay.app().db.transaction::<_, StoreError, _>(move |tx| {
        async move { tx.execute(sql, &[]).await.map(drop) }.boxed()
    });
    Ok(run.await?)
}

/// A second agent, with the name `other`, known after a restart.
async fn with_another_agent(relay: TestRelay) -> Result<TestRelay> {
    let other = Agent {
        id: "other".parse()?,
        name: "Other".to_owned(),
        greeting: None,
        system_prompt: None,
        voice: None,
        language: None,
        responder: Responder::Auto,
        status: AgentStatus::Active,
        created_at: Timestamp::from_millis(0),
        time_zone: None,
        recipients: None,
    };
    let added = relay.app().db.transaction::<_, StoreError, _>(move |tx| {
        async move { agents::insert_if_absent(tx, &other).await.map(drop) }.boxed()
    });
    added.await?;
    relay.restart("").await
}

fn sid(text: &str) -> CallSid {
    text.parse().expect("it is a call sid")
}
