//! `AvailablePhoneNumbers` and `IncomingPhoneNumbers`: <https://www.twilio.com/docs/phone-numbers/api>.

use serde::Deserialize;
use shared::ids::ExternalId;
use shared::model::PhoneNumber;

use super::{Settings, rest};
use crate::http::{HttpRequest, HttpResponse};
use crate::{BoughtNumber, NumberHooks, NumberOrder, NumberWanted, ProviderError};

const OURS: &str = "IncomingPhoneNumbers.json";
const CHOICE: &str = "5";

#[derive(Deserialize)]
struct Offer {
    phone_number: PhoneNumber,
}

#[derive(Deserialize)]
struct Offers {
    available_phone_numbers: Vec<Offer>,
}

#[derive(Deserialize)]
struct Entry {
    sid: ExternalId,
    phone_number: PhoneNumber,
    #[serde(default)]
    friendly_name: Option<String>,
}

#[derive(Deserialize)]
struct Page {
    incoming_phone_numbers: Vec<Entry>,
}

/// Asks for a few numbers to choose from. `None`: that is the name of no country, and has no place in an address.
#[must_use]
pub fn search_request(settings: &Settings, wanted: &NumberWanted) -> Option<HttpRequest> {
    let country = wanted.country.to_ascii_uppercase();
    let is_country = country.len() == 2 && country.bytes().all(|letter| letter.is_ascii_uppercase());
    let mut query = Vec::new();
    query.extend(wanted.area_code.iter().map(|code| ("AreaCode", code.as_str())));
    query.extend(wanted.sms.then_some(("SmsEnabled", "true")));
    query.extend(wanted.voice.then_some(("VoiceEnabled", "true")));
    query.push(("PageSize", CHOICE));
    let path = format!("AvailablePhoneNumbers/{country}/Local.json");
    is_country.then(|| rest::get(settings, &path, &query))
}

