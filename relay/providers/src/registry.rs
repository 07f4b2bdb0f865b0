//! The list of providers: settings in, capabilities out. Called at start, and to try credentials before they are
//! used.

use std::sync::Arc;

use crate::http::{HttpClient, Limits};
use crate::simulated::{Carrier, CarrierSettings, Mailbox};
use crate::twilio::{self, Twilio};
use crate::{AccountChecker, EmailSender, MessageSender, NumberProvisioner, VoiceCaller};

/// The name under which everything simulated goes.
const SIMULATED: &str = "simulated";

/// Which provider serves telephony, and how.
#[derive(Clone, Debug)]
pub enum ProviderSettings {
    Twilio(twilio::Settings),
    /// Nothing leaves this machine.
    Simulated(CarrierSettings),
}

/// What the services use.
#[derive(Clone)]
pub struct Providers {
    pub messages: Arc<dyn MessageSender>,
    pub voice: Arc<dyn VoiceCaller>,
    pub numbers: Arc<dyn NumberProvisioner>,
    pub account: Arc<dyn AccountChecker>,
    pub email: Option<Arc<dyn EmailSender>>,
    /// `twilio` or `simulated`.
    pub telephony_name: &'static str,
    pub whatsapp_name: &'static str,
    pub email_name: Option<&'static str>,
    /// The simulated carrier's telephones, in demo mode.
    pub carrier: Option<Arc<Carrier>>,
    /// Where e-mail goes, in demo mode.
    pub mailbox: Option<Arc<Mailbox>>,
}

/// Makes the adapters. Connects to nothing yet.
#[must_use]
pub fn build(settings: ProviderSettings, limits: Limits) -> Providers {
    match settings {
        ProviderSettings::Twilio(settings) => build_twilio(settings, limits),
        ProviderSettings::Simulated(settings) => build_simulated(settings),
    }
}

/// The same for Twilio alone.
#[must_use]
pub fn build_twilio(settings: twilio::Settings, limits: Limits) -> Providers {
    of_twilio(Twilio::new(settings, HttpClient::new(limits)), "twilio")
}

fn build_simulated(settings: CarrierSettings) -> Providers {
    let account = twilio::Settings {
        base_url: twilio::BASE_URL.to_owned(),
        account_sid: settings.account_sid.clone(),
        auth: twilio::Auth::Token(settings.auth_token.clone()),
    };
    let (carrier, mailbox) = (Carrier::new(settings), Arc::new(Mailbox::default()));
    let adapter = Twilio::new(account, HttpClient::to_carrier(Arc::clone(&carrier)));
    Providers {
        email: Some(Arc::clone(&mailbox) as _),
        email_name: Some(SIMULATED),
        carrier: Some(carrier),
        mailbox: Some(mailbox),
        ..of_twilio(adapter, SIMULATED)
    }
}

fn of_twilio(adapter: Twilio, name: &'static str) -> Providers {
    let adapter = Arc::new(adapter);
    Providers {
        messages: Arc::clone(&adapter) as _,
        voice: Arc::clone(&adapter) as _,
        numbers: Arc::clone(&adapter) as _,
        account: adapter,
        email: None,
        telephony_name: name,
        whatsapp_name: name,
        email_name: None,
        carrier: None,
        mailbox: None,
    }
}
