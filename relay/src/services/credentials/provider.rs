//! The providers that the relay can have an account with, and what their credentials look like. Called by
//! [`super`] and by the command line; no value of a credential is in any error.

use std::collections::BTreeMap;

use shared::model::{Channel, SecretText};

use super::super::ServiceError;
use super::twilio;
use crate::config::Config;

/// Longer than any provider's key.
const MAX_CHARS: usize = 256;

/// A provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Provider {
    Twilio,
}

/// One of the texts that credentials consist of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    /// As the provider writes it.
    pub(crate) name: &'static str,
    /// As an error names it.
    pub(super) path: &'static str,
    pub(crate) is_required: bool,
    pub(crate) kind: Kind,
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// No secret: two letters and 32 hexadecimal digits.
    Sid(&'static str),
    Secret,
}

impl Provider {
    /// The provider of this name.
    pub(crate) fn named(name: &str) -> Result<Self, ServiceError> {
        match name {
            "twilio" => Ok(Self::Twilio),
            _ => Err(ServiceError::Invalid {
                field: "provider",
                problem: format!("the relay does not know {}, only twilio", shown(name)),
            }),
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Twilio => "twilio",
        }
    }

    pub(crate) fn fields(self) -> &'static [Field] {
        match self {
            Self::Twilio => &twilio::FIELDS,
        }
    }

    /// What the settings hold of its credentials.
    pub(crate) fn in_settings(self, config: &Config) -> BTreeMap<String, SecretText> {
        match self {
            Self::Twilio => twilio::in_settings(config),
        }
    }

    pub(super) fn channels(self) -> Vec<Channel> {
        match self {
            Self::Twilio => vec![Channel::Sms, Channel::Whatsapp, Channel::Voice],
        }
    }

    /// Whether everything is there, known and well-formed.
    pub(super) fn check(self, given: &BTreeMap<String, SecretText>) -> Result<(), ServiceError> {
        let fields = self.fields();
        if let Some(name) = given.keys().find(|name| fields.iter().all(|field| field.name != **name)) {
            let known: Vec<_> = fields.iter().map(|field| field.name).collect();
            let problem = format!("there is no {}; {} has {}", shown(name), self.name(), known.join(", "));
            return Err(ServiceError::Invalid { field: "credentials", problem });
        }
        for field in fields {
            match given.get(field.name) {
                Some(value) => field.check(value)?,
                None if field.is_required => return Err(field.invalid("it is missing")),
                None => {}
            }
        }
        match self {
            Self::Twilio => twilio::check_together(given),
        }
    }
}

impl Field {
    fn check(&self, value: &SecretText) -> Result<(), ServiceError> {
        let value = value.expose();
        match self.kind {
            Kind::Sid(letters) => {
                let digits = value.strip_prefix(letters).filter(|digits| digits.len() == 32);
                if digits.is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit())) {
                    return Ok(());
                }
                Err(self.invalid(format!("it must be {letters} and 32 hexadecimal digits")))
            }
            Kind::Secret => {
                let is_text = value.bytes().all(|byte| byte.is_ascii_graphic());
                if is_text && (1..=MAX_CHARS).contains(&value.len()) {
                    return Ok(());
                }
                Err(self.invalid(format!("it must be 1 to {MAX_CHARS} visible characters without a space")))
            }
        }
    }

    pub(super) fn invalid(&self, problem: impl Into<String>) -> ServiceError {
        ServiceError::Invalid { field: self.path, problem: problem.into() }
    }
}

/// A name that nobody knows, unless it could be a value in the wrong place.
fn shown(name: &str) -> String {
    let is_name = |c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '-');
    if (1..=20).contains(&name.len()) && name.chars().all(is_name) {
        format!("`{name}`")
    } else {
        "such name as was given".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const SID: &str = "AC0123456789abcdef0123456789abcdef";
    const KEY: &str = "SK0123456789abcdef0123456789ABCDEF";
    const SECRET: &str = "kanarienvogel0";

    fn checked(given: &[(&str, &str)]) -> Result<(), String> {
        let text = |(name, value): &(&str, &str)| ((*name).to_owned(), SecretText::new(*value));
        Provider::Twilio.check(&given.iter().map(text).collect()).map_err(|problem| problem.to_string())
    }

    #[rstest]
    #[case::the_account(&[("accountSid", SID), ("authToken", SECRET)])]
    #[case::with_a_key(&[("accountSid", SID), ("authToken", SECRET), ("apiKey", KEY), ("apiSecret", SECRET)])]
    fn what_is_whole_is_taken(#[case] given: &[(&str, &str)]) {
        assert_eq!(checked(given), Ok(()));
    }

    #[rstest]
    #[case::nothing(&[], "`credentials.accountSid` is not valid: it is missing")]
    #[case::no_token(&[("accountSid", SID)], "`credentials.authToken` is not valid: it is missing")]
    #[case::a_short_sid(
        &[("accountSid", &SID[..33]), ("authToken", SECRET)],
        "`credentials.accountSid` is not valid: it must be AC and 32 hexadecimal digits"
    )]
    #[case::a_key_for_a_sid(
        &[("accountSid", KEY), ("authToken", SECRET)],
        "`credentials.accountSid` is not valid: it must be AC and 32 hexadecimal digits"
    )]
    #[case::an_empty_token(
        &[("accountSid", SID), ("authToken", "")],
        "`credentials.authToken` is not valid: it must be 1 to 256 visible characters without a space"
    )]
    #[case::a_line_end_in_the_token(
        &[("accountSid", SID), ("authToken", "kanarienvogel0\n")],
        "`credentials.authToken` is not valid: it must be 1 to 256 visible characters without a space"
    )]
    #[case::a_key_without_its_secret(
        &[("accountSid", SID), ("authToken", SECRET), ("apiKey", KEY)],
        "`credentials.apiSecret` is not valid: it goes together with apiKey"
    )]
    #[case::a_secret_without_its_key(
        &[("accountSid", SID), ("authToken", SECRET), ("apiSecret", SECRET)],
        "`credentials.apiKey` is not valid: it goes together with apiSecret"
    )]
    #[case::a_misspelt_name(
        &[("accountSid", SID), ("token", SECRET)],
        "`credentials` is not valid: there is no `token`; twilio has accountSid, authToken, apiKey, apiSecret"
    )]
    #[case::a_value_for_a_name(
        &[(SECRET, "authToken")],
        "`credentials` is not valid: there is no such name as was given; twilio has accountSid, authToken, apiKey, \
         apiSecret"
    )]
    fn what_is_wrong_is_named_without_its_value(#[case] given: &[(&str, &str)], #[case] said: &str) {
        assert_eq!(checked(given), Err(said.to_owned()));
    }

    #[rstest]
    #[case::unknown("resend", "`provider` is not valid: the relay does not know `resend`, only twilio")]
    #[case::a_secret(
        SECRET,
        "`provider` is not valid: the relay does not know such name as was given, only twilio"
    )]
    fn an_unknown_provider_is_refused(#[case] name: &str, #[case] said: &str) {
        assert_eq!(Provider::named(name).map_err(|problem| problem.to_string()), Err(said.to_owned()));
    }
}