/// Reads the answer to [`search_request`].
pub fn parse_found(answer: &HttpResponse) -> Result<Vec<PhoneNumber>, ProviderError> {
    match rest::read::<Offers>(answer) {
        Ok(offers) => {
            Ok(offers.available_phone_numbers.into_iter().map(|offer| offer.phone_number).collect())
        }
        Err(error) if rest::is_not_found(&error) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Buys the number.
#[must_use]
pub fn buy_request(settings: &Settings, order: &NumberOrder) -> HttpRequest {
    let mut form = vec![("FriendlyName", order.label.as_str())];
    form.extend(hooks(&order.hooks));
    form.push(("PhoneNumber", order.number.as_str()));
    rest::post(settings, OURS, &form)
}

/// Reads the answer to [`buy_request`].
pub fn parse_bought(answer: &HttpResponse) -> Result<BoughtNumber, ProviderError> {
    rest::read::<Entry>(answer).map(BoughtNumber::from)
}

/// Asks for the account's numbers with this label.
#[must_use]
pub fn labelled_request(settings: &Settings, label: &str) -> HttpRequest {
    rest::list(settings, OURS, &[("FriendlyName", label)])
}

/// Reads the answer to [`labelled_request`].
pub fn parse_labelled(answer: &HttpResponse, label: &str) -> Result<Option<BoughtNumber>, ProviderError> {
    first(answer, |entry| entry.friendly_name.as_deref() == Some(label))
}

/// Asks for this one among the account's numbers.
#[must_use]
pub fn number_request(settings: &Settings, number: &PhoneNumber) -> HttpRequest {
    rest::list(settings, OURS, &[("PhoneNumber", number.as_str())])
}

/// Reads the answer to [`number_request`]: Twilio also lists numbers that only contain the one asked for.
pub fn parse_number(
    answer: &HttpResponse,
    number: &PhoneNumber,
) -> Result<Option<BoughtNumber>, ProviderError> {
    first(answer, |entry| entry.phone_number == *number)
}

/// Changes where a number posts.
#[must_use]
pub fn configure_request(settings: &Settings, number: &ExternalId, to: &NumberHooks) -> HttpRequest {
    rest::post(settings, &path(number), &hooks(to))
}

/// Reads the answer to [`configure_request`].
pub fn parse_configured(answer: &HttpResponse) -> Result<(), ProviderError> {
    rest::read::<Entry>(answer).map(drop)
}

/// Gives the number back.
#[must_use]
pub fn release_request(settings: &Settings, number: &ExternalId) -> HttpRequest {
    rest::delete(settings, &path(number))
}

/// Reads the answer to [`release_request`].
pub fn parse_released(answer: &HttpResponse) -> Result<(), ProviderError> {
    match rest::done(answer) {
        Err(error) if rest::is_not_found(&error) => Ok(()),
        other => other,
    }
}

fn path(number: &ExternalId) -> String {
    format!("IncomingPhoneNumbers/{number}.json")
}

fn hooks(hooks: &NumberHooks) -> [rest::Pair<'_>; 6] {
    [
        ("SmsMethod", "POST"),
        ("SmsUrl", &hooks.sms_url),
        ("StatusCallback", &hooks.status_url),
        ("StatusCallbackMethod", "POST"),
        ("VoiceMethod", "POST"),
        ("VoiceUrl", &hooks.voice_url),
    ]
}

fn first(
    answer: &HttpResponse,
    matches: impl Fn(&Entry) -> bool,
) -> Result<Option<BoughtNumber>, ProviderError> {
    let page: Page = rest::read(answer)?;
    Ok(page.incoming_phone_numbers.into_iter().find(matches).map(BoughtNumber::from))
}

impl From<Entry> for BoughtNumber {
    /// Twilio tells the price of numbers elsewhere, by country.
    fn from(entry: Entry) -> Self {
        Self { external_id: entry.sid, number: entry.phone_number, monthly: None }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::super::fixture::{answer, example, pairs, recorded, settings};
    use super::*;

    fn hooks() -> NumberHooks {
        NumberHooks {
            sms_url: "https://r.example/sms".to_owned(),
            voice_url: "https://r.example/voice".to_owned(),
            status_url: "https://r.example/s".to_owned(),
        }
    }

    fn wanted(country: &str) -> NumberWanted {
        let area_code = Some("415".to_owned());
        NumberWanted { country: country.to_owned(), area_code, sms: true, voice: true }
    }

    fn sid() -> ExternalId {
        format!("PN{}", "a".repeat(32)).parse().unwrap()
    }

    /// Those of our pairs whose field one of the SDK's recordings has too.
    fn shared_pairs(request: &HttpRequest, name: &str) -> Vec<(String, String)> {
        let theirs = recorded(name).form;
        pairs(request).into_iter().filter(|(field, _)| theirs.iter().any(|(name, _)| name == field)).collect()
    }

    fn target(request: &HttpRequest) -> (String, String) {
        (request.method.to_string(), request.url.clone())
    }

    #[test]
    fn numbers_are_searched_as_the_sdk_searches_them() {
        let (method, url) = recorded("twilio.numbers-search").target();
        let request = search_request(&settings(), &wanted("us")).unwrap();
        assert_eq!(target(&request), (method, url.replace("PageSize=3", "PageSize=5")));
    }

    #[rstest]
    #[case("")]
    #[case("USA")]
    #[case("..")]
    #[case("U/")]
    fn what_names_no_country_is_not_asked_for(#[case] country: &str) {
        assert_eq!(search_request(&settings(), &wanted(country)), None);
    }

    #[test]
    fn a_number_is_bought_as_the_sdk_buys_it() {
        let number = "+14155550100".parse().unwrap();
        let request =
            buy_request(&settings(), &NumberOrder { number, label: "l".to_owned(), hooks: hooks() });
        let recorded = recorded("twilio.numbers-buy");
        assert_eq!(target(&request), recorded.target());
        assert_eq!(shared_pairs(&request, "twilio.numbers-buy"), recorded.form);
    }

    #[test]
    fn a_purchase_carries_its_label_and_asks_for_posts() {
        let number = "+14155550100".parse().unwrap();
        let request =
            buy_request(&settings(), &NumberOrder { number, label: "l".to_owned(), hooks: hooks() });
        let fields = ["FriendlyName", "SmsMethod", "StatusCallbackMethod", "VoiceMethod"];
        let rest: Vec<String> = pairs(&request)
            .into_iter()
            .filter(|(name, _)| fields.contains(&name.as_str()))
            .map(|(_, value)| value)
            .collect();
        assert_eq!(rest, ["l", "POST", "POST", "POST"]);
    }

    #[test]
    fn a_number_is_changed_as_the_sdk_changes_it() {
        let request = configure_request(&settings(), &sid(), &hooks());
        assert_eq!(target(&request), recorded("twilio.numbers-update").target());
        let voice = [("VoiceUrl".to_owned(), "https://r.example/voice".to_owned())];
        assert_eq!(shared_pairs(&request, "twilio.numbers-update"), voice);
    }

    #[test]
    fn a_number_is_released_as_the_sdk_releases_it() {
        let request = release_request(&settings(), &sid());
        assert_eq!(target(&request), recorded("twilio.numbers-release").target());
    }

    #[test]
    fn offers_are_read() {
        let offers = parse_found(&answer(200, &example("numbers_available"))).unwrap();
        assert_eq!(offers, ["+18089251571".parse().unwrap()]);
    }

    #[rstest]
    #[case(json!({ "code": 20404, "status": 404 }), true)]
    #[case(Value::Null, false)]
    fn a_country_that_twilio_does_not_know_has_no_numbers(#[case] body: Value, #[case] none: bool) {
        assert_eq!(parse_found(&answer(404, &body)).is_ok_and(|offers| offers.is_empty()), none);
    }

    #[test]
    fn a_purchase_is_read() {
        let number = "+18089255327".parse().unwrap();
        let bought = BoughtNumber { external_id: sid(), number, monthly: None };
        assert_eq!(parse_bought(&answer(201, &example("number_bought"))).unwrap(), bought);
    }

    #[rstest]
    #[case("(808) 925-5327", true)]
    #[case("(808)", false)]
    fn a_label_is_found_whole(#[case] label: &str, #[case] found: bool) {
        let answer = answer(200, &example("numbers_listed"));
        assert_eq!(parse_labelled(&answer, label).unwrap().is_some(), found);
    }

    #[rstest]
    #[case("+18089255327", true)]
    #[case("+8089255", false)]
    fn a_number_is_found_whole(#[case] number: PhoneNumber, #[case] found: bool) {
        let answer = answer(200, &example("numbers_listed"));
        assert_eq!(parse_number(&answer, &number).unwrap().is_some(), found);
    }

    #[rstest]
    #[case(204, Value::Null, true)]
    #[case(404, json!({ "code": 20404, "status": 404 }), true)]
    #[case(404, Value::Null, false)]
    #[case(500, Value::Null, false)]
    fn a_number_that_is_not_there_counts_as_released(
        #[case] status: u16,
        #[case] body: Value,
        #[case] released: bool,
    ) {
        assert_eq!(parse_released(&answer(status, &body)).is_ok(), released);
    }
}
