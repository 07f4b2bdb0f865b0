//! An MCP server of one tool, which forwards one frame over a local socket and gives back the answer; and the
//! other end of that socket.

use std::sync::Arc;

use anyhow::{Context, Result};
use futures_util::{SinkExt, StreamExt};
use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{ServerCapabilities, ServerConfig};
use rmcp::{ServerHandler, ServiceExt, schemars, tool, tool_handler, tool_router};
use serde::{Deserialize, Serialize};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio_util::bytes::Bytes;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

type Frames = Framed<UnixStream, LengthDelimitedCodec>;

#[derive(Deserialize, Serialize, schemars::JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
struct Echo {
    /// Any text.
    message: String,
}

struct Server {
    relay: Arc<Mutex<Frames>>,
    tools: ToolRouter<Self>,
}

/// Answers every frame with itself.
pub(crate) async fn relay(path: &str) -> Result<()> {
    let listener = UnixListener::bind(path)?;
    super::ready(path);
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        connections.spawn(async move {
            let mut frames = Framed::new(stream, LengthDelimitedCodec::new());
            while let Some(Ok(frame)) = frames.next().await {
                let Ok(echo) = serde_json::from_slice::<Echo>(&frame) else { break };
                if frames.send(encode(&echo)).await.is_err() {
                    break;
                }
            }
        });
    }
}

/// Serves MCP on stdio.
pub(crate) async fn mcp(path: &str) -> Result<()> {
    let relay = Framed::new(UnixStream::connect(path).await?, LengthDelimitedCodec::new());
    let server = Server { relay: Arc::new(Mutex::new(relay)), tools: Server::tool_router() };
    server.serve(rmcp::transport::stdio()).await?.waiting().await?;
    Ok(())
}

#[tool_router]
impl Server {
    #[tool(description = "Gives back the message")]
    async fn comms_ping(&self, Parameters(echo): Parameters<Echo>) -> String {
        let mut relay = self.relay.lock().await;
        let answer = async {
            relay.send(encode(&echo)).await?;
            let frame = relay.next().await.context("the socket closed")??;
            anyhow::Ok(serde_json::from_slice::<Echo>(&frame)?.message)
        };
        answer.await.unwrap_or_else(|error| error.to_string())
    }
}

#[tool_handler(router = self.tools)]
impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }
}

fn encode(echo: &Echo) -> Bytes {
    serde_json::to_vec(echo).expect("text always encodes").into()
}
