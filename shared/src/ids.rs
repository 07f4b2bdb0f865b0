//! Identifiers: newtypes, so that a message's id can never be passed for a call's.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

/// The text is no identifier of the wanted kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {0}")]
pub struct InvalidId(&'static str);

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) { Ok(Self(text.to_owned())) } else { Err(InvalidId($what)) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        text_id!($(#[$doc])* $name, $what, |text| uuid::Uuid::try_parse(text).is_ok_and(|id| id.hyphenated().to_string() == text));

        impl $name {
            /// A new identifier; later ones of this process sort after earlier ones.
            #[must_use]
            #[expect(clippy::disallowed_methods, reason = "this is where identifiers come from")]
            pub fn generate() -> Self {
                Self(uuid::Uuid::now_v7().hyphenated().to_string())
            }
        }
    };
}

text_id!(
    /// An agent: 1 to 64 of `a-z`, `0-9`, `-` and `_`, so that it can stand in a URL's path as it is.
    AgentId, "agent id", |text| (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
);
text_id!(
    /// A provider's own name for a call (Twilio: `CA` and 32 hexadecimal digits).
    CallSid, "call sid", |text| (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric())
);
text_id!(
    /// A provider's own name for a message (Twilio: `SM` or `MM` and 32 hexadecimal digits).
    ExternalId, "external id", |text| (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
);
uuid_id!(
    /// A message in either direction, and everything else that the inbox hands over.
    MessageId, "message id"
);
uuid_id!(
    /// A call, from before the provider has named it.
    SessionId, "session id"
);
uuid_id!(
    /// One turn of a call. Words that answer it carry it, so that it is never answered twice.
    TurnId, "turn id"
);
uuid_id!(
    /// What one reader has taken from the inbox and not yet confirmed.
    LeaseId, "lease id"
);
uuid_id!(
    /// A token's row; not the secret.
    TokenId, "token id"
);
uuid_id!(
    /// A question to the person whose agents these are: may this be done?
    ApprovalId, "approval id"
);
uuid_id!(
    /// A number that is bought, from before the provider was asked for it.
    PurchaseId, "purchase id"
);

impl AgentId {
    /// The agent that exists from the first start, and that a local session without a token is.
    #[must_use]
    pub fn default_agent() -> Self {
        Self("default".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_id_is_safe_in_a_path() {
        for good in ["default", "a", "sales-2", "a_b"] {
            assert!(good.parse::<AgentId>().is_ok(), "{good}");
        }
        for bad in ["", "A", "a/b", "..", "a b", "é", &"a".repeat(65)] {
            assert!(bad.parse::<AgentId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn generated_ids_parse_and_sort() {
        let (first, second) = (MessageId::generate(), MessageId::generate());
        assert!(first < second);
        assert_eq!(first.as_str().parse(), Ok(first.clone()));
        assert!("not-a-uuid".parse::<MessageId>().is_err());
    }
}
