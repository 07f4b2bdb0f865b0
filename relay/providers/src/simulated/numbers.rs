//! The account's numbers: looked for, bought, changed, given back.

use serde_json::{Value, json};
use shared::model::PhoneNumber;

use super::rest::{Answer, Fields, Refusal, page};
use super::webhook::{API_VERSION, random_sid};
use super::{Carrier, Hooks, available};

const SEARCH_FIELDS: &str = "AreaCode Contains SmsEnabled MmsEnabled VoiceEnabled ExcludeAllAddressRequired \
    ExcludeLocalAddressRequired ExcludeForeignAddressRequired Beta NearNumber NearLatLong Distance InPostalCode InRegion \
    InRateCenter InLata InLocality FaxEnabled PageSize Page PageToken";
const LIST_FIELDS: &str = "Beta FriendlyName PhoneNumber Origin PageSize Page PageToken";
const UPDATE_FIELDS: &str = "AccountSid ApiVersion FriendlyName SmsApplicationSid SmsFallbackMethod SmsFallbackUrl \
    SmsMethod SmsUrl StatusCallback StatusCallbackMethod VoiceApplicationSid VoiceCallerIdLookup VoiceFallbackMethod \
    VoiceFallbackUrl VoiceMethod VoiceUrl EmergencyStatus EmergencyAddressSid TrunkSid VoiceReceiveMode IdentitySid \
    AddressSid BundleSid";

/// One of our numbers.
pub(super) struct Owned {
    sid: String,
    label: String,
    pub(super) hooks: Hooks,
}

impl Owned {
    pub(super) fn new(number: &PhoneNumber, hooks: Hooks) -> Self {
        Self { sid: random_sid("PN"), label: number.to_string(), hooks }
    }

    fn change(&mut self, form: &Fields) {
        let fields = [
            ("FriendlyName", &mut self.label),
            ("SmsUrl", &mut self.hooks.sms_url),
            ("VoiceUrl", &mut self.hooks.voice_url),
            ("StatusCallback", &mut self.hooks.status_url),
        ];
        for (name, value) in fields {
            if let Some(text) = form.get(name) {
                text.clone_into(value);
            }
        }
    }

    fn to_json(&self, carrier: &Carrier, number: &PhoneNumber) -> Value {
        json!({
            "account_sid": carrier.settings.account_sid,
            "address_requirements": "none",
            "api_version": API_VERSION,
            "beta": false,
            "capabilities": { "voice": true, "sms": true, "mms": true, "fax": false },
            "friendly_name": self.label,
            "origin": "twilio",
            "phone_number": number,
            "sid": self.sid,
            "sms_method": "POST",
            "sms_url": self.hooks.sms_url,
            "status": "in-use",
            "status_callback": self.hooks.status_url,
            "status_callback_method": "POST",
            "type": "local",
            "uri": carrier.uri(&format!("IncomingPhoneNumbers/{}.json", self.sid)),
            "voice_method": "POST",
            "voice_url": self.hooks.voice_url,
        })
    }
}

/// `GET AvailablePhoneNumbers/{CountryCode}/Local.json`
pub(super) fn search(carrier: &Carrier, country: &str, query: &Fields) -> Answer {
    query.only(SEARCH_FIELDS)?;
    let offers = available::offers(country, query.get("AreaCode")).ok_or(Refusal::NOT_FOUND)?;
    let size = usize::try_from(query.number("PageSize")?.unwrap_or(50)).unwrap_or(usize::MAX);
    let state = carrier.state();
    let free = offers.into_iter().filter(|number| !state.numbers.contains_key(number)).take(size);
    let entry = |number: PhoneNumber| {
        json!({
            "address_requirements": "none",
            "beta": false,
            "capabilities": { "mms": true, "sms": true, "voice": true },
            "friendly_name": number,
            "iso_country": country,
            "phone_number": number,
        })
    };
    let uri = carrier.uri(&format!("AvailablePhoneNumbers/{country}/Local.json"));
    Ok((200, json!({ "available_phone_numbers": free.map(entry).collect::<Vec<_>>(), "uri": uri })))
}

/// `POST IncomingPhoneNumbers.json`
pub(super) fn buy(carrier: &Carrier, form: &Fields) -> Answer {
    form.only(&format!("{UPDATE_FIELDS} PhoneNumber AreaCode"))?;
    let number = form.get("PhoneNumber").ok_or(Refusal::bad_request(21421, "PhoneNumber is required"))?;
    let number: PhoneNumber =
        number.parse().map_err(|_| Refusal::bad_request(21421, "PhoneNumber is invalid"))?;
    let mut state = carrier.state();
    if state.numbers.contains_key(&number) || !available::is_sold(&number) {
        return Err(Refusal::bad_request(21422, "PhoneNumber is not available"));
    }
    let mut owned = Owned::new(&number, Hooks::default());
    owned.change(form);
    let answer = owned.to_json(carrier, &number);
    state.numbers.insert(number, owned);
    Ok((201, answer))
}

/// `GET IncomingPhoneNumbers.json`
pub(super) fn list(carrier: &Carrier, query: &Fields) -> Answer {
    query.only(LIST_FIELDS)?;
    let entries: Vec<Value> = carrier
        .state()
        .numbers
        .iter()
        .filter(|(_, owned)| query.get("FriendlyName").is_none_or(|label| owned.label == label))
        .filter(|(number, _)| query.get("PhoneNumber").is_none_or(|part| number.as_str().contains(part)))
        .map(|(number, owned)| owned.to_json(carrier, number))
        .collect();
    page(carrier, "IncomingPhoneNumbers", query, &entries)
}

/// `GET IncomingPhoneNumbers/{Sid}.json`
pub(super) fn fetch(carrier: &Carrier, sid: &str) -> Answer {
    let state = carrier.state();
    let found = state.numbers.iter().find(|(_, owned)| owned.sid == sid);
    found.map(|(number, owned)| (200, owned.to_json(carrier, number))).ok_or(Refusal::NOT_FOUND)
}

/// `POST IncomingPhoneNumbers/{Sid}.json`
pub(super) fn update(carrier: &Carrier, sid: &str, form: &Fields) -> Answer {
    form.only(UPDATE_FIELDS)?;
    let mut state = carrier.state();
    let found = state.numbers.iter_mut().find(|(_, owned)| owned.sid == sid);
    let (number, owned) = found.ok_or(Refusal::NOT_FOUND)?;
    owned.change(form);
    Ok((200, owned.to_json(carrier, number)))
}

/// `DELETE IncomingPhoneNumbers/{Sid}.json`
pub(super) fn release(carrier: &Carrier, sid: &str) -> Answer {
    let mut state = carrier.state();
    let number = state.numbers.iter().find(|(_, owned)| owned.sid == sid).map(|(number, _)| number.clone());
    state.numbers.remove(&number.ok_or(Refusal::NOT_FOUND)?);
    Ok((204, Value::Null))
}
