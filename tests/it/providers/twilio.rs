//! The Twilio adapter: against the vendor's document, and against a server that fails in every way.

use http::{HeaderMap, Method};
use relay_providers::http::{HttpClient, HttpRequest, Limits};
use relay_providers::twilio::Twilio;
use relay_providers::{Accepted, MessageSender, OutboundCall, OutboundMessage, VoiceCaller};
use rstest::rstest;
use serde::Deserialize;
use shared::model::MessageStatus;
use tests::emulators::twilio::{Fault, spec};

use super::adapter::{EPOCH, THEIRS, call, emulator, failing, kind, message};

#[tokio::test]
async fn every_request_of_the_adapter_is_one_that_the_vendor_describes() {
    let (emulator, twilio) = emulator().await;
    let media_urls = vec!["https://x.example/a.png".to_owned(), "https://x.example/b.png".to_owned()];
    let status_callback = Some("https://r.example/s#rc=2&rp=ct,rt,5xx".to_owned());
    let sent = twilio.send(&OutboundMessage { media_urls, status_callback, ..message() }).await.unwrap();
    twilio.find_sent(&message(), EPOCH).await.unwrap();
    MessageSender::price(&twilio, &sent.external_id).await.unwrap();
    let placed = twilio.place(&OutboundCall { detect_voicemail: true, ..call() }).await.unwrap();
    twilio.find_placed(&call(), EPOCH).await.unwrap();
    VoiceCaller::price(&twilio, &placed.call_sid).await.unwrap();
    // It still rings, so this is refused, after the request has been seen.
    twilio.redirect(&placed.call_sid, "<Response><Hangup/></Response>").await.unwrap_err();
    twilio.hang_up(&placed.call_sid).await.unwrap();
    assert_eq!((emulator.received().len(), emulator.problems()), (8, vec![]));
}

#[tokio::test]
async fn a_request_that_the_vendor_does_not_describe_is_noticed() {
    let (emulator, _) = emulator().await;
    let url = format!("{}/2010-04-01/Accounts/{}/Mesages.json", emulator.settings.base_url, "A".repeat(34));
    let (method, headers, body) = (Method::GET, HeaderMap::new(), Vec::new());
    let client = HttpClient::new(Limits::default());
    client.send(HttpRequest { method, url, headers, body }).await.unwrap();
    assert_eq!(emulator.problems().len(), 1);
}

#[derive(Deserialize)]
struct Recording {
    requests: Vec<Recorded>,
}

#[derive(Deserialize)]
struct Recorded {
    name: String,
    method: String,
    url: String,
    #[serde(default)]
    body: String,
}

#[test]
fn every_request_of_the_sdk_passes_the_check() {
    let recording: Recording =
        serde_json::from_str(include_str!("../../src/fixtures/twilio_client_requests.json")).unwrap();
    let (spec, form) = (spec(), Some("application/x-www-form-urlencoded"));
    let problems: Vec<(String, Vec<String>)> = recording
        .requests
        .into_iter()
        .map(|it| (it.name, spec.check(&it.method, &it.url, form, it.body.as_bytes())))
        .filter(|(_, problems)| !problems.is_empty())
        .collect();
    assert_eq!(problems, []);
}

#[rstest]
#[case::misspelt("POST", "Messages.json", "To=%2B1&From=x&Boddy=x", "unknown field Boddy")]
#[case::missing("POST", "Calls.json", "To=%2B1", "missing field From")]
#[case::repeated("POST", "Messages.json", "To=%2B1&To=%2B2", "repeated field To")]
#[case::no_number("POST", "Calls.json", "To=1&From=2&Timeout=soon", "Timeout has another type")]
#[case::no_truth("POST", "Messages.json", "To=1&SmartEncoded=yes", "SmartEncoded has another type")]
#[case::no_word(
    "POST",
    "Calls/CAeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee.json",
    "Status=over",
    "Status is none of its words"
)]
#[case::no_sid("POST", "Calls/CAxyz.json", "Status=completed", "Sid is too short")]
#[case::no_url("POST", "Calls.json", "To=1&From=2&Url=voice", "Url is no URL")]
#[case::query("GET", "Messages.json?Too=1", "", "unknown query field Too")]
#[case::range("GET", "Messages.json?PageSize=1001", "", "PageSize is out of range")]
#[case::body("GET", "Messages.json", "To=1", "a body where none belongs")]
#[case::method("PUT", "Messages.json", "To=1", "no such operation: PUT")]
#[case::path("POST", "Message.json", "To=1", "no such operation: POST")]
fn a_wrong_request_is_found(
    #[case] method: &str,
    #[case] path: &str,
    #[case] body: &str,
    #[case] problem: &str,
) {
    let url = format!("https://h.example/2010-04-01/Accounts/AC{}/{path}", "a".repeat(32));
    let problems = spec().check(method, &url, Some("application/x-www-form-urlencoded"), body.as_bytes());
    assert!(problems.first().is_some_and(|first| first.starts_with(problem)), "{problems:?}");
}

