//! The tools, one file for each or for a few of a kind: what the model may ask, in the contract's words, turned
//! into calls to the relay.

mod accounts;
mod get_messages;
mod limits;
mod make_call;
mod ping;
mod provisioning;
mod register_provider;
mod send_message;
mod send_voice_message;
mod transfer_call;

use rmcp::RoleServer;
use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::wrapper::Json;
use rmcp::service::RequestContext;
use schemars::JsonSchema;
use serde::Serialize;
use shared::ipc::Told;
use shared::model::Unread;

use crate::arguments::{Arguments, ToolArguments};
use crate::failure::Failure;
use crate::relay::{Action, Question};
use crate::server::Server;

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

/// Every tool.
pub(crate) fn all() -> ToolRouter<Server> {
    Server::ping_tool()
        + Server::send_message_tool()
        + Server::send_voice_message_tool()
        + Server::get_messages_tool()
        + Server::make_call_tool()
        + Server::transfer_call_tool()
        + Server::account_tools()
        + Server::provisioning_tools()
        + Server::register_provider_tool()
        + Server::limit_tools()
}

impl Server {
    /// Asks the relay what the tool was asked.
    async fn asked<Q: Question + ToolArguments>(
        &self,
        arguments: Arguments<Q>,
        context: &RequestContext<RoleServer>,
    ) -> Answer<WithUnread<Q::Reply>> {
        let (question, envelope) = arguments.checked()?;
        let told = self.wait(context, self.relay.ask(question, envelope)).await?;
        Ok(Json(told.into()))
    }

    /// Has the relay do what the tool was told.
    async fn told<A: Action + ToolArguments>(
        &self,
        arguments: Arguments<A>,
        context: &RequestContext<RoleServer>,
    ) -> Answer<WithUnread<A::Reply>> {
        let (action, envelope) = arguments.checked()?;
        let told = self.wait(context, self.relay.act(action, envelope)).await?;
        Ok(Json(told.into()))
    }
}

/// The agent host's name for itself.
pub(crate) fn host(context: &RequestContext<RoleServer>) -> Option<String> {
    context.client_info().map(|host| host.name)
}
