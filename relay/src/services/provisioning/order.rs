//! What shall be set up, checked as far as it can be before anything is done.

use std::collections::HashSet;

use futures_util::FutureExt;
use relay_core::{provisioning, sanitize};
use relay_providers::NumberWanted;
use relay_store::agents::{self, Agent};
use relay_store::{Conn, agent_channels, agent_pool, whatsapp_pool};
use shared::ids::AgentId;
use shared::model::{Channel, EmailAddress};
use shared::protocol::{ErrorCode, OnboardCustomer, ProvisionChannels};

use crate::app::App;
use crate::random;
use crate::services::ServiceError;
use crate::services::agents::{fresh, rehearsal_agent};

const MAX_NAME_CHARACTERS: usize = 80;
const MAX_TEXT_CHARACTERS: usize = 1_000;
const MAX_VOICE_CHARACTERS: usize = 100;
/// RFC 5646, section 4.4.1.
const MAX_LANGUAGE_CHARACTERS: usize = 35;
/// Where numbers are looked for if nobody says where.
const COUNTRY: &str = "US";

/// What shall be set up.
pub(super) struct Order {
    /// As it will be.
    pub(super) agent: Agent,
    pub(super) capabilities: Vec<Channel>,
    pub(super) number: Option<NumberWanted>,
    pub(super) email: Option<EmailAddress>,
    /// A number may be bought.
    pub(super) confirmed: bool,
    pub(super) customer: Option<Customer>,
}

/// For whom it is set up.
pub(super) struct Customer {
    pub(super) is_company: bool,
    pub(super) billing_email: Option<EmailAddress>,
}

impl Customer {
    pub(super) fn checked(call: &OnboardCustomer) -> Result<Self, ServiceError> {
        if let Some(name) = &call.company_name {
            check_name("companyName", name)?;
        }
        let billing_email = call.contact_email.as_deref().map(str::parse).transpose();
        let billing_email =
            billing_email.or_else(|problem| invalid("contactEmail", format!("it is {problem}")))?;
        Ok(Self { is_company: call.company_name.is_some(), billing_email })
    }
}

impl Order {
    /// Refuses what cannot be set up.
    pub(super) async fn checked(app: &App, call: ProvisionChannels) -> Result<Self, ServiceError> {
        let order = Self::read(app, call)?;
        order.check_providers(app)?;
        let (agent, email) = (order.agent.id.clone(), order.email.clone());
        let sender = order.wants(Channel::Whatsapp).then(|| app.providers().whatsapp_name);
        let places = app.config.limits.pool;
        app.db
            .read::<_, ServiceError, _>(move |conn| {
                async move {
                    check_free(conn, &agent, email.as_ref()).await?;
                    if agent_pool::count(conn).await? >= places {
                        return Err(pool_exhausted(places));
                    }
                    check_sender(conn, sender).await
                }
                .boxed()
            })
            .await?;
        Ok(order)
    }

    pub(super) fn wants(&self, channel: Channel) -> bool {
        self.capabilities.contains(&channel)
    }

    fn read(app: &App, call: ProvisionChannels) -> Result<Self, ServiceError> {
        let name = check_name("displayName", &call.display_name)?;
        check_capabilities(&call.capabilities)?;
        let id = call.agent_id.unwrap_or_else(|| provisioning::slug(&name, &random::bytes()));
        let [sms, voice, email] = [Channel::Sms, Channel::Voice, Channel::Email]
            .map(|channel| call.capabilities.contains(&channel));
        let country = read_country(call.country.as_deref())?;
        let area_code = call.area_code.map(check_area_code).transpose()?;
        let domain = call.email_domain.as_deref().unwrap_or(&app.config.email.domain);
        let email = email.then(|| address(&id, domain)).transpose()?;
        Ok(Self {
            agent: Agent {
                greeting: short("greeting", call.greeting, MAX_TEXT_CHARACTERS)?,
                system_prompt: short("systemPrompt", call.system_prompt, MAX_TEXT_CHARACTERS)?,
                voice: short("voice", call.voice, MAX_VOICE_CHARACTERS)?,
                language: call.language.map(check_language).transpose()?,
                ..fresh(id, &name, app.now())
            },
            capabilities: call.capabilities,
            number: (sms || voice).then_some(NumberWanted { country, area_code, sms, voice }),
            email,
            confirmed: call.confirm == Some(true),
            customer: None,
        })
    }

