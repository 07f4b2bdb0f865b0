//! Twilio's REST API on a socket: the simulated carrier behind an HTTP server that can also fail, and that holds
//! every request against the vendor's own document.

use std::sync::{Arc, Mutex};

use anyhow::Context;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64;
use relay_providers::Secret;
use relay_providers::http::HttpRequest;
use relay_providers::simulated::{Carrier, CarrierSettings, Hooks};
use relay_providers::twilio::{Auth, Settings};
use shared::model::PhoneNumber;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::openapi::Spec;

const ACCOUNT: &str = "AC00000000000000000000000000000001";
const TOKEN: &str = "token-of-the-emulator";
const KEY: &str = "SK00000000000000000000000000000001";
const KEY_SECRET: &str = "secret-of-the-key";
const MEBIBYTE: usize = 1024 * 1024;

/// How an exchange goes wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    #[default]
    None,
    /// Takes the request and never answers.
    Silence,
    /// Takes the request and breaks the connection.
    Break,
    /// Does nothing and answers with this status and no JSON.
    Status(u16),
    /// Takes the request and answers 201 with something else than JSON.
    Garbage,
    /// Takes the request and answers 201 with one byte more than a mebibyte.
    Flood,
}

/// A request as it came over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    pub method: String,
    /// Path and query.
    pub target: String,
    pub content_type: Option<String>,
    pub body: Vec<u8>,
}

/// Which exchanges a fault hits.
type Hits = fn(&Received) -> bool;

/// The vendor's document of the API, cut down to the operations that matter here.
#[must_use]
pub fn spec() -> Spec {
    Spec::load(include_str!("../fixtures/twilio_api_v2010.json")).expect("the fixture is an OpenAPI document")
}

/// A running emulator; stops when it is dropped.
pub struct Emulator {
    pub carrier: Arc<Carrier>,
    /// What an adapter needs to reach it.
    pub settings: Settings,
    shared: Arc<Shared>,
    _server: JoinSet<()>,
    _stop: DropGuard,
}

struct Shared {
    carrier: Arc<Carrier>,
    fault: Mutex<(Fault, Hits)>,
    received: Mutex<Vec<Received>>,
}

impl Emulator {
    /// Listens on a free port, with `number` as the account's own.
    pub async fn start(number: PhoneNumber) -> anyhow::Result<Self> {
        let cancel = CancellationToken::new();
        let carrier = Carrier::new(CarrierSettings {
            account_sid: ACCOUNT.to_owned(),
            auth_token: Secret::new(TOKEN),
            spawn: TaskTracker::new(),
            cancel: cancel.clone(),
        });
        let nowhere = "http://127.0.0.1:9/".to_owned();
        let hooks = Hooks { sms_url: nowhere.clone(), voice_url: nowhere.clone(), status_url: nowhere };
        carrier.attach(number, hooks);
        let shared = Arc::new(Shared {
            carrier: Arc::clone(&carrier),
            fault: Mutex::new((Fault::None, |_| true)),
            received: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.context("bind the emulator")?;
        let settings = Settings {
            base_url: format!("http://{}", listener.local_addr()?),
            account_sid: ACCOUNT.to_owned(),
            auth: Auth::Token(Secret::new(TOKEN)),
        };
        let app = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, app).await.expect("axum serves for ever") });
        Ok(Self { carrier, settings, shared, _server: server, _stop: cancel.drop_guard() })
    }

    /// From here on, exchanges go wrong in this way.
    pub fn fail(&self, fault: Fault) {
        self.fail_at(|_| true, fault);
    }

    /// From here on, these exchanges go wrong in this way, and no others.
    pub fn fail_at(&self, hits: fn(&Received) -> bool, fault: Fault) {
        *self.shared.fault.lock().expect("no test panics while it holds the lock") = (fault, hits);
    }

    /// Every request so far.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().expect("no test panics while it holds the lock").clone()
    }

    /// What an adapter needs that has a standard API key, which may not ask what the account is.
    #[must_use]
    pub fn key_settings(&self) -> Settings {
        let auth = Auth::ApiKey { sid: KEY.to_owned(), secret: Secret::new(KEY_SECRET) };
        Settings { auth, ..self.settings.clone() }
    }

    /// Everything so far that the vendor's document does not allow.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let spec = spec();
        let check = |request: Received| {
            let Received { method, target, content_type, body } = request;
            let url = format!("https://api.twilio.com{target}");
            let problems = spec.check(&method, &url, content_type.as_deref(), &body);
            problems.into_iter().map(move |problem| format!("{method} {target}: {problem}"))
        };
        self.received().into_iter().flat_map(check).collect()
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let body = to_bytes(body, MEBIBYTE).await.unwrap_or_default().to_vec();
    let content_type =
        parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (method, target) = (parts.method.to_string(), parts.uri.to_string());
    let received = Received { method, target, content_type, body: body.clone() };
    let (fault, hits) = *shared.fault.lock().expect("no test panics while it holds the lock");
    let fault = if hits(&received) { fault } else { Fault::None };
    shared.received.lock().expect("no test panics while it holds the lock").push(received);
    if let Fault::Status(status) = fault {
        return StatusCode::from_u16(status).expect("tests use real statuses").into_response();
    }
    if parts.headers.get(AUTHORIZATION) == Some(&basic(KEY, KEY_SECRET)) {
        if parts.uri.path() == format!("/2010-04-01/Accounts/{ACCOUNT}.json") {
            return (StatusCode::UNAUTHORIZED, r#"{"code":20003,"status":401}"#).into_response();
        }
        parts.headers.insert(AUTHORIZATION, basic(ACCOUNT, TOKEN));
    }
    let url = format!("http://emulator{}", parts.uri);
    let taken =
        shared.carrier.handle(&HttpRequest { method: parts.method, url, headers: parts.headers, body });
    match fault {
        Fault::None | Fault::Status(_) => {
            let status = StatusCode::from_u16(taken.status).expect("the carrier answers with real statuses");
            (status, taken.headers, taken.body).into_response()
        }
        Fault::Silence => std::future::pending().await,
        Fault::Break => {
            let broken =
                futures_util::stream::once(async { Err::<Vec<u8>, _>(std::io::Error::other("broken")) });
            Body::from_stream(broken).into_response()
        }
        Fault::Garbage => (StatusCode::CREATED, "<html>It works!</html>").into_response(),
        Fault::Flood => (StatusCode::CREATED, vec![b' '; MEBIBYTE + 1]).into_response(),
    }
}

fn basic(user: &str, password: &str) -> HeaderValue {
    let credentials = BASE64.encode(format!("{user}:{password}").as_bytes());
    HeaderValue::try_from(format!("Basic {credentials}"))
        .expect("base64 has only characters that a header may have")
}
