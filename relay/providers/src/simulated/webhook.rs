//! Signed posts to our public listener, and the values that every one of them carries.

use data_encoding::HEXLOWER;
use form_urlencoded::Serializer;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use jiff::tz::TimeZone;
use ring::rand::{SecureRandom, SystemRandom};

use super::{Carrier, signing};
use crate::http::{HttpError, HttpRequest, HttpResponse};

pub(super) const API_VERSION: &str = "2010-04-01";
pub(super) const SIGNATURE: HeaderName = HeaderName::from_static("x-twilio-signature");
const IDEMPOTENCY_TOKEN: HeaderName = HeaderName::from_static("i-twilio-idempotency-token");

/// A form's fields in the order in which they are sent.
pub(super) type Form = Vec<(&'static str, String)>;

impl Carrier {
    /// Posts a signed form, once.
    pub(super) async fn post(&self, url: &str, form: &Form) -> Result<HttpResponse, HttpError> {
        let headers = HeaderMap::from_iter([
            (CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded; charset=UTF-8")),
            (USER_AGENT, HeaderValue::from_static("TwilioProxy/1.1")),
            (SIGNATURE, ascii(signing::sign(&self.settings.auth_token, url, form))),
            (IDEMPOTENCY_TOKEN, ascii(random_hex())),
        ]);
        let body = Serializer::new(String::new()).extend_pairs(form).finish().into_bytes();
        let url = signing::without_fragment(url).to_owned();
        self.http.send(HttpRequest { method: Method::POST, url, headers, body }).await
    }

    /// Posts news that nobody waits for. A listener that is away misses it, as with the real carrier.
    pub(super) async fn tell(&self, url: &str, form: &Form) {
        match self.post(url, form).await {
            Ok(answer) if answer.status < 400 => {}
            Ok(answer) => tracing::debug!(status = answer.status, "a callback was refused"),
            Err(error) => tracing::debug!(%error, "a callback was not delivered"),
        }
    }
}

/// A header's value from hexadecimal digits or base64.
pub(super) fn ascii(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("hexadecimal digits and base64 are visible ASCII")
}

/// Two letters and 32 random hexadecimal digits.
pub(super) fn random_sid(kind: &str) -> String {
    format!("{kind}{}", random_hex())
}

pub(super) fn random_hex() -> String {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).expect("the operating system has random numbers");
    HEXLOWER.encode(&bytes)
}

/// A date as Twilio writes it: RFC 2822, in UTC.
pub(super) fn rfc2822(time: Timestamp) -> String {
    let printer = DateTimePrinter::new();
    printer
        .zoned_to_string(&time.to_zoned(TimeZone::UTC))
        .expect("the present lies between the years 0 and 9999")
}

/// The place fields that come with every text and call. A telephone in this process is nowhere.
pub(super) fn places() -> impl Iterator<Item = (&'static str, String)> {
    const NAMES: [&str; 8] =
        ["FromCity", "FromState", "FromZip", "FromCountry", "ToCity", "ToState", "ToZip", "ToCountry"];
    NAMES.into_iter().map(|name| {
        let country = name.ends_with("Country");
        (name, if country { "US".to_owned() } else { String::new() })
    })
}
