//! Twilio's REST API: text messages and calls. Built by [`crate::registry`], used through the capability traits.
//!
//! Requests and answers are pure functions in `messages` and `calls`; this file joins them with the HTTP
//! client. There is no idempotency key for creating messages and calls, so nothing here repeats a request.

pub mod calls;
mod errors;
#[cfg(test)]
mod fixture;
pub mod messages;
mod rest;

use async_trait::async_trait;
use shared::ids::CallSid;
use shared::model::Timestamp;

use crate::http::{HttpClient, HttpRequest};
use crate::{
    Accepted, MessageSender, OutboundCall, OutboundMessage, PlacedCall, ProviderError, Secret, VoiceCaller,
};

/// Twilio's own address.
pub const BASE_URL: &str = "https://api.twilio.com";

/// An account and how to reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Without a slash at its end.
    pub base_url: String,
    /// `AC` and 32 hexadecimal digits.
    pub account_sid: String,
    pub auth: Auth,
}

/// What proves that the account is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// The account's own token, with which Twilio also signs its webhooks.
    Token(Secret),
    /// An API key, `SK` and 32 hexadecimal digits. Webhooks are still signed with the account's token.
    ApiKey { sid: String, secret: Secret },
}

/// The adapter.
#[derive(Debug)]
pub struct Twilio {
    settings: Settings,
    http: HttpClient,
}

impl Twilio {
    /// Connects to nothing yet.
    #[must_use]
    pub fn new(settings: Settings, http: HttpClient) -> Self {
        Self { settings, http }
    }

    async fn exchange<T>(
        &self,
        request: HttpRequest,
        parse: impl FnOnce(&crate::http::HttpResponse) -> Result<T, ProviderError>,
    ) -> Result<T, ProviderError> {
        parse(&self.http.send(request).await?)
    }
}

#[async_trait]
impl MessageSender for Twilio {
    async fn send(&self, message: &OutboundMessage) -> Result<Accepted, ProviderError> {
        self.exchange(messages::send_request(&self.settings, message), messages::parse_sent).await
    }

    async fn find_sent(
        &self,
        message: &OutboundMessage,
        not_before: Timestamp,
    ) -> Result<Option<Accepted>, ProviderError> {
        let request = messages::find_request(&self.settings, message);
        let found = self.exchange(request, |answer| messages::parse_found(answer, message, not_before)).await;
        found.map_err(ProviderError::of_question)
    }
}

#[async_trait]
impl VoiceCaller for Twilio {
    async fn place(&self, call: &OutboundCall) -> Result<PlacedCall, ProviderError> {
        self.exchange(calls::place_request(&self.settings, call), calls::parse_placed).await
    }

    async fn find_placed(
        &self,
        call: &OutboundCall,
        not_before: Timestamp,
    ) -> Result<Option<PlacedCall>, ProviderError> {
        let request = calls::find_request(&self.settings, call);
        let found = self.exchange(request, |answer| calls::parse_found(answer, not_before)).await;
        found.map_err(ProviderError::of_question)
    }

    async fn redirect(&self, call: &CallSid, twiml: &str) -> Result<(), ProviderError> {
        self.exchange(calls::redirect_request(&self.settings, call, twiml), calls::parse_updated).await
    }

    async fn hang_up(&self, call: &CallSid) -> Result<(), ProviderError> {
        self.exchange(calls::hang_up_request(&self.settings, call), calls::parse_hung_up).await
    }
}
