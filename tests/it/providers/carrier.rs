//! The simulated carrier's texts and reports, posted to a real listener.

use std::time::Duration;

use relay_providers::simulated::LineError;
use relay_providers::{NumberHooks, NumberOrder, OutboundCall, ProviderError};
use rstest::rstest;
use shared::model::{CallStatus, Micros, PhoneNumber};

use super::peer::{Peer, Post, ours, person};

fn report(post: &Post) -> (&str, &str) {
    (post.field("MessageStatus"), post.field("ErrorCode"))
}

#[tokio::test]
async fn a_text_to_us_carries_every_field_of_the_real_one() {
    let peer = Peer::start().await;
    let (sid, status) = peer.carrier.text(&person(), &ours(), "café & 100% +1").await.unwrap();
    let post = peer.posts("/sms", 1).await.remove(0);
    let names: Vec<&str> = post.form.keys().map(String::as_str).collect();
    let expected = [
        "AccountSid",
        "ApiVersion",
        "Body",
        "From",
        "FromCity",
        "FromCountry",
        "FromState",
        "FromZip",
        "MessageSid",
        "NumMedia",
        "NumSegments",
        "SmsMessageSid",
        "SmsSid",
        "SmsStatus",
        "To",
        "ToCity",
        "ToCountry",
        "ToState",
        "ToZip",
    ];
    assert_eq!(names, expected);
    let values = (status, post.field("MessageSid"), post.field("Body"), post.field("From"));
    assert_eq!(values, (200, sid.as_str(), "café & 100% +1", person().as_str()));
}

#[tokio::test]
async fn a_text_to_a_number_that_is_not_ours_goes_nowhere() {
    let peer = Peer::start().await;
    assert_eq!(peer.carrier.text(&ours(), &person(), "x").await, Err(LineError::NotOurNumber));
}

#[rstest]
#[case("+15558675310", [("sent", ""), ("delivered", "")], 1)]
#[case("+15005550003", [("sent", ""), ("undelivered", "30003")], 0)]
#[tokio::test]
async fn a_text_of_ours_is_reported_on_and_arrives(
    #[case] to: PhoneNumber,
    #[case] reports: [(&str, &str); 2],
    #[case] arrived: usize,
) {
    let peer = Peer::start().await;
    peer.providers.messages.send(&peer.message(&to)).await.unwrap();
    let posts = peer.posts("/status", 2).await;
    assert_eq!(posts.iter().map(report).collect::<Vec<_>>(), reports);
    assert_eq!(peer.carrier.texts_to(&to).len(), arrived);
}

#[tokio::test]
async fn the_price_is_known_after_the_text_has_gone_out() {
    let peer = Peer::start().await;
    let (messages, text) = (&peer.providers.messages, peer.message(&person()));
    let sent = messages.send(&text).await.unwrap();
    peer.posts("/status", 2).await;
    let price = messages.price(&sent.external_id).await.unwrap();
    assert_eq!((sent.cost, price), (None, Some((Micros(7_900), "USD".to_owned()))));
}

#[tokio::test]
async fn a_call_costs_nothing_before_its_end_and_by_the_minute_after_it() {
    let peer = Peer::start().await;
    peer.document(&peer.connect());
    let voice = &peer.providers.voice;
    let placed = voice.place(&peer.outbound()).await.unwrap();
    let before = voice.price(&placed.call_sid).await.unwrap();
    peer.heard_to_the_end(&placed.call_sid).await;
    let after = voice.price(&placed.call_sid).await.unwrap();
    assert_eq!((before, after), (None, Some((Micros(14_000), "USD".to_owned()))));
}

#[tokio::test]
async fn a_text_from_one_of_our_numbers_to_another_arrives_there() {
    let peer = Peer::start().await;
    let other: PhoneNumber = "+14155550100".parse().unwrap();
    let [sms_url, voice_url, status_url] = ["/other", "/voice", "/status"].map(|path| peer.url(path));
    let hooks = NumberHooks { sms_url, voice_url, status_url };
    let order = NumberOrder { number: other.clone(), label: "other".to_owned(), hooks };
    peer.providers.numbers.buy(&order).await.unwrap();
    peer.providers.messages.send(&peer.message(&other)).await.unwrap();
    let post = peer.posts("/other", 1).await.remove(0);
    let told = ["From", "To", "Body", "SmsStatus"].map(|name| post.field(name));
    assert_eq!(told, [ours().as_str(), other.as_str(), "hello", "received"]);
}

#[tokio::test]
async fn a_number_that_was_released_is_not_ours() {
    let peer = Peer::start().await;
    let numbers = &peer.providers.numbers;
    let bought = numbers.find_number(&ours()).await.unwrap().unwrap();
    numbers.release(&bought.external_id).await.unwrap();
    assert_eq!(peer.carrier.text(&person(), &ours(), "x").await, Err(LineError::NotOurNumber));
}

#[tokio::test]
async fn a_number_posts_where_it_is_told_to() {
    let peer = Peer::start().await;
    let numbers = &peer.providers.numbers;
    let ours_at_the_carrier = numbers.find_number(&ours()).await.unwrap().unwrap();
    let [sms_url, voice_url, status_url] = ["/moved", "/voice", "/status"].map(|path| peer.url(path));
    let hooks = NumberHooks { sms_url, voice_url, status_url };
    numbers.configure(&ours_at_the_carrier.external_id, &hooks).await.unwrap();
    peer.carrier.text(&person(), &ours(), "x").await.unwrap();
    assert_eq!(peer.posts("/moved", 1).await.len(), 1);
}

