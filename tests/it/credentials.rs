//! The account of live mode: given by an admin, kept encrypted, used after a restart, and never seen again.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::http::header::CONTENT_TYPE;
use relay::config::Config;
use relay::services::audit::{Verdict, verify};
use relay::services::tokens;
use relay::{Options, Running};
use relay_core::clock::ManualClock;
use relay_core::token::Role;
use rstest::rstest;
use rusqlite::Connection;
use shared::ids::AgentId;
use shared::ipc::Client;
use shared::model::{Channel, SecretText, Timestamp};
use shared::paths::Paths;
use shared::protocol::{
    ErrorCode, Hello, PROTOCOL_VERSION, PeerProgram, ProviderRegistered, RegisterProvider, SendMessage,
};
use tempfile::TempDir;
use tests::emulators::twilio::{Emulator, Fault};
use tests::refusal::refusal;
use tests::relay::{OUR_NUMBER, PERSON, PUBLIC_URL, text_form};
use tests::signing::{encode_form, sign_form};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

const SID: &str = "AC00000000000000000000000000000001";
const KEY: &str = "SK00000000000000000000000000000001";
/// The emulator's.
const TOKEN: &str = "token-of-the-emulator";
const OTHER_TOKEN: &str = "another-kanarienvogel";
const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);

/// A data folder, in which one relay after another may run.
struct Home(TempDir);

/// A relay, and a session with an admin's token.
struct Live {
    running: Running,
    admin: Client,
}

