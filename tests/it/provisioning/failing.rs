//! Agents whose setting up fails half-way: nothing stays behind, least of all a number that is paid for.

use std::time::Duration;

use anyhow::{Context, Result};
use relay_store::agent_channels::{self, AgentChannel};
use relay_store::agents::AgentStatus;
use relay_store::number_purchases::PurchaseStatus;
use relay_store::{FutureExt, StoreError};
use rstest::rstest;
use shared::ids::AgentId;
use shared::model::{Channel, Timestamp};
use shared::protocol::ErrorCode;
use tests::emulators::twilio::{Emulator, Fault, Received};
use tests::refusal::refusal;
use tests::relay::TestRelay;
use tests::wait::until;

use super::{Left, NUMBER, OFFERED, is_paid_for, sales};

fn is_purchase(request: &Received) -> bool {
    request.method == "POST" && request.target.ends_with("/IncomingPhoneNumbers.json")
}

fn is_purchase_or_look(request: &Received) -> bool {
    request.target.contains("/IncomingPhoneNumbers.json")
}

fn is_release(request: &Received) -> bool {
    request.method == "DELETE"
}

fn twilio(relay: &TestRelay) -> Result<&Emulator> {
    relay.twilio.as_ref().context("live mode has an emulator")
}

/// Another agent has the number that the carrier offers: the step after the purchase fails.
async fn give_away_what_is_offered(relay: &TestRelay) -> Result<()> {
    let row = AgentChannel {
        agent_id: AgentId::default_agent(),
        channel: Channel::Voice,
        address: OFFERED.to_owned(),
        provider: "twilio".to_owned(),
        status: AgentStatus::Active,
        created_at: Timestamp::from_millis(0),
    };
    let given = relay.app().db.transaction::<_, StoreError, _>(move |tx| {
        async move { agent_channels::upsert(tx, &row).await }.boxed()
    });
    Ok(given.await?)
}

async fn settled(relay: &TestRelay, status: PurchaseStatus) -> Result<()> {
    until("the purchase is settled", async || {
        Ok((Left::at(relay).await? == Left::nothing_but(Some(status))).then_some(()))
    })
    .await
}

#[rstest]
#[case::unauthorized(401, ErrorCode::ProviderRejected)]
#[case::unpaid(402, ErrorCode::ProviderRejected)]
#[case::too_many(429, ErrorCode::ProviderUnavailable)]
#[tokio::test]
async fn a_refused_purchase_leaves_nothing(#[case] status: u16, #[case] code: ErrorCode) -> Result<()> {
    let relay = TestRelay::live().await?;
    twilio(&relay)?.fail_at(is_purchase, Fault::Status(status));
    let problem = refusal(relay.admin().await?.call(sales(&NUMBER)).await)?;
    let left = Left::nothing_but(Some(PurchaseStatus::Failed));
    assert_eq!((problem.code, problem.not_undone, Left::at(&relay).await?), (code, Vec::new(), left));
    relay.stop().await
}

#[tokio::test]
async fn the_same_agent_can_be_set_up_after_a_failure() -> Result<()> {
    let relay = TestRelay::live().await?;
    let admin = relay.admin().await?;
    twilio(&relay)?.fail_at(is_purchase, Fault::Status(429));
    refusal(admin.call(sales(&NUMBER)).await)?;
    twilio(&relay)?.fail(Fault::None);
    let done = admin.call(sales(&NUMBER)).await?.reply;
    assert_eq!(done.channels[0].address, OFFERED);
    relay.stop().await
}

#[rstest]
#[case::broken(Fault::Break)]
#[case::garbled(Fault::Garbage)]
#[case::never(Fault::Silence)]
#[tokio::test]
async fn a_purchase_whose_answer_was_lost_is_found_and_kept(#[case] fault: Fault) -> Result<()> {
    let relay = TestRelay::live().await?;
    twilio(&relay)?.fail_at(is_purchase, fault);
    let done = relay.admin().await?.call(sales(&NUMBER)).await?.reply;
    let bought = twilio(&relay)?.received().iter().filter(|request| is_purchase(request)).count();
    assert_eq!((done.channels[0].address.as_str(), bought), (OFFERED, 1));
    relay.stop().await
}

