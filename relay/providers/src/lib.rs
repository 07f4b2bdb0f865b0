//! Everything that leaves this machine for a provider: one small trait per capability, an adapter per
//! provider, and the simulated carrier that stands in for them in demo mode.
//!
//! Services hold the traits and never learn which provider is behind them. Nothing here decides whether
//! something may be sent, and nothing here is retried: the caller does both, from [`ProviderError`].

mod account;
mod email;
mod error;
pub mod http;
mod messages;
mod numbers;
pub mod registry;
mod secret;
pub mod simulated;
pub mod twilio;
mod voice;

pub use account::{AccountChecker, AccountInfo};
pub use email::{EmailSender, OutboundEmail};
pub use error::{Cause, ProviderError};
pub use messages::{Accepted, MessageSender, OutboundMessage, Template};
pub use numbers::{BoughtNumber, NumberHooks, NumberOrder, NumberProvisioner, NumberWanted};
pub use registry::{ProviderSettings, Providers, build, build_twilio};
pub use secret::Secret;
pub use voice::{OutboundCall, PlacedCall, VoiceCaller};

/// Numbers, addresses and words stay out of logs: these types print as their names only.
macro_rules! nameless {
    ($($name:ident),+) => {$(
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    )+};
}
pub(crate) use nameless;
