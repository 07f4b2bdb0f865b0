//! The stream to the host, made to fit real hosts: lenient at the start, prompt at the end, and honest about
//! what was written.

use std::pin::Pin;
use std::task::{Context, Poll};

use rmcp::RoleServer;
use rmcp::model::{ClientRequest, GetMeta, JsonRpcMessage, ProtocolVersion};
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use tokio::io::{AsyncRead, ReadBuf};
use tokio_util::sync::CancellationToken;

use crate::delivery::Deliveries;

/// Fires a token when the host closes its end, because the library first waits seconds for tools that wait.
pub(crate) struct EofReader<R> {
    pub(crate) inner: R,
    pub(crate) host_gone: CancellationToken,
}

impl<R: AsyncRead + Unpin> AsyncRead for EofReader<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let (before, room) = (buffer.filled().len(), buffer.remaining() > 0);
        let read = Pin::new(&mut self.inner).poll_read(context, buffer);
        let ended = match &read {
            Poll::Ready(Ok(())) => room && buffer.filled().len() == before,
            Poll::Ready(Err(_)) => true,
            Poll::Pending => false,
        };
        if ended {
            self.host_gone.cancel();
        }
        read
    }
}

/// Drops what comes before the request that opens the session, because the library ends the process over it.
pub(crate) struct LenientStart<T> {
    pub(crate) inner: T,
    pub(crate) opened: bool,
}

impl<T: Transport<RoleServer>> Transport<RoleServer> for LenientStart<T> {
    type Error = T::Error;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        self.inner.send(message)
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        loop {
            let message = self.inner.receive().await?;
            if let JsonRpcMessage::Request(request) = &message {
                self.opened |= opens(&request.request);
                return Some(message);
            }
            if self.opened {
                return Some(message);
            }
        }
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        self.inner.close().await
    }
}

/// Whether a session exists from this request on: `initialize`, or any other that carries the metadata of
/// protocol version 2026-07-28. A ping or a probe by `server/discover` opens nothing.
fn opens(request: &ClientRequest) -> bool {
    match request {
        ClientRequest::InitializeRequest(_) => true,
        ClientRequest::PingRequest(_) | ClientRequest::DiscoverRequest(_) => false,
        other => other.get_meta().missing_required_keys(&ProtocolVersion::V_2026_07_28).is_empty(),
    }
}

/// Confirms what an answer handed over, after the answer was written.
pub(crate) struct Confirming<T> {
    pub(crate) inner: T,
    pub(crate) deliveries: Deliveries,
}

impl<T: Transport<RoleServer>> Transport<RoleServer> for Confirming<T> {
    type Error = T::Error;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        let delivery = match &message {
            JsonRpcMessage::Response(response) => self.deliveries.take(&response.id),
            JsonRpcMessage::Request(_) | JsonRpcMessage::Notification(_) | JsonRpcMessage::Error(_) => None,
        };
        let (writing, deliveries) = (self.inner.send(message), self.deliveries.clone());
        async move {
            writing.await?;
            if let Some(delivery) = delivery {
                deliveries.confirm(delivery);
            }
            Ok(())
        }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        let message = self.inner.receive().await?;
        if let JsonRpcMessage::Request(request) = &message {
            self.deliveries.take(&request.id);
        }
        Some(message)
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        self.inner.close().await
    }
}
