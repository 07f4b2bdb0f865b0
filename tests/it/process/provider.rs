//! `comms-relay provider`: what is entered is stored, used by the next start, and never said by anybody.

mod rotation;
mod terminal;

use std::process::Stdio;

use anyhow::{Context, Result};
use rstest::rstest;
use serde_json::{Value, json};
use shared::ipc::Client;
use shared::model::SecretText;
use shared::protocol::{Hello, PROTOCOL_VERSION, PeerProgram, RegisterProvider, SendMessage};
use tests::emulators::twilio::Emulator;
use tests::process::{Home, RelayProcess};
use tests::relay::{OUR_NUMBER, PERSON, PUBLIC_URL};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

use super::carrier::TOKEN;
use super::{Ended, PATIENCE, comms_relay, programs, session, until};

const SID: &str = "AC00000000000000000000000000000001";
const OTHER_TOKEN: &str = "another-kanarienvogel";

/// What a relay with a stored account is started with.
fn live(base_url: &str) -> [(&str, &str); 5] {
    [
        ("COMMS_MODE", "live"),
        ("COMMS_PUBLIC__URL", PUBLIC_URL),
        ("COMMS_POLICY__RECIPIENTS", "open"),
        ("COMMS_TWILIO__BASE_URL", base_url),
        ("TWILIO_PHONE_NUMBER", OUR_NUMBER),
    ]
}

async fn emulator() -> Result<Emulator> {
    Emulator::start(OUR_NUMBER.parse()?).await
}

/// Runs `comms-relay provider` with these lines on its standard input.
async fn provider(home: &Home, arguments: &[&str], env: &[(&str, &str)], lines: &str) -> Result<Ended> {
    let mut command = Command::new(&programs().await?.relay);
    command.arg("provider").args(arguments).env_clear().envs(env.iter().copied());
    command.env("HOME", home.path()).env("COMMS_HOME", home.path()).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let mut stdin = child.stdin.take().context("stdin is no pipe")?;
    // It may end without having read anything.
    drop(stdin.write_all(lines.as_bytes()).await);
    drop(stdin);
    let output = timeout(PATIENCE, child.wait_with_output()).await.context("it does not end")??;
    let (stdout, stderr) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
    Ok(Ended { code: output.status.code(), stdout, stderr })
}

fn account(token: &str) -> String {
    format!("accountSid={SID}\nauthToken={token}\n")
}

async fn listed(home: &Home) -> Result<Value> {
    let list = comms_relay(home, &["provider", "list", "--json"], &[]).await?;
    Ok(serde_json::from_str(&list.stdout)?)
}

/// A session with an admin's token.
async fn admin(home: &Home) -> Result<Client> {
    let created = comms_relay(home, &["token", "create", "--admin"], &[]).await?;
    let token = created.stdout.lines().next().map(str::to_owned);
    let client = PeerProgram { name: "test".to_owned(), version: "0".to_owned() };
    let hello = Hello { protocol: PROTOCOL_VERSION, client, host: None, token };
    Client::connect(&home.paths().socket(), &hello).await.context("the session is refused")
}

/// Everything that was said, which must hold no secret.
fn said(all: &[&Ended]) -> String {
    let said: String = all.iter().map(|ended| format!("{}{}", ended.stdout, ended.stderr)).collect();
    let repeated: Vec<_> = [TOKEN, OTHER_TOKEN].into_iter().filter(|secret| said.contains(secret)).collect();
    assert_eq!(repeated, [""; 0], "{said}");
    said
}

