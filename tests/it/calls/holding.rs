//! Who holds a call: one session at a time, of the agent whose call it is.

use anyhow::Result;
use relay::services::tokens;
use relay_core::clock::Clock;
use relay_core::token::Role;
use shared::model::MessageKind;
use shared::protocol::{ErrorCode, GetStatus, Ping};
use tests::line::Line;
use tests::refusal::refusal;
use tests::relay::TestRelay;
use tests::wait::until;

use super::{OTHER_SID, SID, claim, hear, inbox, listening, said, saying, speak, with_another_agent};

#[tokio::test]
async fn a_call_that_is_held_is_refused_to_other_sessions_until_its_holder_is_gone() -> Result<()> {
    let relay = TestRelay::live().await?;
    let (first, second) = (relay.session().await?, relay.session().await?);
    let mut line = Line::call(&relay, SID).await?;
    claim(&first).await?;
    let refused = [
        refusal(second.call(listening(SID, 0)).await)?.code,
        refusal(second.call(saying(SID, "Mine!")).await)?.code,
    ];
    assert_eq!(refused, [ErrorCode::Forbidden, ErrorCode::Forbidden]);
    drop(first);
    until("the end of the first session", async || {
        Ok((second.call(GetStatus {}).await?.reply.sessions == 1).then_some(()))
    })
    .await?;
    line.say("Hello?").await?;
    assert_eq!(said(&hear(&second).await?), [("caller", "Hello?")]);
    speak(&second, "Hello!").await?;
    assert_eq!(line.hears().await?, "Hello!");
    relay.stop().await
}

#[tokio::test]
async fn the_call_of_another_agent_looks_like_one_that_is_not() -> Result<()> {
    let relay = with_another_agent(TestRelay::live().await?).await?;
    let _line = Line::call(&relay, SID).await?;
    let (db, now) = (&relay.app().db, relay.clock.now());
    let token = tokens::create(db, &"other".parse()?, Role::Agent, None, now).await?;
    let stranger = relay.session_as(Some(token.secret.expose().to_owned())).await?;
    for speech in [false, true] {
        let mut answers = Vec::new();
        for sid in [SID, OTHER_SID] {
            answers.push(if speech {
                refusal(stranger.call(saying(sid, "Hello?")).await)?
            } else {
                refusal(stranger.call(listening(sid, 0)).await)?
            });
        }
        assert_eq!(serde_json::to_string(&answers[0])?, serde_json::to_string(&answers[1])?);
        assert_eq!(answers[0].code, ErrorCode::NotFound);
    }
    relay.stop().await
}

#[tokio::test]
async fn a_call_that_was_answered_is_no_missed_one() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let _line = Line::call(&relay, SID).await?;
    assert_eq!(inbox(&session, MessageKind::Call).await?.len(), 1);
    claim(&session).await?;
    until("the entry to be read", async || {
        let told = session.call(Ping { message: "x".to_owned() }).await?;
        Ok(told.unread.is_none().then_some(()))
    })
    .await?;
    relay.stop().await
}
