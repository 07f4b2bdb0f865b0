//! A relay in the test's own process, on real sockets and a real database in a temporary folder.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use relay::config::Config;
use relay::services::audit::{Verdict, verify};
use relay::services::tokens;
use relay::{Options, Running};
use relay_core::clock::{Clock, ManualClock};
use relay_core::token::Role;
use relay_providers::simulated::Carrier;
use relay_providers::twilio::Auth;
use shared::ids::AgentId;
use shared::ipc::Client;
use shared::model::Timestamp;
use shared::paths::Paths;
use shared::protocol::{Hello, PROTOCOL_VERSION, PeerProgram};
use tempfile::TempDir;

use crate::emulators::twilio::Emulator;
use crate::signing;

/// The number of the default agent.
pub const OUR_NUMBER: &str = "+12025550100";
/// Somebody else's.
pub const PERSON: &str = "+12025550147";
/// What providers believe the relay's address to be.
pub const PUBLIC_URL: &str = "https://relay.test";

/// A running relay. [`TestRelay::stop`] must be called: it fails the test if the audit log is not whole.
pub struct TestRelay {
    running: Running,
    pub clock: ManualClock,
    home: TempDir,
    /// In live mode, what stands in for Twilio.
    pub twilio: Option<Emulator>,
    auth_token: String,
    http: reqwest::Client,
}

/// A webhook's answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: String,
    pub retry_after: Option<String>,
}

impl TestRelay {
    /// In demo mode: the simulated carrier calls us for real.
    pub async fn demo() -> Result<Self> {
        Self::demo_with("").await
    }

    /// In demo mode, with these settings besides.
    pub async fn demo_with(settings: &str) -> Result<Self> {
        Self::start("demo", settings, None, tempfile::tempdir()?).await
    }

    /// In live mode, with an emulator in the place of Twilio; webhooks are posted by the test.
    pub async fn live() -> Result<Self> {
        Self::live_with("").await
    }

    /// In live mode, with these settings besides.
    pub async fn live_with(settings: &str) -> Result<Self> {
        let twilio = Emulator::start(OUR_NUMBER.parse()?).await?;
        Self::start("live", settings, Some(twilio), tempfile::tempdir()?).await
    }

    async fn start(mode: &str, settings: &str, twilio: Option<Emulator>, home: TempDir) -> Result<Self> {
        let mut variables = vec![
            ("COMMS_MODE".to_owned(), mode.to_owned()),
            ("COMMS_PUBLIC__LISTEN".to_owned(), "127.0.0.1:0".to_owned()),
            ("COMMS_ADMIN__LISTEN".to_owned(), "127.0.0.1:0".to_owned()),
        ];
        variables.extend(wide_open(settings));
        let mut auth_token = String::new();
        if let Some(emulator) = &twilio {
            let Auth::Token(token) = &emulator.settings.auth else {
                anyhow::bail!("the emulator has a token")
            };
            token.expose().clone_into(&mut auth_token);
            let twilio = [
                ("COMMS_PUBLIC__URL", PUBLIC_URL),
                ("TWILIO_ACCOUNT_SID", &emulator.settings.account_sid),
                ("TWILIO_AUTH_TOKEN", &auth_token),
                ("TWILIO_PHONE_NUMBER", OUR_NUMBER),
                ("COMMS_TWILIO__BASE_URL", &emulator.settings.base_url),
            ];
            variables.extend(twilio.map(|(name, value)| (name.to_owned(), value.to_owned())));
        }
        let config = Config::from_parts(settings, "the test's settings", variables)?;
        let clock = ManualClock::new(Timestamp::from_millis(1_795_000_000_000));
        let paths = Paths::resolve(Some(home.path().to_owned()))?;
        let running = relay::start(config, Options { paths, clock: Arc::new(clock.clone()) }).await?;
        // Plain HTTP only, but the client wants to know.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build()?;
        Ok(Self { running, clock, home, twilio, auth_token, http })
    }

    /// Stops it and starts another one on the same folder.
    pub async fn restart(self, settings: &str) -> Result<Self> {
        let mode = if self.twilio.is_some() { "live" } else { "demo" };
        self.running.stop().await;
        Self::start(mode, settings, self.twilio, self.home).await
    }

    /// The carrier of demo mode.
    pub fn carrier(&self) -> Arc<Carrier> {
        self.running.app().providers().carrier.clone().expect("demo mode has a carrier")
    }

    pub fn app(&self) -> &relay::App {
        self.running.app()
    }

