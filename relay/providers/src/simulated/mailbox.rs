//! The simulated e-mail provider: keeps what is sent in this process's memory, and refuses what Resend refuses.
//!
//! <https://resend.com/docs/api-reference/emails/send-email>

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use data_encoding::BASE64;
use shared::ids::ExternalId;
use shared::model::{EmailAddress, MessageStatus};
use shared::protocol::DnsRecord;

use super::webhook::random_hex;
use crate::{Accepted, EmailSender, OutboundEmail, ProviderError, nameless};

/// Older e-mails are forgotten, and so are their keys.
const KEPT: usize = 1000;
const KEPT_BYTES: usize = 64 * 1024 * 1024;
/// Of one e-mail, its files in base64.
const LARGEST: usize = 40 * 1024 * 1024;
const LONGEST_KEY: usize = 256;

/// An e-mail that was sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Mail {
    pub id: ExternalId,
    pub email: OutboundEmail,
}

/// Everybody's letter box.
#[derive(Default)]
pub struct Mailbox {
    mails: Mutex<VecDeque<Mail>>,
}

nameless!(Mail, Mailbox);

impl Mailbox {
    /// The e-mails that reached `address`, oldest first.
    #[must_use]
    pub fn mails_to(&self, address: &EmailAddress) -> Vec<Mail> {
        self.mails().iter().filter(|mail| mail.email.to == *address).cloned().collect()
    }

    fn mails(&self) -> MutexGuard<'_, VecDeque<Mail>> {
        // Every change leaves a whole list, so a panic elsewhere leaves nothing half done.
        self.mails.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, email: &OutboundEmail) -> Result<Accepted, ProviderError> {
        check(email)?;
        let mut mails = self.mails();
        if let Some(sent) = mails.iter().find(|mail| mail.email.idempotency_key == email.idempotency_key) {
            let same = sent.email == *email;
            let refusal = refused(
                "invalid_idempotent_request",
                "this idempotency key was used for another e-mail; use a new one",
            );
            return if same { Ok(sent.accepted()) } else { Err(refusal) };
        }
        let id = random_hex().parse().expect("hexadecimal digits are an external id");
        let mail = Mail { id, email: email.clone() };
        let accepted = mail.accepted();
        mails.push_back(mail);
        while mails.len() > KEPT || mails.iter().map(|mail| size(&mail.email)).sum::<usize>() > KEPT_BYTES {
            mails.pop_front();
        }
        Ok(accepted)
    }
}

#[async_trait]
impl EmailSender for Mailbox {
    async fn send(&self, email: &OutboundEmail) -> Result<Accepted, ProviderError> {
        self.take(email)
    }

    async fn find_sent(&self, idempotency_key: &str) -> Result<Option<Accepted>, ProviderError> {
        let mails = self.mails();
        Ok(mails.iter().find(|mail| mail.email.idempotency_key == idempotency_key).map(Mail::accepted))
    }

    /// The kinds of record that Resend asks for. Their values name hosts that cannot exist (RFC 2606): entered by
    /// mistake, they do nothing.
    async fn domain_records(&self, domain: &str) -> Result<Vec<DnsRecord>, ProviderError> {
        let record = |kind: &str, name: String, value: &str, priority: Option<i64>| DnsRecord {
            kind: kind.to_owned(),
            name,
            value: value.to_owned(),
            priority,
        };
        Ok(vec![
            record("MX", format!("send.{domain}"), "feedback.simulated.invalid", Some(10)),
            record("TXT", format!("send.{domain}"), "v=spf1 include:simulated.invalid ~all", None),
            record("TXT", format!("simulated._domainkey.{domain}"), "v=DKIM1; p=", None),
            record("MX", domain.to_owned(), "inbound.simulated.invalid", Some(10)),
        ])
    }
}

impl Mail {
    fn accepted(&self) -> Accepted {
        Accepted { external_id: self.id.clone(), status: MessageStatus::Accepted, segments: None, cost: None }
    }
}

fn check(email: &OutboundEmail) -> Result<(), ProviderError> {
    if email.subject.is_empty() {
        return Err(refused("missing_required_field", "the e-mail has no subject; give one"));
    }
    if email.text.is_empty() && email.html.is_none() {
        return Err(refused("missing_required_field", "the e-mail has neither text nor HTML; give one"));
    }
    if !(1..=LONGEST_KEY).contains(&email.idempotency_key.len()) {
        return Err(refused("invalid_idempotency_key", "the idempotency key must have 1 to 256 characters"));
    }
    let is_whole =
        |content: &str| BASE64.decode_len(content.len()).is_ok() && BASE64.decode(content.as_bytes()).is_ok();
    if !email.attachments.iter().all(|file| !file.filename.is_empty() && is_whole(&file.content_base64)) {
        return Err(refused("invalid_attachment", "a file has no name or its content is not base64"));
    }
    if size(email) > LARGEST {
        return Err(refused("validation_error", "the e-mail is larger than 40 MB; send less or a link"));
    }
    Ok(())
}

