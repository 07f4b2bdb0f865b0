//! The MCP server behind `comms-mcp`: it turns tool calls into calls to the relay, and holds nothing itself.
//!
//! [`serve`] speaks MCP over any stream, so that tests run it over a pipe in memory. It connects to the relay
//! at the first tool call, and costs next to nothing until then: hosts start copies and leak them.

mod arguments;
mod confirm;
mod delivery;
mod failure;
mod host;
mod relay;
mod schema;
mod server;
mod settings;
mod tools;
mod transport;

pub use server::{Selection, Server, SessionFailed, UnknownTool, serve};
pub use settings::Settings;