#[test]
fn a_body_of_another_type_is_found() {
    let url = format!("https://h.example/2010-04-01/Accounts/AC{}/Messages.json", "a".repeat(32));
    let problems = spec().check("POST", &url, Some("application/json"), b"{}");
    assert_eq!(problems, ["content type application/json is not taken"]);
}

#[tokio::test]
async fn a_text_is_accepted_over_a_real_socket() {
    let (_emulator, twilio) = emulator().await;
    let accepted = twilio.send(&message()).await.unwrap();
    let expected = Accepted {
        external_id: accepted.external_id.clone(),
        status: MessageStatus::Accepted,
        segments: Some(1),
        cost: None,
    };
    assert_eq!(accepted, expected);
}

#[rstest]
#[case(Fault::Silence, "unknown")]
#[case(Fault::Break, "unknown")]
#[case(Fault::Garbage, "unknown")]
#[case(Fault::Flood, "unknown")]
#[case(Fault::Status(500), "unknown")]
#[case(Fault::Status(503), "unknown")]
#[case(Fault::Status(429), "rate limited")]
#[case(Fault::Status(401), "unauthorized")]
#[case(Fault::Status(402), "rejected")]
#[case(Fault::Status(302), "rejected")]
#[case(Fault::Status(404), "rejected")]
#[tokio::test]
async fn a_send_that_fails_says_whether_it_may_have_happened(#[case] fault: Fault, #[case] expected: &str) {
    let (emulator, twilio) = failing(fault).await;
    assert_eq!(kind(&twilio.send(&message()).await.unwrap_err()), expected);
    assert_eq!(kind(&twilio.place(&call()).await.unwrap_err()), expected);
    assert_eq!(emulator.received().len(), 2, "nothing is sent twice");
}

#[rstest]
#[case(Fault::Silence, "unavailable")]
#[case(Fault::Break, "unavailable")]
#[case(Fault::Garbage, "malformed")]
#[case(Fault::Flood, "unavailable")]
#[case(Fault::Status(500), "unavailable")]
#[case(Fault::Status(429), "rate limited")]
#[tokio::test]
async fn a_look_up_that_fails_changes_nothing(#[case] fault: Fault, #[case] expected: &str) {
    let (_emulator, twilio) = failing(fault).await;
    assert_eq!(kind(&twilio.find_sent(&message(), EPOCH).await.unwrap_err()), expected);
    assert_eq!(kind(&twilio.find_placed(&call(), EPOCH).await.unwrap_err()), expected);
    let (message, call) = (format!("SM{}", "a".repeat(32)), format!("CA{}", "a".repeat(32)));
    let price = MessageSender::price(&twilio, &message.parse().unwrap()).await;
    assert_eq!(kind(&price.unwrap_err()), expected);
    let price = VoiceCaller::price(&twilio, &call.parse().unwrap()).await;
    assert_eq!(kind(&price.unwrap_err()), expected);
}

#[tokio::test]
async fn a_server_that_is_not_there_has_surely_done_nothing() {
    let (emulator, _) = emulator().await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let settings =
        relay_providers::twilio::Settings { base_url: format!("http://{free}"), ..emulator.settings.clone() };
    let twilio = Twilio::new(settings, HttpClient::new(Limits::default()));
    assert_eq!(kind(&twilio.send(&message()).await.unwrap_err()), "unavailable");
}

#[rstest]
#[case(Fault::Silence)]
#[case(Fault::Break)]
#[case(Fault::Garbage)]
#[tokio::test]
async fn what_was_accepted_without_an_answer_is_found(#[case] fault: Fault) {
    let (emulator, twilio) = failing(fault).await;
    twilio.send(&message()).await.unwrap_err();
    twilio.place(&call()).await.unwrap_err();
    emulator.fail(Fault::None);
    let twilio = Twilio::new(emulator.settings.clone(), HttpClient::new(Limits::default()));
    let found = twilio.find_sent(&message(), EPOCH).await.unwrap().map(|found| found.external_id);
    let sent = emulator.carrier.texts_to(&THEIRS.parse().unwrap());
    assert_eq!(found, Some(sent[0].sid.clone()));
    assert!(twilio.find_placed(&call(), EPOCH).await.unwrap().is_some());
}

#[tokio::test]
async fn what_was_never_accepted_is_not_found() {
    let (emulator, twilio) = emulator().await;
    emulator.fail(Fault::Status(500));
    twilio.send(&message()).await.unwrap_err();
    emulator.fail(Fault::None);
    twilio.send(&OutboundMessage { body: "something else".to_owned(), ..message() }).await.unwrap();
    assert_eq!(twilio.find_sent(&message(), EPOCH).await.unwrap(), None);
}

#[rstest]
#[case("+15005550001", "rejected")]
#[case("+15005550008", "rate limited")]
#[case("+15005550009", "unknown")]
#[tokio::test]
async fn the_magic_numbers_fail_as_they_should(#[case] to: &str, #[case] expected: &str) {
    let (_emulator, twilio) = emulator().await;
    let message = OutboundMessage { to: to.parse().unwrap(), ..message() };
    assert_eq!(kind(&twilio.send(&message).await.unwrap_err()), expected);
}
