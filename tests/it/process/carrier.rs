//! The carrier's end of a relay that runs as a process in live mode: signed webhooks and live-call sockets.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::SinkExt;
use futures_util::future::join_all;
use serde_json::json;
use tests::process::RelayProcess;
use tests::relay::{OUR_NUMBER, PERSON, PUBLIC_URL, text_form};
use tests::signing::{encode_form, sign_form, sign_url};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{WebSocketStream, client_async};

const ACCOUNT: &str = "AC00000000000000000000000000000001";
/// What both ends sign with.
pub(super) const TOKEN: &str = "token-of-the-emulator";
const CONNECTIONS: u32 = 8;
const FORM: &str = "application/x-www-form-urlencoded";

/// The settings of a relay that takes our webhooks for genuine, and can reach nobody.
pub(super) const LIVE: [(&str, &str); 9] = [
    ("COMMS_MODE", "live"),
    ("COMMS_POLICY__RECIPIENTS", "open"),
    ("COMMS_LIMITS__ACTIONS_PER_MINUTE", "100000"),
    ("COMMS_LIMITS__CALLS_PER_DAY_SAME_NUMBER", "100"),
    ("COMMS_PUBLIC__URL", PUBLIC_URL),
    ("COMMS_TWILIO__BASE_URL", "http://127.0.0.1:9"),
    ("TWILIO_ACCOUNT_SID", ACCOUNT),
    ("TWILIO_AUTH_TOKEN", TOKEN),
    ("TWILIO_PHONE_NUMBER", OUR_NUMBER),
];

/// Posts webhooks to one relay, and knows what it acknowledged.
#[derive(Clone)]
pub(super) struct Carrier {
    http: reqwest::Client,
    relay: SocketAddr,
    acked: Arc<Mutex<BTreeSet<String>>>,
}

impl Carrier {
    pub(super) fn of(relay: &RelayProcess) -> Result<Self> {
        // Plain HTTP only, but the client wants to know.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build()?;
        Ok(Self { http, relay: relay.public_addr(), acked: Arc::default() })
    }

    /// The texts that the relay has answered with 200.
    pub(super) fn acked(&self) -> BTreeSet<String> {
        self.acked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A text to the default agent; gives the status of the answer.
    pub(super) async fn text(&self, number: u32) -> Result<u16> {
        let sid = format!("SM{number:032x}");
        let form = text_form(&sid, PERSON, "are you there?");
        let (status, _) = self.post("/webhooks/default/sms", &form).await?;
        if status == 200 {
            self.acked.lock().unwrap_or_else(PoisonError::into_inner).insert(sid);
        }
        Ok(status)
    }

    /// Texts over several connections at once, until `count` are sent or the relay is gone.
    pub(super) async fn texts(&self, count: u32) {
        let next = &AtomicU32::new(0);
        let connection = || async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count || self.text(number).await.is_err() {
                    return;
                }
            }
        };
        join_all((0..CONNECTIONS).map(|_| connection())).await;
    }

    /// A form, signed; gives the answer's status and body.
    pub(super) async fn post(&self, path: &str, form: &[(&str, &str)]) -> Result<(u16, String)> {
        self.post_as(path, form, &sign_form(TOKEN, &format!("{PUBLIC_URL}{path}"), form)).await
    }

    /// A form with any signature.
    pub(super) async fn post_as(
        &self,
        path: &str,
        form: &[(&str, &str)],
        signature: &str,
    ) -> Result<(u16, String)> {
        let request = self.http.post(format!("http://{}{path}", self.relay)).body(encode_form(form));
        let request = request.header("content-type", FORM).header("x-twilio-signature", signature);
        let answer = request.send().await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }

    pub(super) async fn get(&self, path: &str) -> Result<(u16, String)> {
        let answer = self.http.get(format!("http://{}{path}", self.relay)).send().await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }

    /// A call from `from` to the default agent, connected to the relay.
    pub(super) async fn call(&self, call_sid: &str, from: &str) -> Result<WebSocketStream<TcpStream>> {
        let form = [("CallSid", call_sid), ("CallStatus", "ringing"), ("From", from), ("To", OUR_NUMBER)];
        let (_, twiml) = self.post("/webhooks/default/voice", &form).await?;
        let url = twiml.split_once(" url=\"").and_then(|(_, rest)| rest.split('"').next());
        let url = url.with_context(|| format!("the call is connected to nothing: {twiml}"))?;
        let path = url.splitn(4, '/').nth(3).context("the socket's address has no path")?;
        let mut request = format!("ws://{}/{path}", self.relay).into_client_request()?;
        request.headers_mut().insert("x-twilio-signature", sign_url(TOKEN, url).parse()?);
        let stream = TcpStream::connect(self.relay).await?;
        let (mut socket, _) = client_async(request, stream).await.context("failed to open the socket")?;
        let setup = json!({
            "type": "setup", "sessionId": "VX1", "accountSid": ACCOUNT, "callSid": call_sid, "from": from,
            "to": OUR_NUMBER, "direction": "inbound", "callType": "PSTN", "callStatus": "RINGING",
        });
        socket.send(Message::text(setup.to_string())).await?;
        Ok(socket)
    }
}
