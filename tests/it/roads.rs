//! The channels beside SMS: WhatsApp in both directions, e-mail, and messages that wait for their time.

mod email;
mod later;

use std::collections::BTreeMap;

use anyhow::Result;
use rstest::rstest;
use shared::model::{Channel, Direction};
use shared::protocol::{ErrorCode, GetMessages, SendMessage};
use tests::refusal::refusal;
use tests::relay::{Answer, PERSON, TestRelay};
use tests::signing;

const ROUTE: &str = "/webhooks/default/whatsapp";
/// The default agent's sender.
const SENDER: &str = "+12025550111";
const SETTINGS: &str = "[twilio]\nwhatsapp_number = '+12025550111'";

fn whatsapp(body: &str) -> SendMessage {
    SendMessage { channel: Channel::Whatsapp, ..SendMessage::sms(PERSON, body) }
}

fn form<'a>(sid: &'a str, body: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("MessageSid", sid),
        ("AccountSid", "AC00000000000000000000000000000001"),
        ("From", "whatsapp:+12025550147"),
        ("To", "whatsapp:+12025550111"),
        ("WaId", "12025550147"),
        ("ProfileName", "Ann"),
        ("Body", body),
        ("NumMedia", "0"),
        ("ApiVersion", "2010-04-01"),
    ]
}

async fn receive(relay: &TestRelay, sid: &str, body: &str) -> Result<Answer> {
    relay.post_signed(ROUTE, &form(sid, body)).await
}

/// The fields of the last request that asked to send something.
fn sent_fields(relay: &TestRelay) -> BTreeMap<String, String> {
    let received = relay.twilio.as_ref().expect("in live mode there is one").received();
    let post = received.into_iter().rfind(|request| request.method == "POST").expect("something was sent");
    signing::decode_form(&post.body).into_iter().collect()
}

#[tokio::test]
async fn a_whatsapp_message_is_handed_over_with_the_number_and_the_name_of_its_sender() -> Result<()> {
    let relay = TestRelay::live_with(SETTINGS).await?;
    assert_eq!(receive(&relay, "SM1", "hello").await?.status, 200);
    assert_eq!(receive(&relay, "SM1", "hello").await?.status, 200, "the same event again");
    let page = relay.session().await?.call(GetMessages::default()).await?.reply;
    let [message] = page.messages.as_slice() else { panic!("not once: {:?}", page.messages) };
    let told = (message.channel, message.from.as_str(), message.to.as_str(), message.contact.name.as_deref());
    assert_eq!(told, (Channel::Whatsapp, PERSON, SENDER, Some("Ann")));
    relay.stop().await
}

#[tokio::test]
async fn a_forged_whatsapp_message_changes_nothing() -> Result<()> {
    let relay = TestRelay::live_with(SETTINGS).await?;
    assert_eq!(relay.post(ROUTE, &form("SM1", "hello"), "forged").await?.status, 403);
    assert_eq!(relay.session().await?.call(GetMessages::default()).await?.reply.messages, []);
    relay.stop().await
}

#[tokio::test]
async fn a_whatsapp_message_goes_out_by_the_agents_own_sender() -> Result<()> {
    let relay = TestRelay::live_with(SETTINGS).await?;
    let sender = SENDER.parse()?;
    relay
        .twilio
        .as_ref()
        .expect("it is live")
        .carrier
        .attach_whatsapp(sender, "http://127.0.0.1:9/".to_owned());
    let sent = relay.session().await?.call(whatsapp("hello")).await?.reply;
    let fields = sent_fields(&relay);
    let roads = ["From", "To", "Body"].map(|name| fields[name].as_str());
    assert_eq!(roads, ["whatsapp:+12025550111", "whatsapp:+12025550147", "hello"]);
    assert_eq!((sent.channel, sent.from.as_str(), sent.segments), (Channel::Whatsapp, SENDER, Some(1)));
    relay.stop().await
}

#[tokio::test]
async fn a_template_takes_the_place_of_the_words() -> Result<()> {
    let relay = TestRelay::live_with(SETTINGS).await?;
    let sender = SENDER.parse()?;
    relay
        .twilio
        .as_ref()
        .expect("it is live")
        .carrier
        .attach_whatsapp(sender, "http://127.0.0.1:9/".to_owned());
    let template = SendMessage {
        template_id: Some("HX00000000000000000000000000000001".to_owned()),
        template_vars: BTreeMap::from([("1".to_owned(), "Zoë".to_owned())]),
        ..whatsapp("")
    };
    relay.session().await?.call(template).await?;
    let fields = sent_fields(&relay);
    assert_eq!((fields["ContentVariables"].as_str(), fields.get("Body")), (r#"{"1":"Zoë"}"#, None));
    relay.stop().await
}

#[rstest]
#[case::a_subject(SendMessage { subject: Some("s".to_owned()), ..whatsapp("w") })]
#[case::html(SendMessage { html: Some("<p>".to_owned()), ..whatsapp("w") })]
#[case::a_reply_address(SendMessage { reply_to: Some("a@example.org".to_owned()), ..whatsapp("w") })]
#[case::variables_of_nothing(SendMessage { template_vars: BTreeMap::from([("1".to_owned(), "x".to_owned())]), ..whatsapp("w") })]
#[case::a_template_of_another_form(SendMessage { template_id: Some("HX1/../x".to_owned()), ..whatsapp("") })]
#[case::two_media(SendMessage { media_urls: vec!["https://example.org/a".to_owned(); 2], ..whatsapp("w") })]
#[tokio::test]
async fn what_whatsapp_cannot_carry_is_refused(#[case] message: SendMessage) -> Result<()> {
    let relay = TestRelay::live_with(SETTINGS).await?;
    let session = relay.session().await?;
    assert_eq!(refusal(session.call(message).await)?.code, ErrorCode::InvalidInput);
    let sent = GetMessages { direction: Some(Direction::Outbound), ..GetMessages::default() };
    assert_eq!(session.call(sent).await?.reply.messages, []);
    relay.stop().await
}