fn size(email: &OutboundEmail) -> usize {
    let files: usize = email.attachments.iter().map(|file| file.content_base64.len()).sum();
    email.text.len() + email.html.as_ref().map_or(0, String::len) + files
}

fn refused(code: &str, problem: &'static str) -> ProviderError {
    ProviderError::Rejected { code: Some(code.to_owned()), problem, retryable: false }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use shared::model::Attachment;

    use super::*;

    fn email(key: &str) -> OutboundEmail {
        OutboundEmail {
            from: "agent@example.org".parse().unwrap(),
            from_name: None,
            to: "ann@example.org".parse().unwrap(),
            reply_to: None,
            subject: "Hello".to_owned(),
            text: "Good day.".to_owned(),
            html: None,
            attachments: Vec::new(),
            idempotency_key: key.to_owned(),
        }
    }

    fn file(content_base64: String) -> Attachment {
        let (filename, content_type) = ("a.txt".to_owned(), "text/plain".to_owned());
        Attachment { filename, content_type, content_base64 }
    }

    fn code(refused: Result<Accepted, ProviderError>) -> Option<String> {
        match refused {
            Err(ProviderError::Rejected { code, .. }) => code,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn what_is_sent_arrives_and_is_found_by_its_key() {
        let mailbox = Mailbox::default();
        let sent = mailbox.send(&email("k1")).await.unwrap();
        assert_eq!(mailbox.find_sent("k1").await.unwrap(), Some(sent.clone()));
        let arrived = Mail { id: sent.external_id, email: email("k1") };
        assert_eq!(mailbox.mails_to(&"ann@example.org".parse().unwrap()), [arrived]);
    }

    #[tokio::test]
    async fn the_same_key_is_the_same_mail() {
        let mailbox = Mailbox::default();
        let first = mailbox.send(&email("k1")).await.unwrap();
        assert_eq!(mailbox.send(&email("k1")).await.unwrap(), first);
        let other = OutboundEmail { text: "Good night.".to_owned(), ..email("k1") };
        assert_eq!(code(mailbox.send(&other).await).as_deref(), Some("invalid_idempotent_request"));
        assert_eq!(mailbox.mails_to(&"ann@example.org".parse().unwrap()).len(), 1);
    }

    #[rstest]
    #[case(OutboundEmail { subject: String::new(), ..email("k") }, "missing_required_field")]
    #[case(OutboundEmail { text: String::new(), ..email("k") }, "missing_required_field")]
    #[case(email(""), "invalid_idempotency_key")]
    #[case(OutboundEmail { attachments: vec![file("no base64".to_owned())], ..email("k") }, "invalid_attachment")]
    #[case(OutboundEmail { text: "x".repeat(LARGEST + 1), ..email("k") }, "validation_error")]
    fn what_resend_refuses_is_refused(#[case] email: OutboundEmail, #[case] expected: &str) {
        assert_eq!(code(Mailbox::default().take(&email)).as_deref(), Some(expected));
    }

    #[test]
    fn old_mails_are_forgotten() {
        let mailbox = Mailbox::default();
        for number in 0..=KEPT {
            mailbox.take(&email(&number.to_string())).unwrap();
        }
        let kept = mailbox.mails_to(&"ann@example.org".parse().unwrap());
        assert_eq!((kept.len(), kept[0].email.idempotency_key.as_str()), (KEPT, "1"));
    }

    #[test]
    fn large_mails_make_room_for_each_other() {
        let mailbox = Mailbox::default();
        for key in ["a", "b"] {
            mailbox.take(&OutboundEmail { text: "x".repeat(LARGEST), ..email(key) }).unwrap();
        }
        let kept = mailbox.mails_to(&"ann@example.org".parse().unwrap());
        assert_eq!(kept.iter().map(|mail| mail.email.idempotency_key.as_str()).collect::<Vec<_>>(), ["b"]);
    }

    #[tokio::test]
    async fn a_domain_is_asked_for_records_that_do_nothing() {
        let records = Mailbox::default().domain_records("example.org").await.unwrap();
        let inbound = DnsRecord {
            kind: "MX".to_owned(),
            name: "example.org".to_owned(),
            value: "inbound.simulated.invalid".to_owned(),
            priority: Some(10),
        };
        assert_eq!(records.last(), Some(&inbound));
    }
}
