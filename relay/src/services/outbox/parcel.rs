//! What is handed to a provider, made from what was recorded.

use futures_util::FutureExt;
use relay_providers::{Accepted, OutboundEmail, OutboundMessage, ProviderError, Providers, Template};
use relay_store::message_extras::{self, MessageExtras};
use relay_store::messages::Message;
use shared::ids::MessageId;
use shared::model::{Channel, Timestamp};

use super::CALLBACK_OVERRIDES;
use crate::app::App;
use crate::services::ServiceError;

/// A message as its provider takes it.
pub(super) enum Parcel {
    Text(OutboundMessage),
    Email(OutboundEmail),
}

/// A scheduled e-mail may outlive the provider that it was written for.
const NO_EMAIL_PROVIDER: ProviderError = ProviderError::Rejected {
    code: None,
    problem: "no e-mail provider is set up any more",
    retryable: false,
};

impl Parcel {
    /// Hands it to its provider, once.
    pub(super) async fn send(&self, providers: &Providers) -> Result<Accepted, ProviderError> {
        match (self, &providers.email) {
            (Self::Text(message), _) => providers.messages.send(message).await,
            (Self::Email(email), Some(sender)) => sender.send(email).await,
            (Self::Email(_), None) => Err(NO_EMAIL_PROVIDER),
        }
    }

    /// Asks its provider whether it has got it.
    pub(super) async fn find_sent(
        &self,
        providers: &Providers,
        not_before: Timestamp,
    ) -> Result<Option<Accepted>, ProviderError> {
        match (self, &providers.email) {
            (Self::Text(message), _) => providers.messages.find_sent(message, not_before).await,
            (Self::Email(email), Some(sender)) => sender.find_sent(&email.idempotency_key).await,
            (Self::Email(_), None) => Ok(None),
        }
    }
}

/// `None` if the row holds no addresses of its channel, which only a fault can bring about.
pub(super) fn pack(app: &App, row: &Message, extras: Option<MessageExtras>) -> Option<Parcel> {
    match row.channel {
        Channel::Sms | Channel::Whatsapp => text(app, row, extras).map(Parcel::Text),
        Channel::Email => email(app, row, extras).map(Parcel::Email),
        Channel::Voice => None,
    }
}

/// The same from the database alone.
pub(super) async fn pack_again(app: &App, row: &Message) -> Result<Option<Parcel>, ServiceError> {
    let extras = extras_of(app, &row.id).await?;
    Ok(pack(app, row, extras))
}

/// What only some messages have.
pub(super) async fn extras_of(app: &App, id: &MessageId) -> Result<Option<MessageExtras>, ServiceError> {
    let id = id.clone();
    app.db
        .read::<_, ServiceError, _>(move |conn| {
            async move { Ok(message_extras::find(conn, &id).await?) }.boxed()
        })
        .await
}

fn text(app: &App, row: &Message, extras: Option<MessageExtras>) -> Option<OutboundMessage> {
    let callback = app.webhook_url(&row.agent_id, &format!("call-status?message={}", row.id));
    let template =
        extras.and_then(|extras| Some(Template { id: extras.template_id?, vars: extras.template_vars }));
    Some(OutboundMessage {
        channel: row.channel,
        from: row.from_address.parse().ok()?,
        to: row.to_address.parse().ok()?,
        body: row.body.clone(),
        media_urls: row.media.iter().map(|media| media.url.clone()).collect(),
        template,
        status_callback: app.can_be_called().then(|| format!("{callback}{CALLBACK_OVERRIDES}")),
    })
}

fn email(app: &App, row: &Message, extras: Option<MessageExtras>) -> Option<OutboundEmail> {
    let (html, reply_to, attachments) = match extras {
        Some(extras) => (extras.html, extras.reply_to, extras.attachments),
        None => (None, None, Vec::new()),
    };
    Some(OutboundEmail {
        from: row.from_address.parse().ok()?,
        from_name: app.agents.find(&row.agent_id).map(|profile| profile.agent.name.clone()),
        to: row.to_address.parse().ok()?,
        reply_to: reply_to.and_then(|address| address.parse().ok()),
        subject: row.subject.clone().unwrap_or_default(),
        text: row.body.clone(),
        html,
        attachments,
        idempotency_key: row.id.to_string(),
    })
}
