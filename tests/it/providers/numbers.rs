//! Buying numbers and checking the account, over a real socket.

use relay_providers::http::{HttpClient, Limits};
use relay_providers::twilio::{Auth, Settings, Twilio};
use relay_providers::{
    AccountChecker, AccountInfo, NumberHooks, NumberOrder, NumberProvisioner, NumberWanted, ProviderError,
    Secret,
};
use rstest::rstest;
use shared::model::PhoneNumber;
use tests::emulators::twilio::Fault;

use super::adapter::{OURS, emulator, failing, kind};

fn wanted(country: &str, area_code: Option<&str>) -> NumberWanted {
    let area_code = area_code.map(str::to_owned);
    NumberWanted { country: country.to_owned(), area_code, sms: true, voice: true }
}

fn hooks(base: &str) -> NumberHooks {
    NumberHooks {
        sms_url: format!("{base}/sms"),
        voice_url: format!("{base}/voice"),
        status_url: format!("{base}/status"),
    }
}

fn order(number: &str) -> NumberOrder {
    let (number, label) = (number.parse().unwrap(), "purchase-1".to_owned());
    NumberOrder { number, label, hooks: hooks("https://r.example") }
}

fn code(error: &ProviderError) -> Option<&str> {
    match error {
        ProviderError::Rejected { code, .. } => code.as_deref(),
        _ => None,
    }
}

#[tokio::test]
async fn a_number_is_searched_bought_found_changed_and_released() {
    let (emulator, twilio) = emulator().await;
    let offers = twilio.search(&wanted("US", Some("415"))).await.unwrap();
    let order = order(offers[0].as_str());
    let bought = twilio.buy(&order).await.unwrap();
    assert_eq!(bought.number, order.number);
    let found =
        [twilio.find_by_label(&order.label).await.unwrap(), twilio.find_number(&order.number).await.unwrap()];
    assert_eq!(found, [Some(bought.clone()), Some(bought.clone())]);
    twilio.configure(&bought.external_id, &hooks("https://other.example")).await.unwrap();
    twilio.release(&bought.external_id).await.unwrap();
    assert_eq!(twilio.find_number(&order.number).await.unwrap(), None);
    assert_eq!((emulator.received().len(), emulator.problems()), (7, vec![]));
}

#[tokio::test]
async fn a_number_that_is_gone_counts_as_released() {
    let (_emulator, twilio) = emulator().await;
    let bought = twilio.buy(&order("+14155550100")).await.unwrap();
    twilio.release(&bought.external_id).await.unwrap();
    twilio.release(&bought.external_id).await.unwrap();
}

#[tokio::test]
async fn five_numbers_are_offered_and_a_bought_one_is_not_offered_again() {
    let (_emulator, twilio) = emulator().await;
    let offers = twilio.search(&wanted("GB", None)).await.unwrap();
    twilio.buy(&order(offers[0].as_str())).await.unwrap();
    let left = twilio.search(&wanted("GB", None)).await.unwrap();
    assert_eq!((offers.len(), &left[..4]), (5, &offers[1..]));
}

#[tokio::test]
async fn an_unknown_country_has_no_numbers() {
    let (_emulator, twilio) = emulator().await;
    assert_eq!(twilio.search(&wanted("XX", None)).await.unwrap(), Vec::<PhoneNumber>::new());
}

#[rstest]
#[case::ours_already(OURS)]
#[case::somebodys("+15558675310")]
#[tokio::test]
async fn a_number_that_is_not_free_cannot_be_bought(#[case] number: &str) {
    let (_emulator, twilio) = emulator().await;
    assert_eq!(code(&twilio.buy(&order(number)).await.unwrap_err()), Some("21422"));
}

#[rstest]
#[case(Fault::Silence, "unknown")]
#[case(Fault::Break, "unknown")]
#[case(Fault::Garbage, "unknown")]
#[case(Fault::Status(500), "unknown")]
#[case(Fault::Status(429), "rate limited")]
#[case(Fault::Status(401), "unauthorized")]
#[case(Fault::Status(402), "rejected")]
#[tokio::test]
async fn a_purchase_that_fails_says_whether_it_may_have_happened(
    #[case] fault: Fault,
    #[case] expected: &str,
) {
    let (emulator, twilio) = failing(fault).await;
    assert_eq!(kind(&twilio.buy(&order("+14155550100")).await.unwrap_err()), expected);
    assert_eq!(emulator.received().len(), 1, "nothing is bought twice");
}