#[tokio::test]
async fn a_purchase_that_cannot_be_asked_about_is_given_back_when_it_can() -> Result<()> {
    let relay = TestRelay::live().await?;
    twilio(&relay)?.fail_at(is_purchase_or_look, Fault::Break);
    let problem = refusal(relay.admin().await?.call(sales(&NUMBER)).await)?;
    assert_eq!((problem.code, problem.not_undone.len()), (ErrorCode::OutcomeUnknown, 1));
    assert!(problem.not_undone[0].contains("agentos-comms:"), "{problem:?}");
    twilio(&relay)?.fail(Fault::None);
    assert!(is_paid_for(&relay).await?);
    settled(&relay, PurchaseStatus::Released).await?;
    assert!(!is_paid_for(&relay).await?);
    relay.stop().await
}

#[tokio::test]
async fn a_purchase_that_nobody_knows_of_is_given_up_after_a_minute() -> Result<()> {
    let relay = TestRelay::live().await?;
    twilio(&relay)?.fail_at(is_purchase, Fault::Status(500));
    let problem = refusal(relay.admin().await?.call(sales(&NUMBER)).await)?;
    let left = Left::nothing_but(Some(PurchaseStatus::Intended));
    assert_eq!((problem.code, Left::at(&relay).await?), (ErrorCode::OutcomeUnknown, left));
    relay.clock.advance(Duration::from_secs(60));
    settled(&relay, PurchaseStatus::Failed).await?;
    relay.stop().await
}

#[tokio::test]
async fn a_relay_that_dies_after_a_purchase_gives_the_number_back_when_it_starts() -> Result<()> {
    let relay = TestRelay::live().await?;
    twilio(&relay)?.fail_at(is_purchase_or_look, Fault::Break);
    refusal(relay.admin().await?.call(sales(&NUMBER)).await)?;
    let relay = relay.restart("").await?;
    twilio(&relay)?.fail(Fault::None);
    settled(&relay, PurchaseStatus::Released).await?;
    assert!(!is_paid_for(&relay).await?);
    relay.stop().await
}

#[tokio::test]
async fn a_place_that_a_dead_relay_left_reserved_is_free_again() -> Result<()> {
    let relay = TestRelay::live().await?;
    let now = Timestamp::from_millis(0);
    let reserved = relay.app().db.transaction::<_, StoreError, _>(move |tx| {
        async move { relay_store::agent_pool::reserve(tx, &"gone".parse().expect("an id"), 5, now).await }
            .boxed()
    });
    assert!(reserved.await?);
    let relay = relay.restart("").await?;
    assert_eq!(Left::at(&relay).await?, Left::nothing_but(None));
    relay.stop().await
}

#[tokio::test]
async fn a_number_is_given_back_when_a_later_step_fails() -> Result<()> {
    let relay = TestRelay::live().await?;
    give_away_what_is_offered(&relay).await?;
    let problem = refusal(relay.admin().await?.call(sales(&NUMBER)).await)?;
    let left = Left::nothing_but(Some(PurchaseStatus::Released));
    assert_eq!((problem.not_undone, Left::at(&relay).await?), (Vec::<String>::new(), left));
    assert!(!is_paid_for(&relay).await?);
    relay.stop().await
}

#[tokio::test]
async fn a_number_that_cannot_be_given_back_is_told_and_given_back_later() -> Result<()> {
    let relay = TestRelay::live().await?;
    give_away_what_is_offered(&relay).await?;
    twilio(&relay)?.fail_at(is_release, Fault::Status(500));
    let problem = refusal(relay.admin().await?.call(sales(&NUMBER)).await)?;
    let left = Left::nothing_but(Some(PurchaseStatus::Intended));
    assert_eq!((problem.not_undone.len(), Left::at(&relay).await?), (1, left));
    twilio(&relay)?.fail(Fault::None);
    settled(&relay, PurchaseStatus::Released).await?;
    assert!(!is_paid_for(&relay).await?);
    relay.stop().await
}
