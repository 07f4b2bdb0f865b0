//! Settings: the built-in defaults, then `config.toml`, then the environment.
//!
//! The only place that reads the environment. Every key of the file can be set as `COMMS_SECTION__NAME`;
//! `config.default.toml` is both the default and the manual. What leaves here is checked and typed.

mod merge;
mod read;
mod sections;

use std::path::{Path, PathBuf};

use relay_core::limits;
use serde::Deserialize;
use shared::model::{LimitsPatch, RecipientPolicy};

pub use self::sections::{
    Admin, Database, Email, Http, Limits, Log, LogFormat, Owner, Policy, Public, Twilio, Voice,
};
pub use relay_providers::Secret;

/// The commented defaults.
pub const DEFAULTS: &str = include_str!("config/config.default.toml");

/// A setting is wrong. The text names the key and never repeats a value that may be secret.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {path}")]
    Read { path: String, source: std::io::Error },
    #[error("{path} is not valid: {problem}")]
    Syntax { path: String, problem: String },
    #[error("the setting `{key}` is not valid: {problem}")]
    Value { key: String, problem: String },
}

impl ConfigError {
    fn value(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Value { key: key.into(), problem: problem.into() }
    }
}

/// Everything that can be set, as the sections of the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub mode: Mode,
    pub public: Public,
    pub admin: Admin,
    pub database: Database,
    pub owner: Owner,
    pub policy: Policy,
    pub twilio: Twilio,
    pub email: Email,
    pub voice: Voice,
    pub limits: Limits,
    pub http: Http,
    pub log: Log,
}

/// Whether anything leaves this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    Demo,
    Live,
}

impl Mode {
    /// As it is written in the file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Demo => "demo",
            Self::Live => "live",
        }
    }

    /// The provider of texts and calls.
    #[must_use]
    pub const fn telephony(self) -> &'static str {
        match self {
            Self::Demo => "simulated",
            Self::Live => "twilio",
        }
    }
}

/// The variables by which Twilio's own tools are set up, and the key that each stands for.
const PROVIDER_VARIABLES: [(&str, &str); 6] = [
    ("TWILIO_ACCOUNT_SID", "COMMS_TWILIO__ACCOUNT_SID"),
    ("TWILIO_AUTH_TOKEN", "COMMS_TWILIO__AUTH_TOKEN"),
    ("TWILIO_API_KEY", "COMMS_TWILIO__API_KEY"),
    ("TWILIO_API_SECRET", "COMMS_TWILIO__API_SECRET"),
    ("TWILIO_PHONE_NUMBER", "COMMS_TWILIO__PHONE_NUMBER"),
    ("TWILIO_WHATSAPP_NUMBER", "COMMS_TWILIO__WHATSAPP_NUMBER"),
];

impl Config {
    /// Whom agents may reach, where nothing else is set for one.
    #[must_use]
    pub fn recipients(&self) -> RecipientPolicy {
        self.policy.recipients.unwrap_or(match self.mode {
            Mode::Demo => RecipientPolicy::Open,
            Mode::Live => RecipientPolicy::ApproveNew,
        })
    }

