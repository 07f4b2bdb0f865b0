//! The local socket: how `comms-mcp` and the command line reach the relay.
//!
//! [`client`] is the callers' half, [`server`] the relay's, [`transport`] what both stand on. Nothing here knows
//! what a call does.

pub mod client;
pub mod server;
pub mod transport;

pub use client::{Client, ClientError, Events, Told};
pub use server::{
    CallContext, Connection, Greeting, Handler, HandshakeError, Listener, Session, SessionEnd, reply,
};
pub use transport::{listen, private_folder};

#[cfg(test)]
mod tests;
