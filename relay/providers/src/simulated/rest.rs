//! The carrier's REST side: who asks, for what, and the shape of lists and refusals.
//!
//! It refuses what the real one refuses, and is stricter in one thing: a field that it does not know is an
//! error, so that a misspelt one is found here and not by its missing effect.

use std::sync::Arc;

use data_encoding::BASE64;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Value, json};
use url::Url;

use super::{Carrier, calls, numbers, sms};
use crate::http::{HttpRequest, HttpResponse};

/// A status and JSON.
pub(super) type Answer = Result<(u16, Value), Refusal>;

/// An error as the API tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: u32,
    pub(super) message: &'static str,
}

impl Refusal {
    pub(super) const NOT_FOUND: Self =
        Self { status: 404, code: 20404, message: "The requested resource was not found" };

    pub(super) const fn bad_request(code: u32, message: &'static str) -> Self {
        Self { status: 400, code, message }
    }
}

/// The fields of a form or a query.
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    fn parse(text: &[u8]) -> Self {
        Self(form_urlencoded::parse(text).into_owned().collect())
    }

    /// Refuses every field but these, whose names stand in `known` with spaces between them.
    pub(super) fn only(&self, known: &str) -> Result<(), Refusal> {
        if self.0.iter().all(|(name, _)| known.split_ascii_whitespace().any(|field| field == name)) {
            Ok(())
        } else {
            Err(Refusal::bad_request(20001, "The request has a parameter that does not exist"))
        }
    }

    /// The field's value, unless it is empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(move |(key, value)| key == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    /// The field's value as a number.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Refusal> {
        let number = self.get(name).map(str::parse).transpose();
        number.map_err(|_| Refusal::bad_request(20001, "A numeric parameter is not a number"))
    }
}

/// Answers one request.
pub(super) fn answer(carrier: &Arc<Carrier>, request: &HttpRequest) -> HttpResponse {
    let (status, body) = route(carrier, request).unwrap_or_else(|refusal| {
        let Refusal { status, code, message } = refusal;
        let more_info = format!("https://www.twilio.com/docs/errors/{code}");
        (status, json!({ "code": code, "message": message, "more_info": more_info, "status": status }))
    });
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
    let body = if status == 204 { Vec::new() } else { body.to_string().into_bytes() };
    HttpResponse { status, headers, body }
}

fn route(carrier: &Arc<Carrier>, request: &HttpRequest) -> Answer {
    authorize(carrier, request)?;
    let url = Url::parse(&request.url).map_err(|_| Refusal::NOT_FOUND)?;
    let account = format!("/2010-04-01/Accounts/{}", carrier.settings.account_sid);
    let path = url.path().strip_prefix(&account).and_then(|path| path.strip_suffix(".json"));
    let parts: Vec<&str> = path.ok_or(Refusal::NOT_FOUND)?.splitn(3, '/').collect();
    let form = || Fields::parse(&request.body);
    let query = || Fields::parse(url.query().unwrap_or_default().as_bytes());
    match (&request.method, parts.as_slice()) {
        (&Method::GET, [""]) => Ok((200, fetch_account(carrier))),
        (&Method::POST, ["", "Messages"]) => sms::create(carrier, &form()),
        (&Method::GET, ["", "Messages"]) => sms::list(carrier, &query()),
        (&Method::GET, ["", "Messages", sid]) => sms::fetch(carrier, sid),
        (&Method::POST, ["", "Calls"]) => calls::create(carrier, &form()),
        (&Method::GET, ["", "Calls"]) => calls::list(carrier, &query()),
        (&Method::GET, ["", "Calls", sid]) => calls::fetch(carrier, sid),
        (&Method::POST, ["", "Calls", sid]) => calls::update(carrier, sid, &form()),
        (&Method::GET, ["", "AvailablePhoneNumbers", kind]) => {
            let country = kind.strip_suffix("/Local").ok_or(Refusal::NOT_FOUND)?;
            numbers::search(carrier, country, &query())
        }
        (&Method::POST, ["", "IncomingPhoneNumbers"]) => numbers::buy(carrier, &form()),
        (&Method::GET, ["", "IncomingPhoneNumbers"]) => numbers::list(carrier, &query()),
        (&Method::GET, ["", "IncomingPhoneNumbers", sid]) => numbers::fetch(carrier, sid),
        (&Method::POST, ["", "IncomingPhoneNumbers", sid]) => numbers::update(carrier, sid, &form()),
        (&Method::DELETE, ["", "IncomingPhoneNumbers", sid]) => numbers::release(carrier, sid),
        _ => Err(Refusal::NOT_FOUND),
    }
}

fn fetch_account(carrier: &Carrier) -> Value {
    let sid = &carrier.settings.account_sid;
    json!({
        "friendly_name": "Simulated account",
        "owner_account_sid": sid,
        "sid": sid,
        "status": "active",
        "type": "Full",
        "uri": format!("/2010-04-01/Accounts/{sid}.json"),
    })
}

fn authorize(carrier: &Carrier, request: &HttpRequest) -> Result<(), Refusal> {
    let credentials = format!("{}:{}", carrier.settings.account_sid, carrier.settings.auth_token.expose());
    let wanted = format!("Basic {}", BASE64.encode(credentials.as_bytes()));
    match request.headers.get(AUTHORIZATION) {
        Some(given) if given.as_bytes() == wanted.as_bytes() => Ok(()),
        _ => Err(Refusal { status: 401, code: 20003, message: "Authenticate" }),
    }
}

/// One page of the `entries`, which come newest first.
pub(super) fn page(carrier: &Carrier, resource: &str, query: &Fields, entries: &[Value]) -> Answer {
    let size = usize::try_from(query.number("PageSize")?.unwrap_or(50).clamp(1, 1000)).unwrap_or(1000);
    let number = usize::try_from(query.number("Page")?.unwrap_or(0)).unwrap_or(usize::MAX);
    let start = number.saturating_mul(size).min(entries.len());
    let shown = &entries[start..entries.len().min(start.saturating_add(size))];
    let end = start + shown.len();
    let uri = |number: usize| {
        let others = query.0.iter().filter(|(name, _)| name != "Page" && name != "PageSize");
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(others)
            .append_pair("PageSize", &size.to_string())
            .append_pair("Page", &number.to_string())
            .finish();
        carrier.uri(&format!("{resource}.json?{query}"))
    };
    let body = json!({
        snake_case(resource): shown,
        "first_page_uri": uri(0),
        "previous_page_uri": (number > 0).then(|| uri(number - 1)),
        "uri": uri(number),
        "next_page_uri": (end < entries.len()).then(|| uri(number + 1)),
        "page": number,
        "page_size": size,
        "start": start,
        "end": end.saturating_sub(1),
    });
    Ok((200, body))
}

fn snake_case(name: &str) -> String {
    let mut words = name.to_owned();
    for letter in 'A'..='Z' {
        words = words.replace(letter, &format!("_{}", letter.to_ascii_lowercase()));
    }
    words.trim_start_matches('_').to_owned()
}

impl Carrier {
    /// A resource's address as the API's answers give it.
    pub(super) fn uri(&self, path: &str) -> String {
        format!("/2010-04-01/Accounts/{}/{path}", self.settings.account_sid)
    }
}
