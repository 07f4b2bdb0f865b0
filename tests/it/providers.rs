//! The provider adapters and the simulated carrier, over real sockets.

#![expect(clippy::unwrap_used, reason = "a helper that fails, fails the test that called it")]

mod adapter;
mod carrier;
mod line;
mod numbers;
mod peer;
mod transfer;
mod twilio;
mod whatsapp;
