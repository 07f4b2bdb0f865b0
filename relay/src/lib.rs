//! The daemon.
//!
//! Entry points (`http`, `ipc`, `voice`, and the command line in `cli`) call `services`, and only these call the
//! core, the store and the providers. `app` is what every use case may reach, `config` all that can be set,
//! `observability` all that is told. `start` puts them together.

mod app;
pub mod cli;
pub mod config;
mod http;
mod ipc;
mod keys;
mod lock;
mod observability;
mod random;
mod rehearse;
pub mod services;
mod start;
mod voice;

pub use app::{Addresses, App};
pub use observability::logging;
pub use start::{Options, Running, StartProblem, start};
