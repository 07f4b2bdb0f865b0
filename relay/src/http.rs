//! The two listeners: what is public, and what is for this machine.

pub(crate) mod client_address;
pub(crate) mod layers;
pub(crate) mod limits;
pub(crate) mod port;
pub(crate) mod server;

mod health;
mod router;
mod webhooks;

pub(crate) use router::{admin, public};
