//! Telling what happens.

pub(crate) mod events;
pub mod logging;
