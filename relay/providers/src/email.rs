//! E-mail.

use async_trait::async_trait;
use shared::model::{Attachment, EmailAddress};
use shared::protocol::DnsRecord;

use crate::{Accepted, ProviderError, nameless};

/// Sends e-mail.
#[async_trait]
pub trait EmailSender: Send + Sync {
    /// Hands one e-mail to the provider. The same key never sends a second one.
    async fn send(&self, email: &OutboundEmail) -> Result<Accepted, ProviderError>;

    /// After an unknown outcome: has the provider got the e-mail with this key?
    async fn find_sent(&self, idempotency_key: &str) -> Result<Option<Accepted>, ProviderError>;

    /// What a domain's DNS must say before the provider sends and receives for it.
    async fn domain_records(&self, domain: &str) -> Result<Vec<DnsRecord>, ProviderError>;
}

/// An e-mail on its way out.
#[derive(Clone, PartialEq, Eq)]
pub struct OutboundEmail {
    pub from: EmailAddress,
    pub from_name: Option<String>,
    pub to: EmailAddress,
    pub reply_to: Option<EmailAddress>,
    pub subject: String,
    pub text: String,
    pub html: Option<String>,
    pub attachments: Vec<Attachment>,
    pub idempotency_key: String,
}

nameless!(OutboundEmail);
