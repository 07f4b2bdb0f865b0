//! A small relay for the simulated carrier to talk to: takes its webhooks, answers with TwiML, and speaks at the
//! other end of its WebSocket.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use relay_core::signature::{Body, Keys, SignedRequest, verify};
use relay_providers::http::Limits;
use relay_providers::simulated::{Carrier, CarrierSettings, Hooks};
use relay_providers::{OutboundCall, OutboundMessage, ProviderSettings, Providers, Secret, build};
use serde_json::{Value, json};
use shared::ids::CallSid;
use shared::model::{CallStatus, Channel, PhoneNumber};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

const TOKEN: &str = "token-of-the-carrier";
pub(super) const ACCOUNT: &str = "AC00000000000000000000000000000002";
/// Long enough for a slow machine; nothing waits for it to pass.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// A webhook that came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Post {
    pub(super) path: String,
    pub(super) form: BTreeMap<String, String>,
}

impl Post {
    pub(super) fn field(&self, name: &str) -> &str {
        self.form.get(name).map_or("", String::as_str)
    }
}

/// A running peer with a carrier whose one number of ours it serves.
pub(super) struct Peer {
    pub(super) carrier: Arc<Carrier>,
    pub(super) providers: Providers,
    base: String,
    shared: Arc<Shared>,
    _server: JoinSet<()>,
    _stop: DropGuard,
}

struct Shared {
    keys: Keys,
    base: String,
    posts: watch::Sender<Vec<Post>>,
    frames: watch::Sender<Vec<Value>>,
    documents: Mutex<VecDeque<String>>,
    /// What the whisper's address answers.
    whisper: Mutex<Option<String>>,
    /// How many sockets have come to their end.
    closed: watch::Sender<usize>,
}

pub(super) fn ours() -> PhoneNumber {
    "+15017122661".parse().unwrap()
}

pub(super) fn person() -> PhoneNumber {
    "+15558675310".parse().unwrap()
}

impl Peer {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let cancel = CancellationToken::new();
        let settings = CarrierSettings {
            account_sid: ACCOUNT.to_owned(),
            auth_token: Secret::new(TOKEN),
            spawn: TaskTracker::new(),
            cancel: cancel.clone(),
        };
        let providers = build(ProviderSettings::Simulated(settings), Limits::default());
        let carrier = providers.carrier.clone().expect("the simulated provider has its carrier");
        let hook = |path: &str| format!("{base}{path}#rc=2&rp=all");
        let hooks = Hooks { sms_url: hook("/sms"), voice_url: hook("/voice"), status_url: hook("/status") };
        carrier.attach(ours(), hooks);
        let shared = Arc::new(Shared {
            keys: Keys::new(TOKEN),
            base: base.clone(),
            posts: watch::Sender::new(Vec::new()),
            frames: watch::Sender::new(Vec::new()),
            documents: Mutex::default(),
            whisper: Mutex::default(),
            closed: watch::Sender::new(0),
        });
        let app =
            Router::new().route("/ws", get(upgrade)).fallback(any(webhook)).with_state(Arc::clone(&shared));
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { carrier, providers, base, shared, _server: server, _stop: cancel.drop_guard() }
    }

    /// What the next webhook that asks for TwiML gets. Without one it is `<Hangup/>`.
    pub(super) fn document(&self, twiml: &str) {
        self.shared.documents.lock().unwrap().push_back(format!("<Response>{twiml}</Response>"));
    }

    /// What a telephone that a call is put through to hears alone.
    pub(super) fn whisper(&self, twiml: &str) {
        *self.shared.whisper.lock().unwrap() = Some(format!("<Response>{twiml}</Response>"));
    }

    /// Waits until the carrier has left a socket.
    pub(super) async fn socket_closed(&self) {
        let mut closed = self.shared.closed.subscribe();
        let one = closed.wait_for(|closed| *closed > 0);
        tokio::time::timeout(PATIENCE, one).await.expect("the socket is closed in time").unwrap();
    }

    /// A text of ours.
    pub(super) fn message(&self, to: &PhoneNumber) -> OutboundMessage {
        OutboundMessage {
            channel: Channel::Sms,
            from: ours(),
            to: to.clone(),
            body: "hello".to_owned(),
            media_urls: Vec::new(),
            template: None,
            status_callback: Some(self.url("/status")),
        }
    }

    /// TwiML that connects the call to this peer's WebSocket.
    pub(super) fn connect(&self) -> String {
        let (socket, action) = (self.base.replacen("http", "ws", 1), format!("{}/action", self.base));
        format!(
            "<Connect action=\"{action}\"><ConversationRelay url=\"{socket}/ws\" welcomeGreeting=\"Welcome.\">\
             <Parameter name=\"session\" value=\"s1\"/></ConversationRelay></Connect>"
        )
    }

    pub(super) fn outbound(&self) -> OutboundCall {
        OutboundCall {
            from: ours(),
            to: person(),
            answer_url: format!("{}/voice", self.base),
            status_callback: format!("{}/status", self.base),
            ring_seconds: 30,
            time_limit_seconds: 600,
            detect_voicemail: false,
        }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// The webhooks on `path`, once there are `count` of them.
    pub(super) async fn posts(&self, path: &str, count: usize) -> Vec<Post> {
        let mut posts = self.shared.posts.subscribe();
        let on_path = |posts: &Vec<Post>| posts.iter().filter(|post| post.path == path).count();
        let enough = posts.wait_for(|posts| on_path(posts) >= count);
        tokio::time::timeout(PATIENCE, enough).await.expect("the webhooks come in time").unwrap();
        self.shared.posts.borrow().iter().filter(|post| post.path == path).cloned().collect()
    }

    /// The frames from the carrier, once there are `count` of them.
    pub(super) async fn frames(&self, count: usize) -> Vec<Value> {
        let mut frames = self.shared.frames.subscribe();
        let enough = frames.wait_for(|frames| frames.len() >= count);
        tokio::time::timeout(PATIENCE, enough).await.expect("the frames come in time").unwrap().clone()
    }

    /// What the person has heard, once the call is over.
    pub(super) async fn heard_to_the_end(&self, call: &CallSid) -> (Vec<String>, CallStatus) {
        self.carrier.heard(call, usize::MAX, PATIENCE).await.unwrap()
    }

    /// What the person has heard, once it is `count` utterances.
    pub(super) async fn heard(&self, call: &CallSid, count: usize) -> Vec<String> {
        self.carrier.heard(call, count - 1, PATIENCE).await.unwrap().0
    }
}