impl Home {
    fn new() -> Result<Self> {
        Ok(Self(tempfile::tempdir()?))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn paths(&self) -> Result<Paths> {
        Ok(Paths::resolve(Some(self.path().to_owned()))?)
    }

    /// A live relay with no account but the one that is stored.
    async fn live(&self, base_url: &str) -> Result<Live> {
        self.start(base_url, &[("COMMS_MODE", "live")]).await
    }

    /// A live relay whose settings name the emulator's account.
    async fn live_by_settings(&self, base_url: &str) -> Result<Live> {
        let account = [("TWILIO_ACCOUNT_SID", SID), ("TWILIO_AUTH_TOKEN", TOKEN)];
        self.start(base_url, &[&[("COMMS_MODE", "live")], &account[..]].concat()).await
    }

    async fn start(&self, base_url: &str, variables: &[(&str, &str)]) -> Result<Live> {
        let more = [
            ("COMMS_PUBLIC__LISTEN", "127.0.0.1:0"),
            ("COMMS_ADMIN__LISTEN", "127.0.0.1:0"),
            ("COMMS_PUBLIC__URL", PUBLIC_URL),
            ("COMMS_POLICY__RECIPIENTS", "open"),
            ("COMMS_TWILIO__BASE_URL", base_url),
            ("TWILIO_PHONE_NUMBER", OUR_NUMBER),
        ];
        let variables = variables.iter().chain(&more);
        let variables = variables.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let config = Config::from_parts("", "no file", variables)?;
        let options = Options { paths: self.paths()?, clock: Arc::new(ManualClock::new(NOW)) };
        let running = relay::start(config, options).await?;
        let (db, default) = (&running.app().db, AgentId::default_agent());
        let token = tokens::create(db, &default, Role::Admin, None, NOW).await?.secret.expose().to_owned();
        let client = PeerProgram { name: "test".to_owned(), version: "0".to_owned() };
        let hello = Hello { protocol: PROTOCOL_VERSION, client, host: None, token: Some(token) };
        let admin = Client::connect(&self.paths()?.socket(), &hello).await?;
        Ok(Live { running, admin })
    }

    /// Leaves the emulator's account in the folder.
    async fn with_account(twilio: &Emulator) -> Result<Self> {
        let home = Self::new()?;
        let live = home.live_by_settings(&twilio.settings.base_url).await?;
        live.admin.call(account(TOKEN)).await?;
        live.stop().await?;
        Ok(home)
    }

    /// Why no relay starts here.
    async fn refuses_to_start(&self) -> Result<String> {
        let problem = self.live("http://127.0.0.1:9").await.err().context("it starts")?;
        Ok(format!("{problem:#}"))
    }

    /// Whether a file of this folder holds these bytes.
    fn holds(&self, bytes: &[u8]) -> Result<bool> {
        for entry in fs::read_dir(self.path())? {
            // A socket cannot be read.
            let content = fs::read(entry?.path()).unwrap_or_default();
            if content.windows(bytes.len()).any(|window| window == bytes) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Live {
    /// What a text gets that is signed with this token.
    async fn answer_to_text_signed_with(&self, token: &str) -> Result<u16> {
        let path = "/webhooks/default/sms";
        let form = text_form("SM00000000000000000000000000000001", PERSON, "hello");
        let signature = sign_form(token, &format!("{PUBLIC_URL}{path}"), &form);
        let url = format!("http://{}{path}", self.running.addresses().public);
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build()?;
        let request = client.post(url).body(encode_form(&form)).header("x-twilio-signature", signature);
        Ok(request
            .header("content-type", "application/x-www-form-urlencoded")
            .send()
            .await?
            .status()
            .as_u16())
    }

    async fn stop(self) -> Result<()> {
        let verdict = verify(&self.running.app().db).await?;
        self.running.stop().await;
        anyhow::ensure!(matches!(verdict, Verdict::Whole { .. }), "{verdict:?}");
        Ok(())
    }
}

fn account(token: &str) -> RegisterProvider {
    credentials(&[("accountSid", SID), ("authToken", token)])
}

fn credentials(given: &[(&str, &str)]) -> RegisterProvider {
    let credentials = given.iter().map(|(name, value)| ((*name).to_owned(), SecretText::new(*value)));
    RegisterProvider {
        provider: "twilio".to_owned(),
        credentials: credentials.collect(),
        verify: None,
        activate: None,
    }
}

fn untried(token: &str) -> RegisterProvider {
    RegisterProvider { verify: Some(false), ..account(token) }
}

fn registered(status: &str, account: Option<&str>) -> ProviderRegistered {
    ProviderRegistered {
        provider: "twilio".to_owned(),
        status: status.to_owned(),
        capabilities: vec![Channel::Sms, Channel::Whatsapp, Channel::Voice],
        account: account.map(str::to_owned),
    }
}

async fn emulator() -> Result<Emulator> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Emulator::start(OUR_NUMBER.parse()?).await
}

/// How many rows there are.
fn stored(home: &Home) -> Result<u32> {
    let db = Connection::open(home.path().join("comms.db"))?;
    Ok(db.query_row("SELECT count(*) FROM provider_credentials", [], |row| row.get(0))?)
}

#[tokio::test]
async fn an_account_that_an_admin_gives_is_used_after_a_restart_without_any_variable() -> Result<()> {
    let (home, twilio) = (Home::new()?, emulator().await?);
    let live = home.live_by_settings(&twilio.settings.base_url).await?;
    let given = live.admin.call(account(TOKEN)).await?.reply;
    live.stop().await?;
    // The settings' own account stays in use.
    assert_eq!(given, registered("stored", Some("Simulated account")));
    let live = home.live(&twilio.settings.base_url).await?;
    let sent = live.admin.call(SendMessage::sms(PERSON, "hello")).await?.reply;
    assert!(sent.external_id.is_some(), "{sent:?}");
    assert_eq!(live.answer_to_text_signed_with(TOKEN).await?, 200);
    live.stop().await
}

#[tokio::test]
async fn in_a_live_relay_with_a_stored_account_another_one_is_used_at_once() -> Result<()> {
    let twilio = emulator().await?;
    let home = Home::with_account(&twilio).await?;
    let live = home.live(&twilio.settings.base_url).await?;
    assert_eq!(live.answer_to_text_signed_with(OTHER_TOKEN).await?, 403);
    assert_eq!(live.admin.call(untried(OTHER_TOKEN)).await?.reply, registered("active", None));
    let answers =
        [live.answer_to_text_signed_with(OTHER_TOKEN).await?, live.answer_to_text_signed_with(TOKEN).await?];
    assert_eq!(answers, [200, 403]);
    let with_the_wrong_token = refusal(live.admin.call(SendMessage::sms(PERSON, "hello")).await)?;
    assert_eq!(with_the_wrong_token.code, ErrorCode::ProviderRejected);
    assert_eq!(live.admin.call(account(TOKEN)).await?.reply, registered("active", Some("Simulated account")));
    assert!(live.admin.call(SendMessage::sms(PERSON, "hello")).await.is_ok());
    live.stop().await
}

#[tokio::test]
async fn demo_mode_keeps_an_account_for_later() -> Result<()> {
    let (home, twilio) = (Home::new()?, emulator().await?);
    let demo = home.start(&twilio.settings.base_url, &[]).await?;
    assert_eq!(demo.admin.call(account(TOKEN)).await?.reply, registered("stored", Some("Simulated account")));
    let asked = twilio.received().len();
    assert!(demo.admin.call(SendMessage::sms(PERSON, "hello")).await.is_ok());
    assert_eq!(twilio.received().len(), asked, "something left the machine");
    demo.stop().await?;
    let live = home.live(&twilio.settings.base_url).await?;
    assert_eq!(live.answer_to_text_signed_with(TOKEN).await?, 200);
    live.stop().await
}

#[rstest]
#[case::with_a_wrong_token(Fault::None, account(OTHER_TOKEN), ErrorCode::ProviderRejected)]
#[case::that_is_not_accepted(Fault::Status(401), account(TOKEN), ErrorCode::ProviderRejected)]
#[case::that_is_not_paid(Fault::Status(402), account(TOKEN), ErrorCode::ProviderRejected)]
#[case::that_is_forbidden(Fault::Status(403), account(TOKEN), ErrorCode::ProviderRejected)]
#[case::asked_about_too_often(Fault::Status(429), account(TOKEN), ErrorCode::ProviderUnavailable)]
#[case::whose_provider_fails(Fault::Status(500), account(TOKEN), ErrorCode::ProviderUnavailable)]
#[case::whose_provider_is_silent(Fault::Silence, account(TOKEN), ErrorCode::ProviderUnavailable)]
#[case::whose_provider_hangs_up(Fault::Break, account(TOKEN), ErrorCode::ProviderUnavailable)]
#[case::whose_provider_talks_nonsense(Fault::Garbage, account(TOKEN), ErrorCode::ProviderUnavailable)]
#[case::with_a_wrong_key(
    Fault::None,
    credentials(&[("accountSid", SID), ("authToken", TOKEN), ("apiKey", KEY), ("apiSecret", OTHER_TOKEN)]),
    ErrorCode::ProviderRejected
)]
#[case::without_a_token(Fault::None, credentials(&[("accountSid", SID)]), ErrorCode::InvalidInput)]
#[tokio::test]
async fn nothing_is_stored_of_an_account(
    #[case] fault: Fault,
    #[case] call: RegisterProvider,
    #[case] code: ErrorCode,
) -> Result<()> {
    let (home, twilio) = (Home::new()?, emulator().await?);
    let demo = home.start(&twilio.settings.base_url, &[]).await?;
    twilio.fail(fault);
    let refused = refusal(demo.admin.call(call).await)?;
    demo.stop().await?;
    let said = serde_json::to_string(&refused)?;
    let repeated: Vec<_> =
        [SID, TOKEN, OTHER_TOKEN].into_iter().filter(|secret| said.contains(secret)).collect();
    assert_eq!((refused.code, stored(&home)?, repeated), (code, 0, vec![]), "{said}");
    Ok(())
}

/// The carrier has no such account.
#[tokio::test]
async fn nothing_is_stored_of_a_suspended_account() -> Result<()> {
    let home = Home::new()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let base_url = format!("http://{}", listener.local_addr()?);
    let account_of_nobody = r#"{"friendly_name":"Nobody's","status":"suspended","type":"Full"}"#;
    let answer = async move || ([(CONTENT_TYPE, "application/json")], account_of_nobody);
    let mut server = JoinSet::new();
    server.spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    let demo = home.start(&base_url, &[]).await?;
    let refused = refusal(demo.admin.call(account(TOKEN)).await)?;
    demo.stop().await?;
    let said = "The account is suspended or closed. Nothing was stored.";
    assert_eq!((refused.code, refused.message.as_str()), (ErrorCode::ProviderRejected, said));
    assert_eq!(stored(&home)?, 0);
    Ok(())
}

#[tokio::test]
async fn active_credentials_are_not_lost_to_inactive_ones() -> Result<()> {
    let twilio = emulator().await?;
    let home = Home::with_account(&twilio).await?;
    let live = home.live(&twilio.settings.base_url).await?;
    let inactive = RegisterProvider { activate: Some(false), ..untried(OTHER_TOKEN) };
    assert_eq!(refusal(live.admin.call(inactive).await)?.code, ErrorCode::InvalidInput);
    live.stop().await?;
    let live = home.live(&twilio.settings.base_url).await?;
    assert_eq!(live.answer_to_text_signed_with(TOKEN).await?, 200);
    live.stop().await
}

#[tokio::test]
async fn inactive_credentials_are_not_used() -> Result<()> {
    let home = Home::new()?;
    let demo = home.start("http://127.0.0.1:9", &[]).await?;
    let inactive = RegisterProvider { activate: Some(false), ..untried(TOKEN) };
    assert_eq!(demo.admin.call(inactive).await?.reply, registered("stored", None));
    demo.stop().await?;
    assert!(home.refuses_to_start().await?.contains("live mode has no Twilio account"));
    Ok(())
}

#[tokio::test]
async fn without_any_account_the_start_names_both_ways() -> Result<()> {
    let line = "live mode has no Twilio account: set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN, or run `comms-relay \
                provider set twilio`, or go back to `mode = \"demo\"`";
    assert_eq!(Home::new()?.refuses_to_start().await?, line);
    Ok(())
}

#[tokio::test]
async fn no_file_holds_what_was_given() -> Result<()> {
    let (home, twilio) = (Home::new()?, emulator().await?);
    let demo = home.start(&twilio.settings.base_url, &[]).await?;
    let key = [("accountSid", SID), ("authToken", TOKEN), ("apiKey", KEY), ("apiSecret", OTHER_TOKEN)];
    demo.admin.call(RegisterProvider { verify: Some(false), ..credentials(&key) }).await?;
    demo.admin.call(account(TOKEN)).await?;
    let held = |text: &str| home.holds(text.as_bytes());
    // What is no secret is found, so what is not found is not there.
    let while_it_runs = [held("Simulated account")?, held(TOKEN)?, held(OTHER_TOKEN)?, held(KEY)?];
    demo.stop().await?;
    let afterwards = [held("Simulated account")?, held(TOKEN)?, held(OTHER_TOKEN)?, held(KEY)?];
    assert_eq!([while_it_runs, afterwards], [[true, false, false, false]; 2]);
    Ok(())
}

#[tokio::test]
async fn a_key_that_others_can_read_is_refused() -> Result<()> {
    let home = Home::with_account(&emulator().await?).await?;
    let path = home.path().join("credentials.key");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640))?;
    let said = home.refuses_to_start().await?;
    assert!(said.contains("is open to other users") && said.contains("chmod 600"), "{said}");
    Ok(())
}