#[rstest]
#[case(Fault::Silence)]
#[case(Fault::Break)]
#[case(Fault::Garbage)]
#[tokio::test]
async fn what_was_bought_without_an_answer_is_found_by_its_label(#[case] fault: Fault) {
    let (emulator, twilio) = failing(fault).await;
    twilio.buy(&order("+14155550100")).await.unwrap_err();
    emulator.fail(Fault::None);
    let found = twilio.find_by_label("purchase-1").await.unwrap().map(|bought| bought.number);
    assert_eq!(found, Some("+14155550100".parse().unwrap()));
}

#[tokio::test]
async fn what_was_never_bought_is_not_found() {
    let (emulator, twilio) = failing(Fault::Status(500)).await;
    twilio.buy(&order("+14155550100")).await.unwrap_err();
    emulator.fail(Fault::None);
    assert_eq!(twilio.find_by_label("purchase-1").await.unwrap(), None);
}

#[rstest]
#[case(Fault::Silence, "unavailable")]
#[case(Fault::Break, "unavailable")]
#[case(Fault::Garbage, "malformed")]
#[case(Fault::Status(500), "unavailable")]
#[case(Fault::Status(404), "rejected")]
#[case(Fault::Status(429), "rate limited")]
#[tokio::test]
async fn a_question_about_numbers_that_fails_changes_nothing(#[case] fault: Fault, #[case] expected: &str) {
    let (_emulator, twilio) = failing(fault).await;
    assert_eq!(kind(&twilio.search(&wanted("US", None)).await.unwrap_err()), expected);
    assert_eq!(kind(&twilio.find_by_label("x").await.unwrap_err()), expected);
    assert_eq!(kind(&twilio.find_number(&OURS.parse().unwrap()).await.unwrap_err()), expected);
    assert_eq!(kind(&twilio.check().await.unwrap_err()), expected);
}

#[tokio::test]
async fn another_servers_404_does_not_release_a_number() {
    let (emulator, twilio) = emulator().await;
    let bought = twilio.buy(&order("+14155550100")).await.unwrap();
    emulator.fail(Fault::Status(404));
    assert_eq!(kind(&twilio.release(&bought.external_id).await.unwrap_err()), "rejected");
}

#[tokio::test]
async fn an_account_says_what_it_is() {
    let (emulator, twilio) = emulator().await;
    let [name, status, kind] = ["Simulated account", "active", "Full"].map(str::to_owned);
    assert_eq!(twilio.check().await.unwrap(), AccountInfo { name, status, kind });
    assert_eq!(emulator.problems(), Vec::<String>::new());
}

#[tokio::test]
async fn a_key_that_may_not_ask_for_the_account_is_tried_with_something_else() {
    let (emulator, _) = emulator().await;
    let twilio = Twilio::new(emulator.key_settings(), HttpClient::new(Limits::default()));
    let [status, kind] = ["active", "unknown"].map(str::to_owned);
    let name = emulator.settings.account_sid.clone();
    assert_eq!(twilio.check().await.unwrap(), AccountInfo { name, status, kind });
    assert_eq!(emulator.problems(), Vec::<String>::new());
}

#[rstest]
#[case(Auth::Token(Secret::new("wrong")))]
#[case(Auth::ApiKey { sid: "SK00000000000000000000000000000002".to_owned(), secret: Secret::new("wrong") })]
#[tokio::test]
async fn wrong_credentials_are_told_apart(#[case] auth: Auth) {
    let (emulator, _) = emulator().await;
    let settings = Settings { auth, ..emulator.settings.clone() };
    let twilio = Twilio::new(settings, HttpClient::new(Limits::default()));
    assert_eq!(kind(&twilio.check().await.unwrap_err()), "unauthorized");
}
