//! An agent host: writes and reads the lines that go over stdin and stdout.

use mcp_stdio::{Server, serve};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::soon;

/// The host's end of the pipe, and the server at the other.
pub(crate) struct Host {
    read: BufReader<ReadHalf<DuplexStream>>,
    write: Option<WriteHalf<DuplexStream>>,
    serving: JoinSet<bool>,
    stop: Option<oneshot::Sender<()>>,
    next_id: i64,
}

impl Host {
    pub(crate) fn start(server: Server) -> Self {
        Self::with_buffer(server, 1 << 20)
    }

    /// A host that leaves what it does not read in the way after so many bytes.
    pub(crate) fn with_buffer(server: Server, bytes: usize) -> Self {
        let (to_server, server_read) = tokio::io::duplex(1 << 20);
        let (server_write, from_server) = tokio::io::duplex(bytes);
        let (stop, stopped) = oneshot::channel();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let stopped = async { drop(stopped.await) };
            serve(server, server_read, server_write, stopped).await.is_ok()
        });
        let (_, write) = tokio::io::split(to_server);
        let (read, _) = tokio::io::split(from_server);
        Self { read: BufReader::new(read), write: Some(write), serving, stop: Some(stop), next_id: 1 }
    }

    pub(crate) async fn write(&mut self, message: &Value) {
        let line = format!("{message}\n");
        self.write.as_mut().unwrap().write_all(line.as_bytes()).await.unwrap();
    }

    /// The next line from the server.
    pub(crate) async fn read(&mut self) -> Value {
        let mut line = String::new();
        soon(self.read.read_line(&mut line)).await.unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// Greets as hosts before protocol 2026-07-28 do.
    pub(crate) async fn initialize(&mut self, name: &str) -> Value {
        self.initialize_with(name, json!({})).await
    }

    /// The same, with what the host can do.
    pub(crate) async fn initialize_with(&mut self, name: &str, capabilities: Value) -> Value {
        let params = json!({
            "protocolVersion": "2025-11-25", "capabilities": capabilities,
            "clientInfo": { "name": name, "version": "9" },
        });
        let answer = self.ask("initialize", params).await;
        self.write(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await;
        answer
    }

    /// Sends a request and gives its id.
    pub(crate) async fn send(&mut self, method: &str, params: Value) -> i64 {
        let id = self.next_id;
        self.next_id += 1;
        self.write(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })).await;
        id
    }

    /// Sends a request and gives the result.
    pub(crate) async fn ask(&mut self, method: &str, params: Value) -> Value {
        let id = self.send(method, params).await;
        let answer = self.read().await;
        assert_eq!(answer["id"], id, "{answer}");
        answer["result"].clone()
    }

    /// Calls a tool and gives the result.
    pub(crate) async fn call(&mut self, tool: &str, arguments: Value) -> Value {
        self.ask("tools/call", json!({ "name": tool, "arguments": arguments })).await
    }

    /// Calls a tool and gives the `error` in its result.
    pub(crate) async fn failing(&mut self, tool: &str, arguments: Value) -> Value {
        error_in(&self.call(tool, arguments).await)
    }

    /// Tells the server to stop, as a signal does.
    pub(crate) fn signal(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    /// Closes stdin, as a host does that goes.
    pub(crate) fn close(&mut self) {
        self.write = None;
    }

    /// Whether the server ended well; waits for its end.
    pub(crate) async fn ended(&mut self) -> bool {
        soon(self.serving.join_next()).await.unwrap().unwrap()
    }
}

/// The `error` in the result of a tool that failed.
pub(crate) fn error_in(result: &Value) -> Value {
    assert_eq!(result["isError"], true, "{result}");
    let text = result["content"][0]["text"].as_str().unwrap();
    serde_json::from_str::<Value>(text).unwrap()["error"].clone()
}
