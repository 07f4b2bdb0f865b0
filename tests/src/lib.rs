//! What the tests of the whole system stand on.

pub mod emulators;
pub mod line;
pub mod openapi;
pub mod process;
pub mod refusal;
pub mod relay;
pub mod signing;
pub mod wait;
