//! An account with Twilio: read, tried, connected. Called by [`super`].

use std::collections::BTreeMap;

use relay_core::sanitize;
use relay_core::signature::Keys;
use relay_providers::http::Limits;
use relay_providers::twilio::{Auth, Settings};
use relay_providers::{AccountInfo, ProviderError, Providers, Secret, build_twilio};
use shared::model::SecretText;
use shared::protocol::{ApiError, ErrorCode};

use super::super::ServiceError;
use super::provider::{Field, Kind};
use crate::config::Config;

const ACCOUNT_SID: &str = "accountSid";
const AUTH_TOKEN: &str = "authToken";
const API_KEY: &str = "apiKey";
const API_SECRET: &str = "apiSecret";

/// Of a name that the provider gives.
const NAME_CHARS: usize = 100;

/// What its credentials consist of. The token is needed beside a key: webhooks are signed with it.
pub(super) const FIELDS: [Field; 4] = [
    Field { name: ACCOUNT_SID, path: "credentials.accountSid", is_required: true, kind: Kind::Sid("AC") },
    Field { name: AUTH_TOKEN, path: "credentials.authToken", is_required: true, kind: Kind::Secret },
    Field { name: API_KEY, path: "credentials.apiKey", is_required: false, kind: Kind::Sid("SK") },
    Field { name: API_SECRET, path: "credentials.apiSecret", is_required: false, kind: Kind::Secret },
];

/// An account and what proves that it is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    sid: String,
    token: Secret,
    /// Used for requests in the place of the token.
    key: Option<(String, Secret)>,
}

/// What the settings hold of the credentials.
pub(super) fn in_settings(config: &Config) -> BTreeMap<String, SecretText> {
    let twilio = &config.twilio;
    let text = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.expose().to_owned());
    let held = [
        (ACCOUNT_SID, twilio.account_sid.clone()),
        (AUTH_TOKEN, text(&twilio.auth_token)),
        (API_KEY, twilio.api_key.clone()),
        (API_SECRET, text(&twilio.api_secret)),
    ];
    held.into_iter().filter_map(|(name, value)| Some((name.to_owned(), SecretText::new(value?)))).collect()
}

/// A key is of no use without its secret.
pub(super) fn check_together(given: &BTreeMap<String, SecretText>) -> Result<(), ServiceError> {
    let [.., key, secret] = FIELDS;
    match (given.contains_key(API_KEY), given.contains_key(API_SECRET)) {
        (true, false) => Err(secret.invalid("it goes together with apiKey")),
        (false, true) => Err(key.invalid("it goes together with apiSecret")),
        (true, true) | (false, false) => Ok(()),
    }
}

impl Account {
    /// The account of these credentials, if they are all there.
    pub(super) fn of(given: &BTreeMap<String, SecretText>) -> Option<Self> {
        let text = |name| given.get(name).map(|value| value.expose().to_owned());
        let key = text(API_KEY).zip(text(API_SECRET).map(Secret::new));
        Some(Self { sid: text(ACCOUNT_SID)?, token: Secret::new(text(AUTH_TOKEN)?), key })
    }

    /// The account that the settings give.
    pub(crate) fn of_settings(config: &Config) -> Option<Self> {
        Self::of(&in_settings(config))
    }

    /// The adapters that act for the account, and what its webhooks are signed with. Connects to nothing yet.
    pub(crate) fn connect(&self, config: &Config) -> (Providers, Keys) {
        let auth = match &self.key {
            Some((sid, secret)) => Auth::ApiKey { sid: sid.clone(), secret: secret.clone() },
            None => Auth::Token(self.token.clone()),
        };
        let providers = build_twilio(self.settings(config, auth), Limits::default());
        (providers, Keys::new(self.token.expose()))
    }

    /// Asks Twilio about the account with everything that is to be used, and gives its name. Changes nothing there.
    pub(super) async fn check(&self, config: &Config) -> Result<String, ServiceError> {
        let ask =
            async |auth| build_twilio(self.settings(config, auth), Limits::default()).account.check().await;
        let account =
            ask(Auth::Token(self.token.clone())).await.map_err(|problem| failed(&problem, AUTH_TOKEN))?;
        if let Some((sid, secret)) = self.key.clone() {
            ask(Auth::ApiKey { sid, secret }).await.map_err(|problem| failed(&problem, API_KEY))?;
        }
        if account.status != "active" {
            return Err(ServiceError::refused(
                ErrorCode::ProviderRejected,
                "The account is suspended or closed.",
                "Reactivate it in the provider's console, or use another account.",
            ));
        }
        Ok(name(&account))
    }

    fn settings(&self, config: &Config, auth: Auth) -> Settings {
        let base_url = config.twilio.base_url.as_str().trim_end_matches('/').to_owned();
        Settings { base_url, account_sid: self.sid.clone(), auth }
    }
}

/// What the provider calls the account, on one line.
fn name(account: &AccountInfo) -> String {
    let name: String = sanitize::clean(&account.name).text.chars().take(NAME_CHARS).collect();
    let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
    match account.kind.as_str() {
        "Trial" => format!("{name} (trial)"),
        _ => name,
    }
}

/// Why the account was not confirmed, `with` which of its credentials.
fn failed(problem: &ProviderError, with: &str) -> ServiceError {
    let unavailable = |message: &str, seconds| {
        ApiError::new(ErrorCode::ProviderUnavailable, message, "Try again later.").retryable(seconds)
    };
    let error = match problem {
        ProviderError::Unauthorized { code, .. } => ApiError {
            provider_code: code.clone(),
            ..ApiError::new(
                ErrorCode::ProviderRejected,
                format!("The provider does not accept the {with}, or the account is suspended or closed."),
                "Compare the account SID, and the token or key, with the provider's console.",
            )
        },
        ProviderError::Rejected { code, problem, retryable } => ApiError {
            provider_code: code.clone(),
            retryable: *retryable,
            ..ApiError::new(
                ErrorCode::ProviderRejected,
                format!("The provider refuses the account: {problem}."),
                "Look at the account in the provider's console: it may be unpaid, suspended or another one.",
            )
        },
        ProviderError::RateLimited { retry_after } => unavailable(
            "The provider answers no more questions for the moment.",
            retry_after.map(|after| after.as_secs().max(1)),
        ),
        ProviderError::Unavailable(_) | ProviderError::Unknown(_) => {
            unavailable("The provider cannot be reached.", Some(60))
        }
        ProviderError::Malformed => unavailable("The provider's answer cannot be read.", Some(60)),
    };
    ServiceError::Refused(Box::new(error))
}
