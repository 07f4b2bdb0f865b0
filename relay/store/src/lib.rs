//! The relay's database: SQLite or Postgres behind one set of SQL texts.
//!
//! [`Database`] runs units of work, closures over a [`Conn`]. The modules named after tables hold every
//! statement on their table. Called by the relay's services alone; no rule of the domain lives here, and
//! only `sqlite`, `postgres` and `error` name a driver.

#[cfg(all(feature = "fault-ack-before-sync", not(debug_assertions)))]
compile_error!("fault-ack-before-sync loses messages on purpose: it is for the crash test only");

mod database;
mod error;
mod migrate;
mod postgres;
mod sqlite;
#[cfg(test)]
mod testing;
mod value;

pub mod agent_channels;
pub mod agent_pool;
pub mod agent_tokens;
pub mod agents;
pub mod allowed_recipients;
pub mod approvals;
pub mod audit_log;
pub mod billing_config;
pub mod call_logs;
pub mod call_transfers;
pub mod call_turns;
pub mod contacts;
pub mod directory_version;
pub mod limit_hits;
pub mod message_extras;
pub mod messages;
pub mod number_purchases;
pub mod provider_credentials;
pub mod scheduled_messages;
pub mod spending_limits;
pub mod usage_counters;
pub mod usage_logs;
pub mod voicemail_messages;
pub mod webhook_events;
pub mod whatsapp_pool;

pub use database::{Backend, Conn, Database};
pub use error::StoreError;
pub use futures_util::future::{BoxFuture, FutureExt};
pub use value::{FromValue, Row, ToValue, Value};

/// What store functions give.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;
