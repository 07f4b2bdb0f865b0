//! The carrier's news of what was sent: they repeat and overtake one another, and a status only moves forward.

use anyhow::Result;
use rstest::rstest;
use shared::ids::MessageId;
use shared::model::MessageStatus;
use tests::line::CALL_STATUS;
use tests::relay::TestRelay;

use super::{outbox, text};

/// Every order of the words.
fn orders(words: &[&'static str]) -> Vec<Vec<&'static str>> {
    if words.is_empty() {
        return vec![Vec::new()];
    }
    let firsts = 0..words.len();
    let all = firsts.flat_map(|first| {
        let mut rest = words.to_vec();
        let word = rest.remove(first);
        orders(&rest).into_iter().map(move |order| [vec![word], order].concat())
    });
    all.collect()
}

async fn report(relay: &TestRelay, id: &MessageId, word: &str) -> Result<()> {
    let sent = outbox(&relay.session().await?).await?;
    assert!(sent.iter().any(|message| message.id == *id), "it was sent");
    // The carrier's name for a message is told in the answer to our request; here the address tells ours.
    let external_id = format!("SM{}", id.as_str().replace('-', ""));
    let form = [("MessageSid", external_id.as_str()), ("MessageStatus", word), ("ErrorCode", "30003")];
    let answer = relay.post_signed(&format!("{CALL_STATUS}?message={id}"), &form).await?;
    assert_eq!(answer.status, 200);
    Ok(())
}

#[rstest]
#[case::delivered(&["queued", "sent", "delivered"], MessageStatus::Delivered)]
#[case::failed(&["queued", "sent", "failed"], MessageStatus::Failed)]
#[case::delivered_after_all(&["queued", "undelivered", "delivered"], MessageStatus::Delivered)]
#[case::of_all_sorts(&["queued", "sent", "failed", "delivered"], MessageStatus::Delivered)]
#[tokio::test]
async fn every_order_of_the_same_news_with_repetitions_ends_alike(
    #[case] words: &[&'static str],
    #[case] last: MessageStatus,
) -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let orders = orders(words);
    for order in &orders {
        let id = session.call(text("hello")).await?.reply.message_id;
        for word in order.iter().chain(order) {
            report(&relay, &id, word).await?;
        }
    }
    let ends: Vec<_> = outbox(&session).await?.into_iter().map(|message| message.status).collect();
    assert_eq!(ends, vec![last; orders.len()]);
    relay.stop().await
}

#[tokio::test]
async fn a_word_that_nobody_knows_is_no_news() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let id = session.call(text("hello")).await?.reply.message_id;
    report(&relay, &id, "teleported").await?;
    assert_eq!(outbox(&session).await?[0].status, MessageStatus::Accepted);
    relay.stop().await
}

#[tokio::test]
async fn news_by_the_carriers_name_alone_find_their_message() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let external_id = session.call(text("hello")).await?.reply.external_id.expect("the carrier named it");
    let form = [("MessageSid", external_id.as_str()), ("MessageStatus", "delivered")];
    assert_eq!(relay.post_signed(CALL_STATUS, &form).await?.status, 200);
    assert_eq!(outbox(&session).await?[0].status, MessageStatus::Delivered);
    relay.stop().await
}

#[tokio::test]
async fn forged_news_change_nothing() -> Result<()> {
    let relay = TestRelay::live().await?;
    let session = relay.session().await?;
    let external_id = session.call(text("hello")).await?.reply.external_id.expect("the carrier named it");
    let form = [("MessageSid", external_id.as_str()), ("MessageStatus", "failed")];
    assert_eq!(relay.post(CALL_STATUS, &form, "forged").await?.status, 403);
    assert_eq!(outbox(&session).await?[0].status, MessageStatus::Accepted);
    relay.stop().await
}
