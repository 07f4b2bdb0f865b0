//! The carrier's webhooks: genuine ones are stored once and answered, anything else changes nothing.

use anyhow::Result;
use rstest::rstest;
use shared::model::{MessageKind, Standing, Trust};
use shared::protocol::{GetMessages, MessagePage};
use tests::relay::{Answer, OUR_NUMBER, PERSON, TestRelay, text_form};

const SMS: &str = "/webhooks/default/sms";
const EMPTY_TWIML: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response></Response>";

async fn inbox(relay: &TestRelay) -> Result<MessagePage> {
    let everything = GetMessages { mark_read: Some(false), limit: Some(200), ..GetMessages::default() };
    Ok(relay.session().await?.call(everything).await?.reply)
}

fn sid(number: u32) -> String {
    format!("SM{number:032x}")
}

#[tokio::test]
async fn a_text_is_stored_and_handed_over_as_external() -> Result<()> {
    let relay = TestRelay::live().await?;
    let answer = relay.post_signed(SMS, &text_form(&sid(1), PERSON, "Héllo & good day 👍")).await?;
    assert_eq!(answer, Answer { status: 200, body: EMPTY_TWIML.to_owned(), retry_after: None });
    let page = inbox(&relay).await?;
    let [message] = &page.messages[..] else { panic!("{page:?}") };
    assert_eq!(
        (message.kind, message.trust, message.contact.standing, message.from.as_str(), message.to.as_str()),
        (MessageKind::Message, Trust::External, Standing::New, PERSON, OUR_NUMBER)
    );
    assert!(message.text.contains("Héllo & good day 👍"), "{}", message.text);
    relay.stop().await
}

#[tokio::test]
async fn the_same_event_fifty_times_at_once_and_after_a_restart_is_one_message() -> Result<()> {
    let relay = TestRelay::live().await?;
    let sid = sid(1);
    let form = text_form(&sid, PERSON, "once");
    let posts = (0..50).map(|_| relay.post_signed(SMS, &form));
    for answer in futures_util::future::try_join_all(posts).await? {
        assert_eq!((answer.status, answer.body.as_str()), (200, EMPTY_TWIML));
    }
    let relay = relay.restart("").await?;
    assert_eq!(relay.post_signed(SMS, &form).await?.status, 200);
    assert_eq!(inbox(&relay).await?.messages.len(), 1);
    relay.stop().await
}

#[rstest]
#[case::no_signature("")]
#[case::not_base64("???")]
#[case::of_another_key("RSOYDt4T1cUTdK1PDd93/VVr8B8=")]
#[tokio::test]
async fn a_forged_webhook_changes_nothing(#[case] signature: &str) -> Result<()> {
    let relay = TestRelay::live().await?;
    let answer = relay.post(SMS, &text_form(&sid(1), PERSON, "forged"), signature).await?;
    assert_eq!(answer.status, 403);
    assert!(!answer.body.contains("signature"), "the sender learns nothing: {}", answer.body);
    assert_eq!(inbox(&relay).await?.total, 0);
    relay.stop().await
}

#[tokio::test]
async fn a_signature_of_another_path_is_refused() -> Result<()> {
    let relay = TestRelay::live().await?;
    let sid = sid(1);
    let form = text_form(&sid, PERSON, "for somebody else");
    let signature =
        tests::signing::sign_form("token-of-the-emulator", "https://relay.test/webhooks/other/sms", &form);
    assert_eq!(relay.post(SMS, &form, &signature).await?.status, 403);
    relay.stop().await
}

#[rstest]
#[case::unknown("/webhooks/nobody/sms")]
#[case::not_an_id("/webhooks/NOBODY/sms")]
#[tokio::test]
async fn an_unknown_agent_is_told_only_to_who_can_sign(#[case] path: &str) -> Result<()> {
    let relay = TestRelay::live().await?;
    let form = text_form("SM00000000000000000000000000000001", PERSON, "hi");
    assert_eq!(relay.post_signed(path, &form).await?.status, 404);
    assert_eq!(relay.post(path, &form, "x").await?.status, 403);
    relay.stop().await
}

#[rstest]
#[case::too_large(vec![b'a'; 1024 * 1024 + 1], "application/x-www-form-urlencoded", 413)]
#[case::json(b"{}".to_vec(), "application/json", 415)]
#[case::no_type(Vec::new(), "", 415)]
#[case::garbage(vec![0xff, 0, b'%', b'z', b'&', b'='], "application/x-www-form-urlencoded", 403)]
#[tokio::test]
async fn a_body_that_is_no_form_is_refused(
    #[case] body: Vec<u8>,
    #[case] content_type: &str,
    #[case] status: u16,
) -> Result<()> {
    let relay = TestRelay::live().await?;
    assert_eq!(relay.post_raw(SMS, content_type, body, "x").await?.status, status);
    relay.stop().await
}

#[tokio::test]
async fn a_signed_form_that_misses_its_fields_is_refused_and_not_stored() -> Result<()> {
    let relay = TestRelay::live().await?;
    let answer = relay.post_signed(SMS, &[("From", PERSON), ("Body", "no sid")]).await?;
    assert_eq!(answer.status, 422);
    assert_eq!(inbox(&relay).await?.total, 0);
    relay.stop().await
}

#[tokio::test]
async fn invisible_characters_are_removed_and_counted() -> Result<()> {
    let relay = TestRelay::live().await?;
    let body = "pay\u{0} \u{202e}now\u{202c}\u{200b}!";
    assert_eq!(relay.post_signed(SMS, &text_form(&sid(1), PERSON, body)).await?.status, 200);
    let page = inbox(&relay).await?;
    assert!(page.messages[0].text.contains("pay now!"), "{}", page.messages[0].text);
    assert_eq!(page.messages[0].removed_characters, 4);
    relay.stop().await
}

#[tokio::test]
async fn an_address_is_cleaned_too() -> Result<()> {
    let relay = TestRelay::live().await?;
    let sid = sid(1);
    assert_eq!(
        relay.post_signed(SMS, &text_form(&sid, "+12025550147\u{0}\u{202e}", "hi")).await?.status,
        200
    );
    assert_eq!(inbox(&relay).await?.messages[0].from, PERSON);
    relay.stop().await
}

#[tokio::test]
async fn one_client_that_floods_starves_neither_the_carrier_nor_health() -> Result<()> {
    let relay = TestRelay::live().await?;
    let form = text_form("SM00000000000000000000000000000001", PERSON, "flood");
    let mut last = 0;
    for _ in 0..200 {
        last = relay.post(SMS, &form, "x").await?.status;
        if last == 429 {
            break;
        }
    }
    assert_eq!(last, 429);
    let refused = relay.post(SMS, &form, "x").await?;
    assert!(refused.retry_after.is_some(), "{refused:?}");
    assert_eq!(relay.post_signed(SMS, &form).await?.status, 200);
    assert_eq!(relay.get("/health").await?.status, 200);
    relay.stop().await
}

#[tokio::test]
async fn ready_says_what_fails() -> Result<()> {
    let relay = TestRelay::live().await?;
    let ready = relay.get("/health/ready").await?;
    assert_eq!((ready.status, ready.body.as_str()), (200, r#"{"status":"ready"}"#));
    relay.stop().await
}
