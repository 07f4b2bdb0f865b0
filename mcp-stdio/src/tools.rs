//! The tools, one file each: what the model may ask, in the contract's words, turned into calls to the relay.

mod get_messages;
mod make_call;
mod ping;
mod send_message;

use rmcp::RoleServer;
use rmcp::handler::server::wrapper::Json;
use rmcp::service::RequestContext;
use schemars::JsonSchema;
use serde::Serialize;
use shared::ipc::Told;
use shared::model::Unread;

use crate::failure::Failure;

/// What a tool gives.
type Answer<T> = Result<Json<T>, Failure>;

/// A reply as it is, with what waits in the inbox beside it.
#[derive(Serialize, JsonSchema)]
struct WithUnread<T> {
    #[serde(flatten)]
    reply: T,
    /// What waits in the inbox, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    unread: Option<Unread>,
}

impl<T> From<Told<T>> for WithUnread<T> {
    fn from(told: Told<T>) -> Self {
        Self { reply: told.reply, unread: told.unread }
    }
}

/// The agent host's name for itself.
fn host(context: &RequestContext<RoleServer>) -> Option<String> {
    context.client_info().map(|host| host.name)
}
