//! Agents that are set up on request: what they get, what is refused, and that nothing is bought unasked.

mod failing;
mod releasing;

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use relay_providers::build_twilio;
use relay_providers::http::Limits;
use relay_store::number_purchases::{self, PurchaseStatus};
use relay_store::{FutureExt, StoreError, agent_pool, whatsapp_pool};
use rstest::rstest;
use shared::model::{Channel, PhoneNumber};
use shared::protocol::{
    ChannelsProvisioned, DnsRecord, ErrorCode, GetMessages, OnboardCustomer, ProvisionChannels,
    ProvisionedChannel,
};
use tests::refusal::refusal;
use tests::relay::{PERSON, PUBLIC_URL, TestRelay};

/// What the carrier offers first.
const OFFERED: &str = "+12125550100";
const ALL: [Channel; 4] = [Channel::Sms, Channel::Voice, Channel::Whatsapp, Channel::Email];
const NUMBER: [Channel; 2] = [Channel::Sms, Channel::Voice];

/// An agent with these channels, and a yes to the purchase.
fn sales(capabilities: &[Channel]) -> ProvisionChannels {
    ProvisionChannels {
        display_name: "Sales Desk".to_owned(),
        capabilities: capabilities.to_vec(),
        agent_id: Some("sales".parse().expect("it is an agent's id")),
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

fn other(id: &str, capabilities: &[Channel]) -> ProvisionChannels {
    ProvisionChannels { agent_id: Some(id.parse().expect("it is an agent's id")), ..sales(capabilities) }
}

/// What stays behind: places of the pool, purchases, and WhatsApp senders that are lent.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    places: Vec<String>,
    purchases: Vec<PurchaseStatus>,
    senders: usize,
}

impl Left {
    async fn at(relay: &TestRelay) -> Result<Self> {
        let read = relay.app().db.read::<_, StoreError, _>(|conn| {
            async move {
                let places = agent_pool::list(conn).await?;
                let mut purchases = Vec::new();
                for status in [
                    PurchaseStatus::Intended,
                    PurchaseStatus::Bought,
                    PurchaseStatus::Released,
                    PurchaseStatus::Failed,
                ] {
                    purchases.extend(number_purchases::list_by_status(conn, status).await?);
                }
                let senders = whatsapp_pool::list(conn).await?;
                Ok(Self {
                    places: places.into_iter().map(|place| place.agent_id.to_string()).collect(),
                    purchases: purchases.into_iter().map(|purchase| purchase.status).collect(),
                    senders: senders.iter().filter(|sender| sender.agent_id.is_some()).count(),
                })
            }
            .boxed()
        });
        Ok(read.await?)
    }

    /// Only the default agent, and what became of the one purchase.
    fn nothing_but(purchase: Option<PurchaseStatus>) -> Self {
        Self { places: vec!["default".to_owned()], purchases: purchase.into_iter().collect(), senders: 0 }
    }
}

/// Whether the account has the number, by a look past the relay.
async fn is_paid_for(relay: &TestRelay) -> Result<bool> {
    let twilio = relay.twilio.as_ref().context("only in live mode")?;
    let providers = build_twilio(twilio.settings.clone(), Limits::default());
    Ok(providers.numbers.find_number(&OFFERED.parse()?).await?.is_some())
}

fn person() -> PhoneNumber {
    PERSON.parse().expect("it is a number")
}

#[tokio::test]
async fn an_agent_gets_everything_that_was_asked_for() -> Result<()> {
    let relay = TestRelay::demo().await?;
    let done = relay.admin().await?.call(sales(&ALL)).await?.reply;
    let own = |channel, address: &str| ProvisionedChannel {
        channel,
        address: address.to_owned(),
        provider: "simulated".to_owned(),
    };
    let url = |route: &str| (route.to_owned(), format!("{}/webhooks/sales/{route}", relay.public()));
    let expected = ChannelsProvisioned {
        agent_id: "sales".parse()?,
        channels: vec![
            own(Channel::Sms, OFFERED),
            own(Channel::Voice, OFFERED),
            own(Channel::Whatsapp, "+12025550171"),
            own(Channel::Email, "sales@agents.example"),
        ],
        token: done.token.clone(),
        slots_remaining: 3,
        webhook_urls: ["sms", "voice", "whatsapp", "call-status"].map(url).into_iter().collect(),
    };
    assert_eq!(done, expected);
    relay.stop().await
}

#[tokio::test]
async fn a_text_to_the_new_number_reaches_whoever_has_the_new_token() -> Result<()> {
    let relay = TestRelay::demo().await?;
    let done = relay.admin().await?.call(sales(&ALL)).await?.reply;
    let session = relay.session_as(Some(done.token.expose().to_owned())).await?;
    let carrier = relay.carrier();
    carrier.text(&person(), &OFFERED.parse()?, "by text").await?;
    carrier.text_whatsapp(&person(), &"+12025550171".parse()?, "by WhatsApp").await?;
    let inbox = session.call(GetMessages::default()).await?.reply;
    // Between the two lines of the fence.
    let got = inbox.messages.iter().map(|message| (message.channel, message.text.lines().nth(1)));
    let sent = [(Channel::Sms, Some("by text")), (Channel::Whatsapp, Some("by WhatsApp"))];
    assert_eq!(got.collect::<Vec<_>>(), sent);
    relay.stop().await
}

#[tokio::test]
async fn a_new_number_still_takes_texts_after_a_restart() -> Result<()> {
    let relay = TestRelay::demo().await?;
    relay.admin().await?.call(sales(&[Channel::Sms])).await?;
    let relay = relay.restart("").await?;
    let (_, status) = relay.carrier().text(&person(), &OFFERED.parse()?, "hello again").await?;
    assert_eq!(status, 200);
    relay.stop().await
}

#[tokio::test]
async fn an_agent_without_an_id_is_called_after_its_name() -> Result<()> {
    let relay = TestRelay::demo().await?;
    let nameless = ProvisionChannels { agent_id: None, ..sales(&[Channel::Email]) };
    let done = relay.admin().await?.call(nameless).await?.reply;
    assert!(done.agent_id.as_str().starts_with("sales-desk-"), "{}", done.agent_id);
    relay.stop().await
}

#[tokio::test]
async fn the_provider_is_told_where_a_number_posts() -> Result<()> {
    let relay = TestRelay::live().await?;
    relay.admin().await?.call(sales(&NUMBER)).await?;
    let twilio = relay.twilio.as_ref().context("live mode has an emulator")?;
    let bought =
        twilio.received().into_iter().find(|request| request.method == "POST").context("a purchase")?;
    let form: BTreeMap<String, String> = form_urlencoded::parse(&bought.body).into_owned().collect();
    let told = ["PhoneNumber", "SmsUrl", "VoiceUrl", "StatusCallback"].map(|name| form[name].as_str());
    let url = |route: &str| format!("{PUBLIC_URL}/webhooks/sales/{route}");
    assert_eq!(told, [OFFERED, &url("sms"), &url("voice"), &url("call-status")]);
    assert_eq!(twilio.problems(), Vec::<String>::new());
    relay.stop().await
}

#[tokio::test]
async fn without_a_yes_a_number_is_only_named() -> Result<()> {
    let relay = TestRelay::live().await?;
    let unconfirmed = ProvisionChannels { confirm: None, ..sales(&NUMBER) };
    let problem = refusal(relay.admin().await?.call(unconfirmed).await)?;
    assert_eq!(problem.code, ErrorCode::InvalidInput);
    assert!(problem.message.contains(OFFERED) && problem.hint.contains("confirm: true"), "{problem:?}");
    let twilio = relay.twilio.as_ref().context("live mode has an emulator")?;
    assert!(twilio.received().iter().all(|request| request.method == "GET"));
    assert_eq!(Left::at(&relay).await?, Left::nothing_but(None));
    relay.stop().await
}

#[tokio::test]
async fn a_country_without_numbers_is_named() -> Result<()> {
    let relay = TestRelay::demo().await?;
    let nowhere = ProvisionChannels { country: Some("aq".to_owned()), ..sales(&[Channel::Sms]) };
    let problem = refusal(relay.admin().await?.call(nowhere).await)?;
    assert_eq!(problem.code, ErrorCode::ProviderRejected);
    assert_eq!(problem.message, "The provider sells no numbers with sms in AQ; nothing was set up.");
    relay.stop().await
}

#[rstest]
#[case::name("displayName", ProvisionChannels { display_name: "  ".to_owned(), ..sales(&ALL) })]
#[case::long_name("displayName", ProvisionChannels { display_name: "x".repeat(81), ..sales(&ALL) })]
#[case::hidden_name("displayName", ProvisionChannels { display_name: "a\u{202e}b".to_owned(), ..sales(&ALL) })]
#[case::nothing_wanted("capabilities", sales(&[]))]
#[case::twice("capabilities", sales(&[Channel::Sms, Channel::Sms]))]
#[case::taken("agentId", other("default", &ALL))]
#[case::taken_by_a_rehearsal("agentId", other("rehearsal", &ALL))]
#[case::country("country", ProvisionChannels { country: Some("USA".to_owned()), ..sales(&ALL) })]
#[case::area("areaCode", ProvisionChannels { area_code: Some("4 5".to_owned()), ..sales(&ALL) })]
#[case::domain("emailDomain", ProvisionChannels { email_domain: Some("nowhere".to_owned()), ..sales(&ALL) })]
#[case::greeting("greeting", ProvisionChannels { greeting: Some("x".repeat(1_001)), ..sales(&ALL) })]
#[case::language("language", ProvisionChannels { language: Some("en US".to_owned()), ..sales(&ALL) })]
#[case::voice("voice", ProvisionChannels { voice: Some("x".repeat(101)), ..sales(&ALL) })]
#[tokio::test]
async fn what_cannot_be_is_named(#[case] field: &str, #[case] call: ProvisionChannels) -> Result<()> {
    let relay = TestRelay::demo().await?;
    let problem = refusal(relay.admin().await?.call(call).await)?;
    assert_eq!(problem.code, ErrorCode::InvalidInput);
    assert!(problem.message.starts_with(&format!("`{field}` ")), "{}", problem.message);
    relay.stop().await
}

#[rstest]
#[case::no_email_provider("", &[Channel::Email], ErrorCode::ProviderNotConfigured)]
#[case::no_free_sender("", &[Channel::Whatsapp], ErrorCode::ChannelNotProvisioned)]
#[case::no_place("[limits]\npool = 1", &NUMBER, ErrorCode::PoolExhausted)]
#[tokio::test]
async fn what_is_not_there_is_told_before_anything_is_bought(
    #[case] settings: &str,
    #[case] capabilities: &[Channel],
    #[case] code: ErrorCode,
) -> Result<()> {
    let relay = TestRelay::live_with(settings).await?;
    let problem = refusal(relay.admin().await?.call(sales(capabilities)).await)?;
    assert_eq!((problem.code, Left::at(&relay).await?), (code, Left::nothing_but(None)));
    relay.stop().await
}

#[tokio::test]
async fn of_two_at_once_one_gets_the_last_place() -> Result<()> {
    let relay = TestRelay::live_with("[limits]\npool = 2").await?;
    let (one, two) = (relay.admin().await?, relay.admin().await?);
    let (one, two) = tokio::join!(one.call(other("one", &NUMBER)), two.call(other("two", &NUMBER)));
    let (won, lost) = if one.is_ok() { (one, two) } else { (two, one) };
    assert_eq!(refusal(lost)?.code, ErrorCode::PoolExhausted);
    let winner = won?.reply.agent_id.to_string();
    let left = Left {
        places: vec!["default".to_owned(), winner],
        purchases: vec![PurchaseStatus::Bought],
        senders: 0,
    };
    assert_eq!(Left::at(&relay).await?, left);
    relay.stop().await
}

#[tokio::test]
async fn of_two_that_want_the_same_number_each_gets_one() -> Result<()> {
    let relay = TestRelay::live().await?;
    let (one, two) = (relay.admin().await?, relay.admin().await?);
    let (one, two) = tokio::join!(one.call(other("one", &NUMBER)), two.call(other("two", &NUMBER)));
    let mut addresses = [one?.reply, two?.reply].map(|done| done.channels[0].address.clone());
    addresses.sort();
    assert_eq!(addresses, [OFFERED, "+14155550100"]);
    relay.stop().await
}

#[tokio::test]
async fn no_address_holds_a_secret() -> Result<()> {
    let relay = TestRelay::demo().await?;
    let call = OnboardCustomer { agent_id: Some("acme".parse()?), ..acme() };
    let done = relay.admin().await?.call(call).await?.reply;
    let instructions = [&done.connection_instructions.claude_desktop, &done.connection_instructions.cursor];
    let told: Vec<&String> = done.webhook_urls.values().chain(instructions).collect();
    assert_eq!(told.len(), 6);
    assert!(told.iter().all(|text| !text.contains(done.token.expose()) && !text.contains('?')), "{told:?}");
    relay.stop().await
}

fn acme() -> OnboardCustomer {
    OnboardCustomer {
        display_name: "Acme support".to_owned(),
        capabilities: ALL.to_vec(),
        company_name: Some("Acme".to_owned()),
        contact_email: Some("bills@acme.example".to_owned()),
        agent_id: None,
        country: None,
        area_code: None,
        email_domain: Some("mail.acme.example".to_owned()),
        greeting: None,
        system_prompt: None,
        voice: None,
        language: None,
        confirm: Some(true),
    }
}

#[tokio::test]
async fn a_customer_is_told_what_their_domain_must_say() -> Result<()> {
    let relay = TestRelay::demo().await?;
    let done = relay.admin().await?.call(acme()).await?.reply;
    let record = |kind: &str, name: &str, value: &str, priority| DnsRecord {
        kind: kind.to_owned(),
        name: format!("{name}mail.acme.example"),
        value: value.to_owned(),
        priority,
    };
    let expected = [
        record("MX", "send.", "feedback.simulated.invalid", Some(10)),
        record("TXT", "send.", "v=spf1 include:simulated.invalid ~all", None),
        record("TXT", "simulated._domainkey.", "v=DKIM1; p=", None),
        record("MX", "", "inbound.simulated.invalid", Some(10)),
    ];
    assert_eq!(done.dns_records, expected);
    relay.stop().await
}

#[tokio::test]
async fn a_customers_bills_go_to_the_contact() -> Result<()> {
    let relay = TestRelay::demo().await?;
    let agent = relay.admin().await?.call(acme()).await?.reply.agent_id;
    let config = relay.app().db.read::<_, StoreError, _>(move |conn| {
        async move { relay_store::billing_config::find(conn, &agent).await }.boxed()
    });
    let billing_email = config.await?.and_then(|config| config.billing_email);
    assert_eq!(billing_email.as_deref(), Some("bills@acme.example"));
    relay.stop().await
}