    fn check_providers(&self, app: &App) -> Result<(), ServiceError> {
        if self.email.is_some() && app.providers().email.is_none() {
            return Err(ServiceError::refused(
                ErrorCode::ProviderNotConfigured,
                "There is no e-mail provider; nothing was set up.",
                "Call again without the capability email.",
            ));
        }
        if !app.can_be_called() && self.capabilities.iter().any(|channel| *channel != Channel::Email) {
            return Err(ServiceError::refused(
                ErrorCode::ProviderNotConfigured,
                "The relay has no public address at which a provider could reach it; nothing was set up.",
                "The person who runs the relay must set public.url.",
            ));
        }
        Ok(())
    }
}

/// Refuses an agent that is there, or was, and an address that somebody has.
pub(super) async fn check_free(
    conn: &mut Conn,
    agent: &AgentId,
    email: Option<&EmailAddress>,
) -> Result<(), ServiceError> {
    if *agent == rehearsal_agent() || agents::find(conn, agent).await?.is_some() {
        return Err(taken());
    }
    if let Some(address) = email
        && agent_channels::find_by_address(conn, Channel::Email, address.as_str()).await?.is_some()
    {
        return invalid("agentId", "another agent has the e-mail address that this one would have");
    }
    Ok(())
}

pub(super) fn taken() -> ServiceError {
    let problem = "there is an agent of this id, or there was; choose another".to_owned();
    ServiceError::Invalid { field: "agentId", problem }
}

pub(super) fn pool_exhausted(places: i64) -> ServiceError {
    ServiceError::refused(
        ErrorCode::PoolExhausted,
        format!("All {places} places of the pool are taken; nothing was set up."),
        "Free one with comms_deprovision_channels, or the person who runs the relay can raise limits.pool.",
    )
}

pub(super) fn no_sender() -> ServiceError {
    ServiceError::refused(
        ErrorCode::ChannelNotProvisioned,
        "No WhatsApp sender is free; nothing was set up.",
        "The person who runs the relay can add one to twilio.whatsapp_senders, or call again without the capability \
         whatsapp.",
    )
}

async fn check_sender(conn: &mut Conn, provider: Option<&str>) -> Result<(), ServiceError> {
    let Some(provider) = provider else { return Ok(()) };
    let senders = whatsapp_pool::list(conn).await?;
    let is_free = senders.iter().any(|sender| sender.agent_id.is_none() && sender.provider == provider);
    if is_free { Ok(()) } else { Err(no_sender()) }
}

fn check_name(field: &'static str, text: &str) -> Result<String, ServiceError> {
    let name = text.trim();
    if !(1..=MAX_NAME_CHARACTERS).contains(&name.chars().count()) {
        return invalid(field, format!("it must have 1 to {MAX_NAME_CHARACTERS} characters"));
    }
    if name.chars().any(char::is_control) || sanitize::clean(name).text != name {
        return invalid(field, "it has characters that cannot be seen");
    }
    Ok(name.to_owned())
}

fn check_capabilities(list: &[Channel]) -> Result<(), ServiceError> {
    if list.is_empty() {
        return invalid("capabilities", "name at least one of sms, voice, whatsapp and email");
    }
    if list.iter().collect::<HashSet<_>>().len() < list.len() {
        return invalid("capabilities", "name each only once");
    }
    Ok(())
}

fn address(agent: &AgentId, domain: &str) -> Result<EmailAddress, ServiceError> {
    let address = format!("{}@{domain}", provisioning::local_part(agent)).parse();
    address.or_else(|_| invalid("emailDomain", "it is no domain, such as agents.example.org"))
}

/// Two letters, as capitals.
pub(super) fn read_country(text: Option<&str>) -> Result<String, ServiceError> {
    let country = text.unwrap_or(COUNTRY).to_ascii_uppercase();
    if country.len() == 2 && country.bytes().all(|letter| letter.is_ascii_uppercase()) {
        return Ok(country);
    }
    invalid("country", "it must be two letters, such as US or GB")
}

pub(super) fn check_area_code(text: String) -> Result<String, ServiceError> {
    if (1..=6).contains(&text.len()) && text.bytes().all(|digit| digit.is_ascii_digit()) {
        return Ok(text);
    }
    invalid("areaCode", "it must be digits, such as 415")
}

fn check_language(text: String) -> Result<String, ServiceError> {
    let is_tag =
        |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric());
    if text.len() <= MAX_LANGUAGE_CHARACTERS && text.split('-').all(is_tag) {
        return Ok(text);
    }
    invalid("language", "it must be a language tag, such as en-US")
}

fn short(field: &'static str, text: Option<String>, most: usize) -> Result<Option<String>, ServiceError> {
    if text.as_ref().is_some_and(|text| text.chars().count() > most) {
        return invalid(field, format!("it has {most} characters at the most"));
    }
    Ok(text)
}

fn invalid<T>(field: &'static str, problem: impl Into<String>) -> Result<T, ServiceError> {
    Err(ServiceError::Invalid { field, problem: problem.into() })
}
