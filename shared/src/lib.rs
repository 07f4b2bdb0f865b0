//! What the programs of this workspace have in common: identifiers, domain types, and the protocol that
//! `comms-mcp` and `comms-relay` speak over the local socket.
//!
//! Nothing here knows a database, an HTTP server or a provider. Only [`ipc`] does I/O, behind the feature
//! `ipc`.

pub mod ids;
#[cfg(feature = "ipc")]
pub mod ipc;
pub mod model;
pub mod paths;
pub mod protocol;
