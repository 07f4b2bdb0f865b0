//! What all of Twilio's resources have in common: addresses, credentials, forms, dates.

use std::time::Duration;

use data_encoding::BASE64;
use form_urlencoded::Serializer;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use shared::model::{Micros, Timestamp};

use super::{Auth, Settings, errors};
use crate::ProviderError;
use crate::error::Cause;
use crate::http::{HttpRequest, HttpResponse};

/// One page of a list is all that is looked at: a thousand entries would not fit the answer's size limit.
const PAGE_SIZE: &str = "200";

/// Twilio writes dates in whole seconds, and its clock is not ours.
const CLOCK_ALLOWANCE: Duration = Duration::from_secs(5);

pub(super) type Pair<'a> = (&'a str, &'a str);

/// "The requested resource was not found": <https://www.twilio.com/docs/api/errors/20404>.
const NOT_FOUND: &str = "20404";

pub(super) fn post(settings: &Settings, path: &str, form: &[Pair<'_>]) -> HttpRequest {
    let body = Serializer::new(String::new()).extend_pairs(form).finish().into_bytes();
    let mut request = request(settings, Method::POST, &format!("/{path}"));
    request.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    HttpRequest { body, ..request }
}

/// Asks for the newest entries of a list. No time is given: entries that are still queued have none yet, and
/// to miss one of them would be to send it twice.
pub(super) fn list(settings: &Settings, path: &str, query: &[Pair<'_>]) -> HttpRequest {
    get(settings, path, &[query, &[("PageSize", PAGE_SIZE)]].concat())
}

pub(super) fn get(settings: &Settings, path: &str, query: &[Pair<'_>]) -> HttpRequest {
    let query = Serializer::new(String::new()).extend_pairs(query).finish();
    let mark = if query.is_empty() { "" } else { "?" };
    request(settings, Method::GET, &format!("/{path}{mark}{query}"))
}

/// Asks for the account itself.
pub(super) fn get_account(settings: &Settings) -> HttpRequest {
    request(settings, Method::GET, ".json")
}

pub(super) fn delete(settings: &Settings, path: &str) -> HttpRequest {
    request(settings, Method::DELETE, &format!("/{path}"))
}

fn request(settings: &Settings, method: Method, path: &str) -> HttpRequest {
    let (user, password) = match &settings.auth {
        Auth::Token(token) => (&settings.account_sid, token),
        Auth::ApiKey { sid, secret } => (sid, secret),
    };
    let credentials = BASE64.encode(format!("{user}:{}", password.expose()).as_bytes());
    let mut authorization = HeaderValue::try_from(format!("Basic {credentials}"))
        .expect("base64 has only characters that a header may have");
    authorization.set_sensitive(true);
    let headers = HeaderMap::from_iter([
        (ACCEPT, HeaderValue::from_static("application/json")),
        (AUTHORIZATION, authorization),
    ]);
    let url = format!("{}/2010-04-01/Accounts/{}{path}", settings.base_url, settings.account_sid);
    HttpRequest { method, url, headers, body: Vec::new() }
}

/// Whether the answer says that it was done.
pub(super) fn done(answer: &HttpResponse) -> Result<(), ProviderError> {
    if (200..300).contains(&answer.status) { Ok(()) } else { Err(errors::of_answer(answer)) }
}

/// Whether Twilio itself says that there is no such thing: another server's 404 says nothing.
pub(super) fn is_not_found(error: &ProviderError) -> bool {
    matches!(error, ProviderError::Rejected { code: Some(code), .. } if code == NOT_FOUND)
}

/// The answer's JSON, if the answer says that it was done.
pub(super) fn read<T: DeserializeOwned>(answer: &HttpResponse) -> Result<T, ProviderError> {
    done(answer)?;
    // serde's own words would quote the answer.
    serde_json::from_slice(&answer.body).map_err(|_| ProviderError::Unknown(Cause::Unreadable))
}

/// Whether an entry with this `date_created` (RFC 2822) can be the one that we tried to make at `not_before`.
pub(super) fn is_recent(date_created: &str, not_before: Timestamp) -> bool {
    jiff::fmt::rfc2822::parse(date_created).is_ok_and(|created| {
        created.timestamp().as_millisecond() >= not_before.minus(CLOCK_ALLOWANCE).as_millis()
    })
}

/// The oldest of the `entries` (which come newest first) that passes `matches`. If a full page holds none and
/// is all recent, an older page might.
pub(super) fn pick<T>(
    entries: Vec<T>,
    more: bool,
    is_recent: impl Fn(&T) -> bool,
    matches: impl Fn(&T) -> bool,
) -> Result<Option<T>, ProviderError> {
    let all_recent = entries.iter().all(&is_recent);
    match entries.into_iter().rev().find(|entry| is_recent(entry) && matches(entry)) {
        None if more && all_recent => Err(ProviderError::Unavailable(Cause::TooMany)),
        found => Ok(found),
    }
}

/// What a message or a call costs, as Twilio tells it: what it takes from the balance, as a negative amount, once it
/// knows.
#[derive(Deserialize)]
pub(super) struct Price {
    #[serde(default)]
    pub(super) price: Option<String>,
    #[serde(default)]
    pub(super) price_unit: Option<String>,
}

impl Price {
    pub(super) fn amount(self) -> Option<(Micros, String)> {
        let Micros(micros) = self.price?.parse().ok()?;
        Some((Micros(micros.abs()), self.price_unit?))
    }
}

/// Reads one message or call for its price.
pub(super) fn parse_price(answer: &HttpResponse) -> Result<Option<(Micros, String)>, ProviderError> {
    read::<Price>(answer).map(Price::amount)
}