#[tokio::test]
async fn without_its_key_an_account_is_refused_by_the_keys_name() -> Result<()> {
    let home = Home::with_account(&emulator().await?).await?;
    let db = Connection::open(home.path().join("comms.db"))?;
    let key: String = db.query_row("SELECT key_id FROM provider_credentials", [], |row| row.get(0))?;
    fs::remove_file(home.path().join("credentials.key"))?;
    let said = home.refuses_to_start().await?;
    assert!(said.contains(&format!("encrypted with another key ({key})")), "{said}");
    Ok(())
}

#[rstest]
#[case::of_another_version("version = version + 1")]
#[case::with_another_nonce("nonce = 'AAAAAAAAAAAAAAAA'")]
#[case::that_is_no_secret("sealed = 'AAAA'")]
#[tokio::test]
async fn a_row_is_refused(#[case] change: &str) -> Result<()> {
    let home = Home::with_account(&emulator().await?).await?;
    let db = Connection::open(home.path().join("comms.db"))?;
    db.execute_batch(&format!("UPDATE provider_credentials SET {change}"))?;
    drop(db);
    let said = home.refuses_to_start().await?;
    assert!(said.contains("were changed or moved"), "{said}");
    Ok(())
}

#[tokio::test]
async fn the_audit_log_names_who_stored_what_and_no_secret() -> Result<()> {
    let home = Home::with_account(&emulator().await?).await?;
    let db = Connection::open(home.path().join("comms.db"))?;
    let mut entries = db.prepare("SELECT entry FROM audit_log WHERE entry LIKE '%provider.registered%'")?;
    let entries: Vec<String> = entries.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let [entry] = &entries[..] else { panic!("{entries:?}") };
    let found: BTreeMap<_, _> = ["admin:", "twilio", "verified", TOKEN, SID]
        .into_iter()
        .map(|word| (word, entry.contains(word)))
        .collect();
    let expected = [("admin:", true), ("twilio", true), ("verified", true), (TOKEN, false), (SID, false)];
    assert_eq!(found, expected.into_iter().collect(), "{entry}");
    Ok(())
}
