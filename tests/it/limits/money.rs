//! Money: what is reserved is given back when nothing was sent, and corrected when the carrier tells its price.

use anyhow::Result;
use relay_providers::MessageSender;
use relay_providers::http::{HttpClient, Limits};
use relay_providers::twilio::Twilio;
use rstest::rstest;
use shared::ids::ExternalId;
use shared::ipc::Client;
use shared::model::Micros;
use shared::protocol::{ErrorCode, SendMessage};
use tests::emulators::twilio::{Emulator, Fault};
use tests::line::CALL_STATUS;
use tests::refusal::refusal;
use tests::relay::TestRelay;
use tests::wait::until;

use super::sales::{sales_session, with_sales};
use super::{emulator, left, limited, send_until_refused, settings_with, spent, text};

/// Twilio's number for "not a valid phone number".
const INVALID: &str = "+15005550001";
/// What the carrier takes for a text.
const REAL_PRICE: Micros = Micros(7_900);

/// Waits until the carrier knows what a text costs.
pub(crate) async fn is_priced(emulator: &Emulator, id: &ExternalId) -> Result<()> {
    let carrier = Twilio::new(emulator.settings.clone(), HttpClient::new(Limits::default()));
    until("the carrier's price", async || Ok(carrier.price(id).await?.map(drop))).await
}

/// The carrier tells that a text has arrived.
async fn is_delivered(relay: &TestRelay, id: &ExternalId) -> Result<()> {
    let form = [("MessageSid", id.as_str()), ("MessageStatus", "delivered")];
    assert_eq!(relay.post_signed(CALL_STATUS, &form).await?.status, 200);
    Ok(())
}

/// Sends a text, and waits until the relay has learned its price.
async fn send_and_settle(relay: &TestRelay, session: &Client) -> Result<()> {
    let before = spent(relay, "default").await?;
    let id = session.call(text()).await?.reply.external_id.expect("the carrier named it");
    is_priced(emulator(relay), &id).await?;
    is_delivered(relay, &id).await?;
    let expected = Micros(before.0 + REAL_PRICE.0);
    until("the correction", async || Ok((spent(relay, "default").await? == expected).then_some(()))).await
}

#[rstest]
#[case::of_a_number_that_is_none(INVALID, Fault::None)]
#[case::of_everything(tests::relay::PERSON, Fault::Status(400))]
#[case::of_our_credentials(tests::relay::PERSON, Fault::Status(401))]
#[tokio::test]
async fn what_the_carrier_refuses_costs_nothing(#[case] to: &str, #[case] fault: Fault) -> Result<()> {
    let relay = limited(&[("spend_per_day", "'0.03'")]).await?;
    let session = relay.session().await?;
    emulator(&relay).fail(fault);
    for _ in 0..3 {
        let answer = session.call(SendMessage::sms(to, "hello")).await;
        assert_eq!(refusal(answer)?.code, ErrorCode::ProviderRejected);
    }
    emulator(&relay).fail(Fault::None);
    until("the end of what was reserved", async || {
        let sums = (spent(&relay, "default").await?, spent(&relay, "*").await?);
        Ok((sums == (Micros(0), Micros(0))).then_some(()))
    })
    .await?;
    let (sent, told) = send_until_refused(&session).await?;
    assert_eq!((sent, told.code, left(&relay)), (3, ErrorCode::SpendLimit, 6));
    relay.stop().await
}

#[tokio::test]
async fn what_may_have_been_sent_stays_charged() -> Result<()> {
    let relay = limited(&[("spend_per_day", "'0.03'")]).await?;
    let session = relay.session().await?;
    emulator(&relay).fail(Fault::Break);
    assert_eq!(refusal(session.call(text()).await)?.code, ErrorCode::OutcomeUnknown);
    assert_eq!(spent(&relay, "default").await?, Micros(10_000));
    relay.stop().await
}

#[tokio::test]
async fn a_lower_price_than_expected_makes_room() -> Result<()> {
    let relay = limited(&[("spend_per_day", "'0.018'")]).await?;
    let session = relay.session().await?;
    send_and_settle(&relay, &session).await?;
    // 0.0079 + 0.01, and not 0.01 + 0.01.
    let (sent, told) = send_until_refused(&session).await?;
    assert_eq!((sent, told.code), (1, ErrorCode::SpendLimit));
    assert_eq!(
        (spent(&relay, "default").await?, spent(&relay, "*").await?),
        (Micros(17_900), Micros(17_900))
    );
    relay.stop().await
}

#[tokio::test]
async fn a_higher_price_than_expected_takes_room() -> Result<()> {
    let relay = limited(&[("spend_per_day", "'0.012'"), ("prices", "['sms:1=0.005']")]).await?;
    let session = relay.session().await?;
    send_and_settle(&relay, &session).await?;
    // 0.0079 + 0.005, and not 0.005 + 0.005.
    let (sent, told) = send_until_refused(&session).await?;
    assert_eq!((sent, told.code), (0, ErrorCode::SpendLimit));
    assert_eq!((spent(&relay, "default").await?, spent(&relay, "*").await?), (REAL_PRICE, REAL_PRICE));
    relay.stop().await
}

#[tokio::test]
async fn news_that_come_twice_correct_once() -> Result<()> {
    let relay = limited(&[]).await?;
    let session = relay.session().await?;
    let id = session.call(text()).await?.reply.external_id.expect("the carrier named it");
    is_priced(emulator(&relay), &id).await?;
    for _ in 0..2 {
        is_delivered(&relay, &id).await?;
    }
    send_and_settle(&relay, &session).await.ok();
    until("both prices", async || {
        Ok((spent(&relay, "default").await? == Micros(2 * REAL_PRICE.0)).then_some(()))
    })
    .await?;
    relay.stop().await
}

#[tokio::test]
async fn the_cap_of_all_agents_stands_above_the_caps_of_each() -> Result<()> {
    let settings = settings_with(&[("org_spend_per_day", "'0.05'"), ("spend_per_day", "'0.03'")]);
    let relay = with_sales(TestRelay::live_with(&settings).await?, &settings).await?;
    let sales = sales_session(&relay).await?;
    let (of_default, own) = send_until_refused(&relay.session().await?).await?;
    let (of_sales, of_all) = send_until_refused(&sales).await?;
    assert_eq!((of_default, of_sales), (3, 2));
    assert!(own.message.contains("0.03 USD a day"), "{own:?}");
    assert!(of_all.message.contains("all agents together"), "{of_all:?}");
    assert_eq!((spent(&relay, "*").await?, spent(&relay, "sales").await?), (Micros(50_000), Micros(20_000)));
    relay.stop().await
}
