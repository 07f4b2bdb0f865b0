//! Numbers that are paid for: what the operator sees and does by hand, and that a killed relay forgets none.

use anyhow::{Context, Result};
use relay_providers::build_twilio;
use relay_providers::http::Limits;
use serde_json::{Value, json};
use shared::ipc::Client;
use shared::model::Channel;
use shared::protocol::{Hello, PROTOCOL_VERSION, PeerProgram, ProvisionChannels};
use tests::emulators::twilio::{Emulator, Fault, Received};
use tests::process::{Home, RelayProcess};
use tests::relay::OUR_NUMBER;

use super::carrier::LIVE;
use super::{Ended, comms_relay};

/// What the provider offers first.
const OFFERED: &str = "+12125550100";
/// The account has it, and no agent.
const SPARE: &str = "+14155550123";

/// A relay that runs in live mode, with an emulator in the place of the provider.
struct Desk {
    home: Home,
    twilio: Emulator,
    relay: RelayProcess,
}

impl Desk {
    async fn open() -> Result<Self> {
        let (home, twilio) = (Home::temp(), Emulator::start(SPARE.parse()?).await?);
        let relay = RelayProcess::start(&home, &env(&twilio)).await?;
        Ok(Self { home, twilio, relay })
    }

    async fn number(&self, arguments: &[&str]) -> Result<Ended> {
        comms_relay(&self.home, &[&["number"], arguments].concat(), &env(&self.twilio)).await
    }

    async fn list(&self) -> Result<Value> {
        let listed = self.number(&["list", "--json"]).await?;
        serde_json::from_str(&listed.stdout).with_context(|| format!("no JSON: {listed:?}"))
    }
}

fn env(twilio: &Emulator) -> Vec<(&'static str, &str)> {
    let base_url = ("COMMS_TWILIO__BASE_URL", twilio.settings.base_url.as_str());
    LIVE.into_iter().filter(|(name, _)| *name != base_url.0).chain([base_url]).collect()
}

fn listed(number: &str, agent: Option<&str>, bought: bool) -> Value {
    let channels = if agent.is_some() { json!(["sms", "voice"]) } else { json!([]) };
    json!({
        "number": number,
        "channels": channels,
        "agentId": agent,
        "provider": "twilio",
        "bought": bought,
        "unsettled": null,
    })
}

#[tokio::test]
async fn an_attached_number_is_the_agents_and_posts_to_its_webhooks() -> Result<()> {
    let desk = Desk::open().await?;
    let attached = desk.number(&["attach", SPARE]).await?;
    assert_eq!((attached.code, attached.stderr.as_str()), (Some(0), ""));
    assert_eq!(desk.list().await?, json!([listed(SPARE, Some("default"), false)]));
    let told = desk.twilio.received().into_iter().find(|request| request.method == "POST");
    let told = String::from_utf8(told.context("the number was configured")?.body)?;
    assert!(told.contains("%2Fwebhooks%2Fdefault%2Fsms"), "{told}");
    Ok(())
}

#[tokio::test]
async fn a_number_that_the_account_does_not_have_is_not_attached() -> Result<()> {
    let desk = Desk::open().await?;
    let refused = desk.number(&["attach", "+14155550199"]).await?;
    let line = "comms-relay: The provider's account does not have that number. Buy it in the provider's console, or \
                let `comms-relay number buy` find one.\n";
    assert_eq!((refused.code, refused.stderr.as_str()), (Some(1), line));
    assert_eq!(desk.list().await?, json!([listed(OUR_NUMBER, Some("default"), false)]));
    Ok(())
}

