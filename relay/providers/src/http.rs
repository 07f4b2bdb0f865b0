//! Outgoing HTTP, for the adapters: time-outs, a size cap, no redirects, and errors that tell whether the
//! request can have reached the other side. The only use of reqwest.
//!
//! In demo mode the same client hands the request to the simulated carrier in this process, so that the
//! adapter above it is the real one. Nothing here may print a URL's query, a header or a body.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderMap, Method};
use tokio::sync::OnceCell;

use crate::simulated::Carrier;

const IDLE: Duration = Duration::from_secs(20);

type Source = Box<dyn Error + Send + Sync>;

/// A request to a provider.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpRequest {
    pub method: Method,
    pub url: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// A provider's whole answer.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpResponse {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// How long and how large an exchange may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub connect: Duration,
    /// From the first attempt to connect to the last byte of the answer.
    pub total: Duration,
    pub answer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), total: Duration::from_secs(15), answer_bytes: 1024 * 1024 }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The request was not sent.
    #[error("connect")]
    NotSent(#[source] Source),
    /// The request may have been received and acted on.
    #[error("get an answer to what was sent")]
    NoAnswer(#[source] Source),
    #[error("keep the answer within the size limit")]
    TooLarge,
}

/// Sends requests. Cheap to make: its connections and certificates are set up at the first request.
#[derive(Debug)]
pub struct HttpClient {
    transport: Transport,
}

enum Transport {
    Network { limits: Limits, client: OnceCell<reqwest::Client> },
    Carrier(Arc<Carrier>),
}

impl HttpClient {
    /// A client for the network.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { transport: Transport::Network { limits, client: OnceCell::new() } }
    }

    /// A client whose every request, whatever its host, is answered by `carrier`.
    #[must_use]
    pub fn to_carrier(carrier: Arc<Carrier>) -> Self {
        Self { transport: Transport::Carrier(carrier) }
    }

    /// Sends one request, once.
    pub async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        match &self.transport {
            Transport::Network { limits, client } => {
                let client = client.get_or_try_init(async || build(limits)).await?;
                exchange(client, request, limits.answer_bytes).await
            }
            Transport::Carrier(carrier) => Ok(carrier.handle(&request)),
        }
    }
}

fn build(limits: &Limits) -> Result<reqwest::Client, HttpError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| HttpError::NotSent(error.into()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .connect_timeout(limits.connect)
        .timeout(limits.total)
        // A redirect would carry credentials to an address that nobody configured.
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        // Shorter than servers keep an idle connection: one that closes as we write leaves the outcome unknown.
        .pool_idle_timeout(IDLE)
        // Its idea of what is safe to repeat is not ours: every repetition is decided by a service.
        .retry(reqwest::retry::never())
        .build()
        .map_err(|error| HttpError::NotSent(error.into()))
}

async fn exchange(
    client: &reqwest::Client,
    request: HttpRequest,
    answer_bytes: usize,
) -> Result<HttpResponse, HttpError> {
    let outgoing = client.request(request.method, request.url).headers(request.headers).body(request.body);
    let mut incoming = outgoing.send().await.map_err(told_apart)?;
    let (status, headers) = (incoming.status().as_u16(), incoming.headers().clone());
    let mut body = Vec::new();
    while let Some(chunk) = incoming.chunk().await.map_err(told_apart)? {
        if body.len() + chunk.len() > answer_bytes {
            return Err(HttpError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(HttpResponse { status, headers, body })
}

fn told_apart(error: reqwest::Error) -> HttpError {
    let not_sent = error.is_connect() || error.is_builder();
    // The URL may name a telephone number.
    let source = error.without_url().into();
    if not_sent { HttpError::NotSent(source) } else { HttpError::NoAnswer(source) }
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.url.split(['?', '#']).next().unwrap_or_default();
        write!(f, "{} {address} ({} bytes)", self.method, self.body.len())
    }
}

impl fmt::Debug for HttpResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.status, self.body.len())
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Network { .. } => "Network",
            Self::Carrier(_) => "Carrier",
        })
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn get(url: String) -> HttpRequest {
        HttpRequest { method: Method::GET, url, headers: HeaderMap::new(), body: b"Body=secret".to_vec() }
    }

    #[test]
    fn a_request_prints_no_query_and_no_body() {
        let request = get("https://h.example/x?To=%2B15558675310".to_owned());
        assert_eq!(format!("{request:?}"), "GET https://h.example/x (11 bytes)");
    }

    #[rstest]
    #[case::nobody_listens("http://127.0.0.1:PORT/?To=%2B15558675310")]
    #[case::no_address("To=%2B15558675310")]
    #[tokio::test]
    async fn what_cannot_be_sent_is_told_apart_without_naming_the_query(#[case] url: &str) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let sent = HttpClient::new(Limits::default()).send(get(url.replace("PORT", &port.to_string()))).await;
        let Err(HttpError::NotSent(source)) = sent else { panic!("{sent:?}") };
        assert!(!format!("{source:?} {source}").contains("5558675310"), "{source:?}");
    }

    #[test]
    fn a_client_costs_nothing_before_its_first_request() {
        let Transport::Network { client, .. } = HttpClient::new(Limits::default()).transport else {
            panic!()
        };
        assert!(!client.initialized());
    }
}
