//! The sections of the settings, as they stand in the file. What is wrong with a single value is found by reading
//! it; what several must have in common is checked in [`super::Config`].

use std::net::SocketAddr;
use std::time::Duration;

use relay_core::cost::Prices;
use relay_core::period::Zone;
use serde::Deserialize;
use shared::model::{EmailAddress, Micros, PhoneNumber, RecipientPolicy};
use url::Url;

use super::read::{empty_is_none, from_text, from_texts, optional_secret, secret};
use super::{ConfigError, Secret};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Public {
    pub listen: SocketAddr,
    #[serde(deserialize_with = "empty_is_none")]
    pub url: Option<Url>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    pub listen: SocketAddr,
    pub allow: Vec<String>,
    pub hosts: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    #[serde(deserialize_with = "secret")]
    pub url: Secret,
}

/// The person whose agents these are.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Owner {
    #[serde(deserialize_with = "empty_is_none")]
    pub phone: Option<PhoneNumber>,
    #[serde(deserialize_with = "empty_is_none")]
    pub email: Option<EmailAddress>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    #[serde(deserialize_with = "empty_is_none")]
    pub(super) recipients: Option<RecipientPolicy>,
    pub elicitation: bool,
}

/// Whose address the simulated e-mail provider's agents have.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Email {
    pub domain: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Twilio {
    #[serde(deserialize_with = "empty_is_none")]
    pub account_sid: Option<String>,
    #[serde(deserialize_with = "optional_secret")]
    pub auth_token: Option<Secret>,
    #[serde(deserialize_with = "empty_is_none")]
    pub api_key: Option<String>,
    #[serde(deserialize_with = "optional_secret")]
    pub api_secret: Option<Secret>,
    #[serde(deserialize_with = "empty_is_none")]
    pub phone_number: Option<PhoneNumber>,
    #[serde(deserialize_with = "empty_is_none")]
    pub whatsapp_number: Option<PhoneNumber>,
    /// WhatsApp senders of the account, one for each agent that is provisioned with the channel.
    #[serde(deserialize_with = "from_texts")]
    pub whatsapp_senders: Vec<PhoneNumber>,
    #[serde(deserialize_with = "from_text")]
    pub base_url: Url,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Voice {
    pub greeting: String,
    pub disclosure: bool,
    pub disclosure_text: String,
    pub language: String,
    #[serde(deserialize_with = "empty_is_none")]
    pub voice: Option<String>,
    pub(super) claim_ms: u64,
    pub(super) filler_after_ms: u64,
    pub(super) second_filler_after_ms: u64,
    pub(super) give_up_after_ms: u64,
    pub(super) machine_patience_ms: u64,
    pub ring_seconds: u32,
}

impl Voice {
    /// The clocks of a call that may last `max_duration`.
    #[must_use]
    pub fn timing(&self, max_duration: Duration) -> relay_core::call::Timing {
        relay_core::call::Timing {
            claim: Duration::from_millis(self.claim_ms),
            filler: Duration::from_millis(self.filler_after_ms),
            second_filler: Duration::from_millis(self.second_filler_after_ms),
            give_up: Duration::from_millis(self.give_up_after_ms),
            max_duration,
            machine_patience: Duration::from_millis(self.machine_patience_ms),
            ..relay_core::call::Timing::default()
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    pub pool: i64,
    actions_per_minute: i64,
    actions_per_hour: i64,
    actions_per_day: i64,
    #[serde(deserialize_with = "from_text")]
    spend_per_day: Micros,
    #[serde(deserialize_with = "from_text")]
    spend_per_month: Micros,
    call_minutes: i64,
    calls_per_day_same_number: i64,
    #[serde(deserialize_with = "empty_is_none")]
    pub org_spend_per_day: Option<Micros>,
    #[serde(deserialize_with = "empty_is_none")]
    pub org_spend_per_month: Option<Micros>,
    #[serde(deserialize_with = "from_text")]
    pub time_zone: Zone,
    prices: Vec<String>,
}

impl Limits {
    /// What holds for an agent for whom nothing else is set.
    #[must_use]
    pub fn defaults(&self) -> shared::model::Limits {
        shared::model::Limits {
            max_actions_per_minute: self.actions_per_minute,
            max_actions_per_hour: self.actions_per_hour,
            max_actions_per_day: self.actions_per_day,
            max_spend_per_day: self.spend_per_day,
            max_spend_per_month: self.spend_per_month,
            max_call_duration_minutes: self.call_minutes,
            max_calls_per_day_to_same_number: self.calls_per_day_same_number,
        }
    }

    /// What things cost, as far as it can be known before.
    pub fn prices(&self) -> Result<Prices, ConfigError> {
        let prices = Prices::builtin().with_overrides(&self.prices);
        prices.map_err(|problem| ConfigError::value("limits.prices", problem.to_string()))
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    pub trusted_proxies: Vec<String>,
    pub cors_origins: Vec<String>,
    pub max_connections: usize,
    pub max_connections_per_address: usize,
    pub requests_per_minute_per_client: u32,
    pub requests_per_minute: u32,
    pub failed_webhooks_per_minute_per_client: u32,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    pub level: String,
    pub format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}