#[tokio::test]
async fn an_account_is_set_listed_tested_used_and_removed() -> Result<()> {
    let (home, twilio) = (Home::temp(), emulator().await?);
    let live = live(&twilio.settings.base_url);
    let before = comms_relay(&home, &["run"], &live).await?;
    let set = provider(&home, &["set", "twilio"], &live, &account(TOKEN)).await?;
    let list = comms_relay(&home, &["provider", "list"], &[]).await?;
    let test = comms_relay(&home, &["provider", "test", "twilio"], &live).await?;
    let relay = RelayProcess::start(&home, &live).await?;
    let sent = session(&home).await?.call(SendMessage::sms(PERSON, "hello")).await;
    relay.terminate().await?;
    let remove = comms_relay(&home, &["provider", "remove", "twilio"], &[]).await?;
    let after = comms_relay(&home, &["run"], &live).await?;
    let codes = [&before, &set, &list, &test, &remove, &after].map(|ended| ended.code);
    let said = said(&[&before, &set, &list, &test, &remove, &after]);
    assert_eq!(codes, [Some(1), Some(0), Some(0), Some(0), Some(0), Some(1)], "{said}");
    assert!(sent.is_ok(), "{sent:?}");
    let line = "comms-relay: live mode has no Twilio account: set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN, or run \
                `comms-relay provider set twilio`, or go back to `mode = \"demo\"`\n";
    assert_eq!([before.stderr.as_str(), after.stderr.as_str()], [line, line]);
    assert_eq!(test.stdout, "twilio knows the account: Simulated account\n");
    Ok(())
}

#[tokio::test]
async fn the_providers_own_variables_are_stored() -> Result<()> {
    let (home, twilio) = (Home::temp(), emulator().await?);
    let live = live(&twilio.settings.base_url);
    let account = [("TWILIO_ACCOUNT_SID", SID), ("TWILIO_AUTH_TOKEN", TOKEN)];
    let set = provider(&home, &["set", "twilio"], &[&live[..], &account].concat(), "").await?;
    assert_eq!(set.code, Some(0), "{}", said(&[&set]));
    let mut listed = listed(&home).await?;
    let since = listed[0]["since"].take();
    assert!(since.is_string(), "{since}");
    let row = json!({
        "provider": "twilio", "active": true, "account": "Simulated account", "version": 1, "since": null,
    });
    assert_eq!(listed, json!([row]));
    Ok(())
}

#[rstest]
#[case::of_nobody("resend", String::new(), "`resend`")]
#[case::without_a_token("twilio", format!("accountSid={SID}"), "credentials.authToken")]
#[case::with_a_wrong_sid("twilio", format!("accountSid={TOKEN}\nauthToken={OTHER_TOKEN}"), "credentials.accountSid")]
#[case::with_a_wrong_name("twilio", format!("{}\n{TOKEN}={TOKEN}", account(TOKEN)), "credentials")]
#[case::with_a_wrong_line("twilio", format!("accountSid={SID}\n{TOKEN}"), "line 2")]
#[case::with_a_wrong_token("twilio", account(OTHER_TOKEN), "does not accept the authToken")]
#[tokio::test]
async fn an_account_is_refused_in_one_line(
    #[case] name: &str,
    #[case] lines: String,
    #[case] named: &str,
) -> Result<()> {
    let (home, twilio) = (Home::temp(), emulator().await?);
    let set = provider(&home, &["set", name], &live(&twilio.settings.base_url), &lines).await?;
    let said = said(&[&set]);
    assert_eq!((set.code, set.stdout.as_str(), set.stderr.lines().count()), (Some(1), "", 1), "{said}");
    assert!(said.contains(named), "{said}");
    assert_eq!(listed(&home).await?, json!([]));
    Ok(())
}

#[tokio::test]
async fn no_log_at_any_level_tells_what_was_registered() -> Result<()> {
    let (home, twilio) = (Home::temp(), emulator().await?);
    let stored = provider(&home, &["set", "twilio", "--no-verify"], &[], &account(TOKEN)).await?;
    let live = live(&twilio.settings.base_url);
    let relay = RelayProcess::start(&home, &[&live[..], &[("COMMS_LOG__LEVEL", "trace")]].concat()).await?;
    let admin = admin(&home).await?;
    for token in [TOKEN, OTHER_TOKEN] {
        let credentials = [("accountSid", SID), ("authToken", token)];
        let call = RegisterProvider {
            provider: "twilio".to_owned(),
            credentials: credentials.map(|(name, value)| (name.to_owned(), SecretText::new(value))).into(),
            verify: None,
            activate: None,
        };
        assert_eq!(admin.call(call).await.is_ok(), token == TOKEN);
    }
    until("the line", || relay.stderr().contains("used with other credentials")).await?;
    let log = Ended { code: None, stdout: String::new(), stderr: relay.stderr() };
    said(&[&stored, &log]);
    Ok(())
}
