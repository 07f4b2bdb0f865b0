//! The provider adapters and the simulated carrier, over real sockets.

mod carrier;
mod line;
mod peer;
mod twilio;
