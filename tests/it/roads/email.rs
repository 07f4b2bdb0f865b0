//! E-mail, which the mailbox of demo mode takes.

use anyhow::Result;
use rstest::rstest;
use shared::model::{Attachment, Channel};
use shared::protocol::{ErrorCode, SendMessage};
use tests::refusal::refusal;
use tests::relay::TestRelay;

const ADDRESS: &str = "ann@example.org";

fn mail(subject: &str) -> SendMessage {
    let subject = Some(subject.to_owned());
    SendMessage { channel: Channel::Email, subject, ..SendMessage::sms(ADDRESS, "the text") }
}

fn file(filename: &str, content_base64: &str) -> Attachment {
    Attachment {
        filename: filename.to_owned(),
        content_type: "text/plain".to_owned(),
        content_base64: content_base64.to_owned(),
    }
}

fn with_file(filename: &str, content: &str) -> SendMessage {
    SendMessage { attachments: vec![file(filename, content)], ..mail("s") }
}

#[tokio::test]
async fn a_mail_arrives_whole_and_once() -> Result<()> {
    let relay = TestRelay::demo().await?;
    let session = relay.session().await?;
    let wanted = SendMessage {
        html: Some("<p>the text</p>".to_owned()),
        attachments: vec![file("a.txt", "aGVsbG8=")],
        reply_to: Some("desk@example.org".to_owned()),
        idempotency_key: Some("k".to_owned()),
        ..mail("Your table")
    };
    let first = session.call(wanted.clone()).await?.reply;
    let again = session.call(wanted).await?.reply;
    assert_eq!(first.message_id, again.message_id);
    let mailbox = relay.app().providers().mailbox.clone().expect("demo mode has one");
    let mails = mailbox.mails_to(&ADDRESS.parse()?);
    let [arrived] = mails.as_slice() else { panic!("not once: {}", mails.len()) };
    let email = &arrived.email;
    let words = (email.subject.as_str(), email.text.as_str(), email.html.as_deref());
    assert_eq!(words, ("Your table", "the text", Some("<p>the text</p>")));
    let roads = (email.from.as_str(), email.reply_to.as_ref().map(|address| address.as_str()));
    assert_eq!(roads, ("default@agents.example", Some("desk@example.org")));
    assert_eq!(email.attachments, [file("a.txt", "aGVsbG8=")]);
    relay.stop().await
}

#[rstest]
#[case::no_subject(SendMessage { subject: None, ..mail("") })]
#[case::an_empty_subject(mail(" "))]
#[case::a_second_header(mail("Hello\r\nBcc: everybody@example.org"))]
#[case::no_words(SendMessage { body: String::new(), ..mail("s") })]
#[case::a_number(SendMessage { to: "+12025550147".to_owned(), ..mail("s") })]
#[case::two_addresses(SendMessage { to: "a@example.org, b@example.org".to_owned(), ..mail("s") })]
#[case::a_name_beside_it(SendMessage { to: "Ann <ann@example.org>".to_owned(), ..mail("s") })]
#[case::a_reply_to_nowhere(SendMessage { reply_to: Some("desk".to_owned()), ..mail("s") })]
#[case::links_to_media(SendMessage { media_urls: vec!["https://example.org/a".to_owned()], ..mail("s") })]
#[case::a_template(SendMessage { template_id: Some("HX1".to_owned()), ..mail("s") })]
#[case::a_path(with_file("../../etc/passwd", "aGVsbG8="))]
#[case::no_file_name(with_file("", "aGVsbG8="))]
#[case::no_base64(with_file("a.txt", "hello there"))]
#[case::too_many_files(SendMessage { attachments: vec![file("a.txt", "aGVsbG8="); 11], ..mail("s") })]
#[case::too_large_files(with_file("a.txt", &"AAAA".repeat(1_400_000)))]
#[case::itself(SendMessage { to: "default@agents.example".to_owned(), ..mail("s") })]
#[tokio::test]
async fn a_mail_that_makes_no_sense_is_refused_and_nothing_leaves(
    #[case] message: SendMessage,
) -> Result<()> {
    let relay = TestRelay::demo().await?;
    let problem = refusal(relay.session().await?.call(message).await)?;
    assert_eq!(problem.code, ErrorCode::InvalidInput, "{problem:?}");
    let mailbox = relay.app().providers().mailbox.clone().expect("demo mode has one");
    assert_eq!(mailbox.mails_to(&ADDRESS.parse()?).len(), 0);
    relay.stop().await
}
