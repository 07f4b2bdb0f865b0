//! The list of providers: settings in, capabilities out. Called once at start.

use std::sync::Arc;

use crate::http::{HttpClient, Limits};
use crate::simulated::{Carrier, CarrierSettings};
use crate::twilio::{self, Twilio};
use crate::{MessageSender, VoiceCaller};

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
    /// `twilio` or `simulated`.
    pub telephony_name: &'static str,
    /// The simulated carrier's telephones, in demo mode.
    pub carrier: Option<Arc<Carrier>>,
}

/// Makes the adapters. Connects to nothing yet.
#[must_use]
pub fn build(settings: ProviderSettings, limits: Limits) -> Providers {
    match settings {
        ProviderSettings::Twilio(settings) => {
            of_twilio(Twilio::new(settings, HttpClient::new(limits)), "twilio", None)
        }
        ProviderSettings::Simulated(settings) => {
            let account = twilio::Settings {
                base_url: twilio::BASE_URL.to_owned(),
                account_sid: settings.account_sid.clone(),
                auth: twilio::Auth::Token(settings.auth_token.clone()),
            };
            let carrier = Carrier::new(settings);
            let http = HttpClient::to_carrier(Arc::clone(&carrier));
            of_twilio(Twilio::new(account, http), "simulated", Some(carrier))
        }
    }
}

fn of_twilio(adapter: Twilio, telephony_name: &'static str, carrier: Option<Arc<Carrier>>) -> Providers {
    let adapter = Arc::new(adapter);
    Providers { messages: Arc::clone(&adapter) as _, voice: adapter, telephony_name, carrier }
}
