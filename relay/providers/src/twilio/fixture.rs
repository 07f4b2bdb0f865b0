//! What the adapter's tests compare with: requests that the official SDK made, and the vendor's example answers.

use http::HeaderMap;
use serde::Deserialize;
use serde_json::Value;

use super::{Auth, BASE_URL, Settings};
use crate::Secret;
use crate::http::{HttpRequest, HttpResponse};

type Pairs = Vec<(String, String)>;

#[derive(Deserialize)]
struct Recording {
    requests: Vec<Recorded>,
}

/// A request as the SDK made it.
#[derive(Deserialize)]
pub(super) struct Recorded {
    name: String,
    method: String,
    url: String,
    headers: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    pub(super) form: Pairs,
}

pub(super) fn recorded(name: &str) -> Recorded {
    let text = include_str!("../fixtures/twilio_client_requests.json");
    let recording: Recording = serde_json::from_str(text).unwrap();
    recording.requests.into_iter().find(|request| request.name == name).unwrap()
}

/// The account that the recordings were made with.
pub(super) fn settings() -> Settings {
    Settings {
        base_url: BASE_URL.to_owned(),
        account_sid: format!("AC{}", "a".repeat(32)),
        auth: Auth::ApiKey { sid: format!("SK{}", "b".repeat(32)), secret: Secret::new("secret") },
    }
}

pub(super) fn pairs(request: &HttpRequest) -> Pairs {
    form_urlencoded::parse(&request.body).into_owned().collect()
}

/// Everything about a request that the SDK's recording shows.
pub(super) fn shape(request: &HttpRequest) -> (String, String, Pairs, Vec<(String, String)>) {
    let mut headers: Vec<(String, String)> = request
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    headers.sort();
    (request.method.to_string(), request.url.clone(), pairs(request), headers)
}

impl Recorded {
    /// What the request asks for: its method and its address.
    pub(super) fn target(&self) -> (String, String) {
        (self.method.clone(), self.url.clone())
    }

    pub(super) fn shape(self) -> (String, String, Pairs, Vec<(String, String)>) {
        let mut headers: Vec<(String, String)> =
            self.headers.into_iter().map(|(name, value)| (name.to_lowercase(), value)).collect();
        headers.sort();
        (self.method, self.url, self.form, headers)
    }
}

/// The vendor's example of an answer.
pub(super) fn example(name: &str) -> Value {
    let text = include_str!("../fixtures/twilio_answers.json");
    serde_json::from_str::<Value>(text).unwrap()[name].take()
}

pub(super) fn answer(status: u16, body: &Value) -> HttpResponse {
    HttpResponse { status, headers: HeaderMap::new(), body: body.to_string().into_bytes() }
}
