//! WhatsApp over the simulated carrier, in both directions.

use std::collections::BTreeMap;

use relay_providers::simulated::LineError;
use relay_providers::{OutboundMessage, ProviderError, Template};
use rstest::rstest;
use shared::model::{Channel, Timestamp};

use super::peer::{Peer, ours, person};

async fn peer() -> Peer {
    let peer = Peer::start().await;
    peer.carrier.attach_whatsapp(ours(), peer.url("/whatsapp"));
    peer
}

fn message(peer: &Peer) -> OutboundMessage {
    OutboundMessage { channel: Channel::Whatsapp, ..peer.message(&person()) }
}

fn template() -> Option<Template> {
    let vars = BTreeMap::from([("1".to_owned(), "Zoë".to_owned())]);
    Some(Template { id: format!("HX{}", "d".repeat(32)), vars })
}

#[tokio::test]
async fn a_text_to_us_says_that_it_came_over_whatsapp() {
    let peer = peer().await;
    let (sid, status) = peer.carrier.text_whatsapp(&person(), &ours(), "STOP").await.unwrap();
    let post = peer.posts("/whatsapp", 1).await.remove(0);
    let told = ["From", "To", "Body", "WaId", "MessageSid"].map(|name| post.field(name));
    let expected = ["whatsapp:+15558675310", "whatsapp:+15017122661", "STOP", "15558675310", sid.as_str()];
    assert_eq!((status, told), (200, expected));
    peer.providers.messages.send(&message(&peer)).await.expect("stop is a word of SMS only");
}

#[tokio::test]
async fn a_text_over_whatsapp_needs_a_sender_of_ours() {
    let peer = Peer::start().await;
    let sent = peer.carrier.text_whatsapp(&person(), &ours(), "x").await;
    assert_eq!(sent, Err(LineError::NotOurNumber));
    let refused = peer.providers.messages.send(&message(&peer)).await.unwrap_err();
    assert!(
        matches!(&refused, ProviderError::Rejected { code: Some(code), .. } if code == "63007"),
        "{refused:?}"
    );
}

#[rstest]
#[case(None, "hello")]
#[case(template(), "[HXdddddddddddddddddddddddddddddddd 1=Zoë]")]
#[tokio::test]
async fn a_text_of_ours_arrives_on_its_channel(#[case] template: Option<Template>, #[case] body: &str) {
    let peer = peer().await;
    let message = OutboundMessage { template, ..message(&peer) };
    let sent = peer.providers.messages.send(&message).await.unwrap();
    peer.posts("/status", 2).await;
    let arrived: Vec<(Channel, String)> =
        peer.carrier.texts_to(&person()).into_iter().map(|text| (text.channel, text.body)).collect();
    assert_eq!(arrived, [(Channel::Whatsapp, body.to_owned())]);
    let found = peer.providers.messages.find_sent(&message, Timestamp::from_millis(0)).await.unwrap();
    assert_eq!(found.map(|found| found.external_id), Some(sent.external_id));
}

#[tokio::test]
async fn the_same_words_by_sms_are_not_taken_for_it() {
    let peer = peer().await;
    peer.providers.messages.send(&peer.message(&person())).await.unwrap();
    let found = peer.providers.messages.find_sent(&message(&peer), Timestamp::from_millis(0)).await.unwrap();
    assert_eq!(found, None);
}

#[tokio::test]
async fn a_template_with_a_wrong_name_is_refused() {
    let peer = peer().await;
    let template = template().map(|template| Template { id: "order_ready".to_owned(), ..template });
    let refused =
        peer.providers.messages.send(&OutboundMessage { template, ..message(&peer) }).await.unwrap_err();
    assert!(
        matches!(&refused, ProviderError::Rejected { code: Some(code), .. } if code == "21655"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn one_of_our_senders_may_write_to_another() {
    let peer = peer().await;
    let other = "+15017122662".parse().unwrap();
    peer.carrier.attach_whatsapp(other, peer.url("/other"));
    let message = OutboundMessage { to: "+15017122662".parse().unwrap(), ..message(&peer) };
    peer.providers.messages.send(&message).await.unwrap();
    let post = peer.posts("/other", 1).await.remove(0);
    assert_eq!((post.field("From"), post.field("Body")), ("whatsapp:+15017122661", "hello"));
}