    /// The base address of the public listener.
    pub fn public(&self) -> String {
        format!("http://{}", self.running.addresses().public)
    }

    pub fn paths(&self) -> Paths {
        Paths::resolve(Some(self.home.path().to_owned())).expect("a given folder needs no home")
    }

    /// A session of the default agent.
    pub async fn session(&self) -> Result<Client> {
        self.session_as(None).await
    }

    /// A session with a token.
    pub async fn session_as(&self, token: Option<String>) -> Result<Client> {
        let client = PeerProgram { name: "test".to_owned(), version: "0".to_owned() };
        let hello = Hello { protocol: PROTOCOL_VERSION, client, host: None, token };
        Client::connect(&self.paths().socket(), &hello).await.context("the session is refused")
    }

    /// A session with an admin's token, who is the default agent where none is named.
    pub async fn admin(&self) -> Result<Client> {
        let (db, agent, now) = (&self.app().db, AgentId::default_agent(), self.clock.now());
        let token = tokens::create(db, &agent, Role::Admin, None, now).await?;
        self.session_as(Some(token.secret.expose().to_owned())).await
    }

    /// Posts a form to a path of the public listener, signed with the account's token.
    pub async fn post_signed(&self, path: &str, form: &[(&str, &str)]) -> Result<Answer> {
        let signature = signing::sign_form(&self.auth_token, &format!("{PUBLIC_URL}{path}"), form);
        self.post(path, form, &signature).await
    }

    /// Posts a form with any signature.
    pub async fn post(&self, path: &str, form: &[(&str, &str)], signature: &str) -> Result<Answer> {
        let body = signing::encode_form(form);
        self.post_raw(path, "application/x-www-form-urlencoded", body.into_bytes(), signature).await
    }

    /// Posts anything.
    pub async fn post_raw(
        &self,
        path: &str,
        content_type: &str,
        body: Vec<u8>,
        signature: &str,
    ) -> Result<Answer> {
        let request = self.http.post(format!("{}{path}", self.public()));
        let request = request.header("content-type", content_type).header("x-twilio-signature", signature);
        Self::answer(request.body(body).send().await?).await
    }

    async fn answer(response: reqwest::Response) -> Result<Answer> {
        let retry_after =
            response.headers().get("retry-after").and_then(|v| v.to_str().ok()).map(str::to_owned);
        Ok(Answer { status: response.status().as_u16(), body: response.text().await?, retry_after })
    }

    /// Gets a path of the public listener.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        Self::answer(self.http.get(format!("{}{path}", self.public())).send().await?).await
    }

    /// Signs an address of the live-call socket, as the carrier does before it opens it.
    pub fn sign_socket(&self, path: &str) -> String {
        signing::sign_url(&self.auth_token, &format!("{}{path}", PUBLIC_URL.replace("https", "wss")))
    }

    /// Stops the relay. Fails if the audit log is not whole.
    pub async fn stop(self) -> Result<()> {
        let verdict = verify(&self.running.app().db).await?;
        self.running.stop().await;
        match verdict {
            Verdict::Whole { .. } => Ok(()),
            Verdict::Broken(problem) => anyhow::bail!("the audit log is broken: {problem}"),
        }
    }
}

/// What lets a test send as much as it likes to whom it likes, unless its settings are about just that.
fn wide_open(settings: &str) -> Vec<(String, String)> {
    let limits = [
        ("ACTIONS_PER_MINUTE", "100000"),
        ("ACTIONS_PER_HOUR", "100000"),
        ("ACTIONS_PER_DAY", "100000"),
        ("SPEND_PER_DAY", "100000"),
        ("SPEND_PER_MONTH", "100000"),
        ("CALLS_PER_DAY_SAME_NUMBER", "100"),
    ];
    let mut variables = Vec::new();
    if !settings.contains("[limits]") {
        variables.extend(limits.map(|(name, value)| (format!("COMMS_LIMITS__{name}"), value.to_owned())));
    }
    if !settings.contains("[policy]") {
        variables.push(("COMMS_POLICY__RECIPIENTS".to_owned(), "open".to_owned()));
    }
    variables
}

/// The form of an inbound text.
#[must_use]
pub fn text_form<'a>(sid: &'a str, from: &'a str, body: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("MessageSid", sid),
        ("AccountSid", "AC00000000000000000000000000000001"),
        ("From", from),
        ("To", OUR_NUMBER),
        ("Body", body),
        ("NumMedia", "0"),
        ("ApiVersion", "2010-04-01"),
    ]
}