#[tokio::test]
async fn a_call_that_only_speaks_is_heard_and_ends() {
    let peer = Peer::start().await;
    peer.document("<Say>Your order is ready.</Say><Hangup/>");
    let placed = peer.providers.voice.place(&peer.outbound()).await.unwrap();
    let heard = peer.heard_to_the_end(&placed.call_sid).await;
    assert_eq!(heard, (vec!["Your order is ready.".to_owned()], CallStatus::Completed));
}

#[tokio::test]
async fn nobody_who_wrote_stop_is_written_to_until_they_write_start() {
    let peer = Peer::start().await;
    let text = peer.message(&person());
    peer.carrier.text(&person(), &ours(), " Stop ").await.unwrap();
    let refused = peer.providers.messages.send(&text).await.unwrap_err();
    assert!(
        matches!(&refused, ProviderError::Rejected { code: Some(code), .. } if code == "21610"),
        "{refused:?}"
    );
    peer.carrier.text(&person(), &ours(), "START").await.unwrap();
    peer.providers.messages.send(&text).await.unwrap();
}

#[tokio::test]
async fn a_call_of_ours_is_reported_on_in_order() {
    let peer = Peer::start().await;
    peer.carrier.watch(person());
    peer.document("<Say>Hello.</Say>");
    let placed = peer.providers.voice.place(&peer.outbound()).await.unwrap();
    peer.carrier.answer(&person(), Duration::from_secs(10)).await.unwrap();
    let heard = peer.heard_to_the_end(&placed.call_sid).await;
    assert_eq!(heard, (vec!["Hello.".to_owned()], CallStatus::Completed));
    let posts = peer.posts("/status", 4).await;
    let reports: Vec<(&str, &str)> =
        posts.iter().map(|post| (post.field("SequenceNumber"), post.field("CallStatus"))).collect();
    assert_eq!(reports, [("0", "initiated"), ("1", "ringing"), ("2", "in-progress"), ("3", "completed")]);
    let last = (posts[3].field("CallDuration"), posts[3].field("CallbackSource"));
    assert_eq!(last, ("0", "call-progress-events"));
}

#[tokio::test]
async fn voicemail_detection_says_that_a_person_answered() {
    let peer = Peer::start().await;
    let call =
        OutboundCall { detect_voicemail: true, status_callback: peer.url("/detected"), ..peer.outbound() };
    peer.providers.voice.place(&call).await.unwrap();
    let posts = peer.posts("/detected", 5).await;
    let answered: Vec<&str> =
        posts.iter().map(|post| post.field("AnsweredBy")).filter(|by| !by.is_empty()).collect();
    assert_eq!(answered, ["human"]);
}

#[tokio::test]
async fn a_telephone_that_nobody_picks_up_ends_as_no_answer() {
    let peer = Peer::start().await;
    peer.carrier.watch(person());
    let placed =
        peer.providers.voice.place(&OutboundCall { ring_seconds: 0, ..peer.outbound() }).await.unwrap();
    assert_eq!(peer.heard_to_the_end(&placed.call_sid).await, (vec![], CallStatus::NoAnswer));
}

#[tokio::test]
async fn a_person_may_decline_a_call() {
    let peer = Peer::start().await;
    peer.carrier.watch(person());
    let placed = peer.providers.voice.place(&peer.outbound()).await.unwrap();
    peer.carrier.hang_up(&placed.call_sid).unwrap();
    assert_eq!(peer.heard_to_the_end(&placed.call_sid).await, (vec![], CallStatus::Busy));
}

#[tokio::test]
async fn we_may_take_back_a_call_that_rings() {
    let peer = Peer::start().await;
    peer.carrier.watch(person());
    let placed = peer.providers.voice.place(&peer.outbound()).await.unwrap();
    peer.providers.voice.hang_up(&placed.call_sid).await.unwrap();
    assert_eq!(peer.heard_to_the_end(&placed.call_sid).await, (vec![], CallStatus::Canceled));
    peer.providers.voice.hang_up(&placed.call_sid).await.expect("a call that is over counts as ended");
}

#[tokio::test]
async fn a_telephone_that_does_not_ring_cannot_be_picked_up() {
    let peer = Peer::start().await;
    let answered = peer.carrier.answer(&person(), Duration::ZERO).await;
    assert_eq!(answered, Err(LineError::NotRinging));
}

#[rstest]
#[case("<Reject reason=\"busy\"/>", CallStatus::Busy)]
#[case("<Reject/>", CallStatus::NoAnswer)]
#[case("", CallStatus::Completed)]
#[tokio::test]
async fn our_side_may_refuse_a_call(#[case] twiml: &str, #[case] status: CallStatus) {
    let peer = Peer::start().await;
    peer.document(twiml);
    let placed = peer.carrier.call(&person(), &ours()).await.unwrap();
    assert_eq!(peer.heard_to_the_end(&placed.call_sid).await, (vec![], status));
    let reports = peer.posts("/status", 1).await;
    assert_eq!(reports.iter().map(|post| post.field("CallStatus")).collect::<Vec<_>>(), [status.as_str()]);
}

#[tokio::test]
async fn a_call_whose_webhook_gives_no_twiml_fails() {
    let peer = Peer::start().await;
    peer.document("<Say>");
    let placed = peer.carrier.call(&person(), &ours()).await.unwrap();
    assert_eq!(placed.status, CallStatus::Failed);
}

#[tokio::test]
async fn a_recording_is_told_to_its_action() {
    let peer = Peer::start().await;
    peer.document(&format!("<Record action=\"{}\"/>", peer.url("/action")));
    let placed = peer.carrier.call(&person(), &ours()).await.unwrap();
    peer.heard(&placed.call_sid, 1).await;
    peer.carrier.say(&placed.call_sid, "Please call me back.").unwrap();
    let post = peer.posts("/action", 1).await.remove(0);
    assert!(post.field("RecordingSid").starts_with("RE"), "{post:?}");
}
