//! The use cases, one file per noun. Each function reads top to bottom: authorise, clean, decide, one
//! transaction, commit, tell.
//!
//! Called by the entry points (`http`, `ipc`, `voice`, and the command line), which know nothing of the
//! database or the providers.

pub mod agents;
pub mod approvals;
pub mod audit;
pub mod billing;
pub mod calls;
pub mod channels;
pub(crate) mod charges;
pub mod credentials;
pub mod error;
pub mod health;
pub mod identity;
pub mod inbox;
pub mod live_calls;
pub mod messages;
pub mod operator;
pub mod outbox;
pub mod policy;
pub mod provisioning;
pub mod simulator;
pub mod status;
pub mod tokens;
pub mod transcripts;
pub mod usage;
pub mod voice_messages;

pub use error::ServiceError;
