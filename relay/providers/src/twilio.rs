//! Twilio's REST API: text messages, calls, numbers and the account. Built by [`crate::registry`], used through the capability traits.
//!
//! Requests and answers are pure functions, one file per resource; this file joins them with the HTTP client. There
//! is no idempotency key for creating anything, so nothing here repeats a request.

pub mod account;
pub mod calls;
mod errors;
#[cfg(test)]
mod fixture;
pub mod messages;
pub mod numbers;
mod rest;

use async_trait::async_trait;
use shared::ids::{CallSid, ExternalId};
use shared::model::{Micros, PhoneNumber, Timestamp};

use crate::http::{HttpClient, HttpRequest, HttpResponse};
use crate::{
    Accepted, AccountChecker, AccountInfo, BoughtNumber, MessageSender, NumberHooks, NumberOrder,
    NumberProvisioner, NumberWanted, OutboundCall, OutboundMessage, PlacedCall, ProviderError, Secret,
    VoiceCaller,
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
        parse: impl FnOnce(&HttpResponse) -> Result<T, ProviderError>,
    ) -> Result<T, ProviderError> {
        parse(&self.http.send(request).await?)
    }

    /// The same for a request that changes nothing.
    async fn ask<T>(
        &self,
        request: HttpRequest,
        parse: impl FnOnce(&HttpResponse) -> Result<T, ProviderError>,
    ) -> Result<T, ProviderError> {
        self.exchange(request, parse).await.map_err(ProviderError::of_question)
    }
}

#[async_trait]
impl MessageSender for Twilio {
    async fn send(&self, message: &OutboundMessage) -> Result<Accepted, ProviderError> {
        messages::check(message)?;
        self.exchange(messages::send_request(&self.settings, message), messages::parse_sent).await
    }

    async fn find_sent(
        &self,
        message: &OutboundMessage,
        not_before: Timestamp,
    ) -> Result<Option<Accepted>, ProviderError> {
        let request = messages::find_request(&self.settings, message);
        self.ask(request, |answer| messages::parse_found(answer, message, not_before)).await
    }

    async fn price(&self, message: &ExternalId) -> Result<Option<(Micros, String)>, ProviderError> {
        self.ask(messages::price_request(&self.settings, message), rest::parse_price).await
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
        self.ask(request, |answer| calls::parse_found(answer, not_before)).await
    }

    async fn redirect(&self, call: &CallSid, twiml: &str) -> Result<(), ProviderError> {
        self.exchange(calls::redirect_request(&self.settings, call, twiml), calls::parse_updated).await
    }

    async fn hang_up(&self, call: &CallSid) -> Result<(), ProviderError> {
        self.exchange(calls::hang_up_request(&self.settings, call), calls::parse_hung_up).await
    }

    async fn price(&self, call: &CallSid) -> Result<Option<(Micros, String)>, ProviderError> {
        self.ask(calls::price_request(&self.settings, call), rest::parse_price).await
    }
}

#[async_trait]
impl NumberProvisioner for Twilio {
    async fn search(&self, wanted: &NumberWanted) -> Result<Vec<PhoneNumber>, ProviderError> {
        match numbers::search_request(&self.settings, wanted) {
            Some(request) => self.ask(request, numbers::parse_found).await,
            None => Ok(Vec::new()),
        }
    }

    async fn buy(&self, order: &NumberOrder) -> Result<BoughtNumber, ProviderError> {
        self.exchange(numbers::buy_request(&self.settings, order), numbers::parse_bought).await
    }

    async fn find_by_label(&self, label: &str) -> Result<Option<BoughtNumber>, ProviderError> {
        let request = numbers::labelled_request(&self.settings, label);
        self.ask(request, |answer| numbers::parse_labelled(answer, label)).await
    }

    async fn find_number(&self, number: &PhoneNumber) -> Result<Option<BoughtNumber>, ProviderError> {
        let request = numbers::number_request(&self.settings, number);
        self.ask(request, |answer| numbers::parse_number(answer, number)).await
    }

    async fn configure(&self, number: &ExternalId, hooks: &NumberHooks) -> Result<(), ProviderError> {
        let request = numbers::configure_request(&self.settings, number, hooks);
        self.exchange(request, numbers::parse_configured).await
    }

    async fn release(&self, number: &ExternalId) -> Result<(), ProviderError> {
        self.exchange(numbers::release_request(&self.settings, number), numbers::parse_released).await
    }
}

#[async_trait]
impl AccountChecker for Twilio {
    async fn check(&self) -> Result<AccountInfo, ProviderError> {
        let checked = self.ask(account::check_request(&self.settings), account::parse_checked).await;
        match (&self.settings.auth, checked) {
            (Auth::ApiKey { .. }, Err(ProviderError::Unauthorized { .. })) => {
                let request = account::key_request(&self.settings);
                self.ask(request, |answer| account::parse_key(answer, &self.settings)).await
            }
            (_, checked) => checked,
        }
    }
}
