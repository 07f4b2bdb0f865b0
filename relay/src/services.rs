//! The use cases, one file per noun. Each function reads top to bottom: authorise, clean, decide, one
//! transaction, commit, tell.
//!
//! Called by the entry points (`http`, `ipc`, `voice`, and the command line), which know nothing of the
//! database or the providers.

pub mod agents;
pub mod audit;
pub mod calls;
pub mod error;
pub mod health;
pub mod inbox;
pub mod live_calls;
pub mod messages;
pub mod outbox;
pub mod policy;
pub mod simulator;
pub mod status;
pub mod transcripts;

pub use error::ServiceError;
