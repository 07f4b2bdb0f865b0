//! What a process that died left behind: intents are carried out, what may have been sent is asked about.

use anyhow::Result;
use relay_store::{FutureExt, StoreError};
use shared::model::MessageStatus;
use tests::emulators::twilio::Fault;
use tests::relay::TestRelay;
use tests::wait::until;

use super::{arrived, emulator, outbox, posts, questions, settles_as, text};

/// A relay that recorded a message and died: it was asked to send it once, by a carrier that took nothing.
async fn left(sql: &'static str) -> Result<TestRelay> {
    let relay = TestRelay::live().await?;
    emulator(&relay).fail(Fault::Status(400));
    // Refused, so that nothing of it is at the carrier.
    assert!(relay.session().await?.call(text("hello")).await.is_err());
    emulator(&relay).fail(Fault::None);
    let turned_back = relay.app().db.transaction::<_, StoreError, _>(move |tx| {
        async move { tx.execute(sql, &[]).await.map(drop) }.boxed()
    });
    turned_back.await?;
    relay.restart("").await
}

#[tokio::test]
async fn what_was_intended_is_sent_at_the_next_start() -> Result<()> {
    let relay = left("UPDATE messages SET status = 'intended', error_code = NULL").await?;
    settles_as(&relay.session().await?, MessageStatus::Accepted).await?;
    assert_eq!((posts(&relay), arrived(&relay)), (2, vec!["hello".to_owned()]));
    relay.stop().await
}

#[tokio::test]
async fn what_was_being_sent_is_asked_about_and_not_sent() -> Result<()> {
    let relay = left("UPDATE messages SET status = 'sending', error_code = NULL").await?;
    let session = relay.session().await?;
    assert_eq!(outbox(&session).await?[0].status, MessageStatus::Unknown);
    until("the question about it", async || Ok((questions(&relay) > 0).then_some(()))).await?;
    settles_as(&session, MessageStatus::Unknown).await?;
    assert_eq!((posts(&relay), arrived(&relay).len()), (1, 0));
    relay.stop().await
}

#[tokio::test]
async fn what_was_taken_before_the_end_is_found_again_after_it() -> Result<()> {
    let relay = TestRelay::live().await?;
    relay.session().await?.call(text("hello")).await?;
    let turned_back = relay.app().db.transaction::<_, StoreError, _>(move |tx| {
        let sql = "UPDATE messages SET status = 'sending', external_id = NULL";
        async move { tx.execute(sql, &[]).await.map(drop) }.boxed()
    });
    turned_back.await?;
    let relay = relay.restart("").await?;
    let session = relay.session().await?;
    until("what became of it", async || {
        Ok((outbox(&session).await?[0].status != MessageStatus::Unknown).then_some(()))
    })
    .await?;
    assert_eq!((posts(&relay), arrived(&relay).len()), (1, 1));
    relay.stop().await
}
