//! The rules of the relay, as pure functions: the time, random numbers and rows come in as arguments, a decision
//! goes out.
//!
//! Called by the relay's services and entry points. Nothing here does I/O, and nothing may: the manifest has no
//! runtime, no HTTP client and no database. [`clock::SystemClock`] is the one place that asks the system for
//! anything.

#![warn(missing_docs)]

pub mod audit;
pub mod call;
pub mod clock;
pub mod cost;
pub mod delivery;
pub mod limits;
pub mod period;
pub mod provisioning;
pub mod rate_limit;
pub mod recipient;
pub mod relay_frame;
pub mod retry;
pub mod sanitize;
pub mod sealed;
pub mod signature;
pub mod sms;
pub mod token;
pub mod twiml;