#[tokio::test]
async fn a_number_is_bought_and_given_back_only_with_a_yes() -> Result<()> {
    let desk = Desk::open().await?;
    let made = comms_relay(&desk.home, &["agent", "create", "sales", "--name", "Sales"], &[]).await?;
    assert_eq!(made.code, Some(0), "{made:?}");
    let ours = listed(OUR_NUMBER, Some("default"), false);
    for (arguments, code, listing) in [
        (&["buy", "--agent", "sales"][..], 1, json!([ours])),
        (&["buy", "--agent", "sales", "--yes"], 0, json!([ours, listed(OFFERED, Some("sales"), true)])),
        (&["buy", "--agent", "sales", "--yes"], 1, json!([ours, listed(OFFERED, Some("sales"), true)])),
        (&["release", OFFERED], 1, json!([ours, listed(OFFERED, Some("sales"), true)])),
        (&["release", OFFERED, "--yes"], 0, json!([ours])),
        (&["release", OFFERED, "--yes"], 1, json!([ours])),
    ] {
        let ended = desk.number(arguments).await?;
        assert_eq!((ended.code, desk.list().await?), (Some(code), listing), "{arguments:?}: {ended:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_number_that_was_not_bought_here_is_only_let_go() -> Result<()> {
    let desk = Desk::open().await?;
    let released = desk.number(&["release", OUR_NUMBER]).await?;
    assert_eq!(released.stdout, format!("{OUR_NUMBER} is no agent's; the account still has it\n"));
    assert_eq!(desk.list().await?, json!([]));
    assert!(desk.twilio.received().iter().all(|request| request.method != "DELETE"));
    Ok(())
}

#[tokio::test]
async fn demo_mode_has_no_account_to_buy_from() -> Result<()> {
    let home = Home::temp();
    let refused = comms_relay(&home, &["number", "buy", "--agent", "default"], &[]).await?;
    assert_eq!((refused.code, refused.stderr.lines().count()), (Some(1), 1), "{refused:?}");
    assert!(refused.stderr.contains("comms_provision_channels"), "{refused:?}");
    Ok(())
}

fn is_purchase(request: &Received) -> bool {
    request.method == "POST" && request.target.ends_with("/IncomingPhoneNumbers.json")
}

async fn is_paid_for(twilio: &Emulator) -> Result<bool> {
    let providers = build_twilio(twilio.settings.clone(), Limits::default());
    Ok(providers.numbers.find_number(&OFFERED.parse()?).await?.is_some())
}

async fn admin(home: &Home) -> Result<Client> {
    let made = comms_relay(home, &["token", "create", "--admin", "--json"], &[]).await?;
    let made: Value = serde_json::from_str(&made.stdout).with_context(|| format!("no JSON: {made:?}"))?;
    let token = made["token"].as_str().map(str::to_owned);
    let client = PeerProgram { name: "test".to_owned(), version: "0".to_owned() };
    let hello = Hello { protocol: PROTOCOL_VERSION, client, host: None, token };
    Client::connect(&home.paths().socket(), &hello).await.context("the session is refused")
}

#[tokio::test]
async fn a_number_bought_by_a_relay_that_was_killed_meanwhile_is_given_back() -> Result<()> {
    let Desk { home, twilio, relay } = Desk::open().await?;
    twilio.fail_at(is_purchase, Fault::Silence);
    let admin = admin(&home).await?;
    let mut calls = tokio::task::JoinSet::new();
    calls.spawn(async move { admin.call(sales()).await });
    super::until("the purchase", || twilio.received().iter().any(is_purchase)).await?;
    relay.kill9().await?;
    let answer = calls.join_next().await.context("there is one call")??;
    assert!(answer.is_err(), "{answer:?}");
    assert!(is_paid_for(&twilio).await?);
    let _next = RelayProcess::start(&home, &env(&twilio)).await?;
    tests::wait::until("the number is given back", async || Ok((!is_paid_for(&twilio).await?).then_some(())))
        .await
}

fn sales() -> ProvisionChannels {
    ProvisionChannels {
        display_name: "Sales".to_owned(),
        capabilities: vec![Channel::Sms, Channel::Voice],
        agent_id: None,
        country: None,
        area_code: None,
        email_domain: None,
        greeting: None,
        system_prompt: None,
        voice: None,
        language: None,
        confirm: Some(true),
    }
}