    /// The settings from `file` (which need not exist) and the process's environment.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(problem) if problem.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(ConfigError::Read { path: file.display().to_string(), source }),
        };
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self::from_parts(&text, &file.display().to_string(), environment)
    }

    /// Whether other users of this machine can read a file that may hold secrets.
    #[must_use]
    #[cfg(unix)]
    pub fn is_readable_by_others(file: &Path) -> bool {
        use std::os::unix::fs::PermissionsExt;
        std::fs::metadata(file).is_ok_and(|file| file.permissions().mode() & 0o044 != 0)
    }

    /// The settings from a file's text and a list of variables.
    pub fn from_parts(
        text: &str,
        path: &str,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut table: toml::Table = toml::from_str(DEFAULTS).expect("a test reads the defaults");
        let file = toml::from_str(text).map_err(|problem| ConfigError::Syntax {
            path: path.to_owned(),
            // Not the error's own text: it quotes the line, which may hold a secret.
            problem: problem.message().to_owned(),
        })?;
        merge::overlay(&mut table, file, "")?;
        let (providers, own): (Vec<_>, Vec<_>) =
            environment.into_iter().partition(|(name, _)| name.starts_with("TWILIO_"));
        for (name, value) in providers {
            if let Some((_, key)) = PROVIDER_VARIABLES.iter().find(|(variable, _)| *variable == name) {
                merge::set_from_variable(&mut table, key, &value)?;
            }
        }
        for (name, value) in own {
            merge::set_from_variable(&mut table, &name, &value)?;
        }
        let config: Self = table.try_into().map_err(|problem| wrong_value(&problem))?;
        config.checked()
    }

    fn checked(self) -> Result<Self, ConfigError> {
        if let Some(url) = &self.public.url {
            let https = url.scheme() == "https" || (self.mode == Mode::Demo && url.scheme() == "http");
            if !https || url.host_str().is_none() || url.query().is_some() || url.fragment().is_some() {
                return Err(ConfigError::value("public.url", "it must be an https address without a query"));
            }
        }
        self.check_limits()?;
        let clocks = &self.voice;
        if clocks.filler_after_ms >= clocks.second_filler_after_ms
            || clocks.second_filler_after_ms >= clocks.give_up_after_ms
        {
            let order = "filler_after_ms < second_filler_after_ms < give_up_after_ms must hold";
            return Err(ConfigError::value("voice.give_up_after_ms", order));
        }
        if self.mode == Mode::Live {
            self.check_twilio()?;
        }
        Ok(self)
    }

    fn check_limits(&self) -> Result<(), ConfigError> {
        let defaults = self.limits.defaults();
        let all = LimitsPatch {
            max_actions_per_minute: Some(defaults.max_actions_per_minute),
            max_actions_per_hour: Some(defaults.max_actions_per_hour),
            max_actions_per_day: Some(defaults.max_actions_per_day),
            max_spend_per_day: Some(defaults.max_spend_per_day),
            max_spend_per_month: Some(defaults.max_spend_per_month),
            max_call_duration_minutes: Some(defaults.max_call_duration_minutes),
            max_calls_per_day_to_same_number: Some(defaults.max_calls_per_day_to_same_number),
        };
        limits::check(&all).map_err(|problem| ConfigError::value("limits", problem.to_string()))?;
        self.limits.prices().map(drop)
    }

    /// An account that is not named at all may be stored.
    fn check_twilio(&self) -> Result<(), ConfigError> {
        let twilio = &self.twilio;
        if twilio.api_key.is_some() != twilio.api_secret.is_some() {
            return Err(ConfigError::value("twilio.api_key", "it goes together with api_secret"));
        }
        let is_named = twilio.account_sid.is_some();
        if !is_named && (twilio.auth_token.is_some() || twilio.api_key.is_some()) {
            return Err(ConfigError::value("twilio.account_sid", "it is missing: set TWILIO_ACCOUNT_SID"));
        }
        if is_named && twilio.auth_token.is_none() {
            let remedy = "live mode needs it to check webhooks: set TWILIO_AUTH_TOKEN";
            return Err(ConfigError::value("twilio.auth_token", remedy));
        }
        Ok(())
    }
}

/// Names the key of a value that is not what it must be; the file or a variable may have brought it.
fn wrong_value(problem: &toml::de::Error) -> ConfigError {
    let text = problem.to_string();
    // The error gives its key in no other way.
    let key = text.rsplit_once("in `").and_then(|(_, rest)| rest.split('`').next());
    ConfigError::value(key.unwrap_or("?"), problem.message())
}

/// The folder that `COMMS_HOME` names, if it is set.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is where the environment is read")]
pub fn comms_home() -> Option<PathBuf> {
    std::env::var_os("COMMS_HOME").map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::from_parts(text, "config.toml", variables).map_err(|problem| problem.to_string())
    }

    #[test]
    fn the_defaults_are_valid_and_demo() {
        assert_eq!(load("", &[]).unwrap().mode, Mode::Demo);
    }

    #[test]
    fn half_an_account_is_none_in_live_mode() {
        let (sid, token) = (("TWILIO_ACCOUNT_SID", "AC1"), ("TWILIO_AUTH_TOKEN", "hush"));
        let misses = |variables: &[_]| {
            let named = ["twilio.account_sid", "twilio.auth_token", "twilio.api_key"];
            let problem = load("mode = 'live'", variables).err()?;
            named.into_iter().find(|key| problem.contains(key))
        };
        let key = ("TWILIO_API_KEY", "SK1");
        let missing = [
            misses(&[]),
            misses(&[sid, token]),
            misses(&[token]),
            misses(&[sid]),
            misses(&[sid, token, key]),
        ];
        let expected =
            [None, None, Some("twilio.account_sid"), Some("twilio.auth_token"), Some("twilio.api_key")];
        assert_eq!(missing, expected);
    }

    #[test]
    fn no_secret_is_shown() {
        let config = load("[twilio]\nauth_token = 'hush'", &[]).unwrap();
        assert!(!format!("{config:?}").contains("hush"));
        let problem = load("[twilio]\nauth_token = 'hush", &[]).unwrap_err();
        assert!(!problem.contains("hush"), "{problem}");
    }

    #[test]
    fn a_public_url_that_cannot_be_signed_for_is_refused() {
        for url in ["ftp://x.example", "https://x.example/?a=1", "nonsense"] {
            assert!(load(&format!("[public]\nurl = '{url}'"), &[]).is_err(), "{url}");
        }
        assert!(load("[public]\nurl = 'https://x.example/base'", &[]).is_ok());
    }

    #[test]
    fn the_clocks_of_a_call_must_be_in_order() {
        let problem = load("[voice]\ngive_up_after_ms = 100", &[]).unwrap_err();
        assert!(problem.contains("filler_after_ms < second_filler_after_ms"), "{problem}");
    }
}
