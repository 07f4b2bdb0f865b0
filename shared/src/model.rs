//! The things that both processes name.

mod call;
mod email;
mod limits;
mod message;
mod money;
mod phone;
mod secret;
mod time;

pub use call::{CallStatus, CallTurn, Responder, Speaker};
pub use email::{EmailAddress, InvalidEmailAddress};
pub use limits::{Limits, LimitsPatch, RecipientPolicy, Tier};
pub use message::{
    Attachment, Channel, Contact, Direction, Media, Message, MessageKind, MessageStatus, Missed, Standing,
    Trust, Unread,
};
pub use money::{Micros, ParseMoneyError};
pub use phone::{InvalidPhoneNumber, PhoneNumber};
pub use secret::SecretText;
pub use time::Timestamp;

/// An enum whose variants have one text each: on the wire, in the database and in log fields alike.
macro_rules! text_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[cfg_attr(feature = "schema", schemars(inline))]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $text)] $variant),* }

        impl $name {
            /// Every variant, in the order of declaration.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The variant's text.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                Self::ALL.iter().copied().find(|v| v.as_str() == text)
                    .ok_or_else(|| format!("`{text}` is no {}", stringify!($name)))
            }
        }
    };
}
pub(crate) use text_enum;