async fn webhook(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap, body: String) -> Response {
    let form: Vec<(Cow<'_, str>, Cow<'_, str>)> = form_urlencoded::parse(body.as_bytes()).collect();
    if !is_signed(&shared, &format!("{}{uri}", shared.base), Body::Form(&form), &headers) {
        return StatusCode::FORBIDDEN.into_response();
    }
    assert!(headers.contains_key("i-twilio-idempotency-token"), "every webhook has a token");
    let path = uri.path().to_owned();
    let form = form.into_iter().map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
    shared.posts.send_modify(|posts| posts.push(Post { path: path.clone(), form }));
    let document = match path.as_str() {
        "/voice" | "/action" => shared.documents.lock().unwrap().pop_front(),
        "/whisper" => shared.whisper.lock().unwrap().clone(),
        _ => Some("<Response/>".to_owned()),
    };
    let document = document.unwrap_or_else(|| "<Response><Hangup/></Response>".to_owned());
    ([("content-type", "text/xml")], document).into_response()
}

fn is_signed(shared: &Shared, url: &str, body: Body<'_>, headers: &HeaderMap) -> bool {
    let signature =
        headers.get("x-twilio-signature").and_then(|value| value.to_str().ok()).unwrap_or_default();
    verify(&shared.keys, &SignedRequest { url, body, signature, settings: None }).is_ok()
}

async fn upgrade(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let url = format!("{}{uri}", shared.base.replacen("http", "ws", 1));
    if !is_signed(&shared, &url, Body::None, &headers) {
        return StatusCode::FORBIDDEN.into_response();
    }
    upgrade.on_upgrade(async move |socket| {
        converse(socket, &shared).await;
        shared.closed.send_modify(|closed| *closed += 1);
    })
}

/// Does what the person's words ask for.
async fn converse(mut socket: WebSocket, shared: &Shared) {
    while let Some(Ok(Message::Text(text))) = socket.recv().await {
        let frame: Value = serde_json::from_str(&text).unwrap();
        shared.frames.send_modify(|frames| frames.push(frame.clone()));
        let answers = match frame["voicePrompt"].as_str() {
            None => vec![],
            Some("goodbye") => vec![json!({ "type": "end", "handoffData": "{\"reason\":\"done\"}" })],
            Some("keys") => vec![json!({ "type": "sendDigits", "digits": "12#" })],
            Some("drop") => return,
            Some("nonsense") => vec![json!({ "type": "nonsense" }); 10],
            Some(words) => vec![
                json!({ "type": "text", "token": "You said ", "last": false }),
                json!({ "type": "text", "token": format!("{words}."), "last": true }),
            ],
        };
        for answer in answers {
            let sent = socket.send(Message::Text(Utf8Bytes::from(answer.to_string()))).await;
            if sent.is_err() {
                return;
            }
        }
    }
}
