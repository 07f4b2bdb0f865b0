//! Signs requests as Twilio does, written apart from the code under test.
//!
//! <https://www.twilio.com/docs/usage/webhooks/webhooks-security>

use data_encoding::BASE64;
use ring::hmac;

/// `X-Twilio-Signature` of a form that is posted to `url`.
#[must_use]
pub fn sign_form(auth_token: &str, url: &str, form: &[(&str, &str)]) -> String {
    let mut sorted = form.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let signed = sorted.iter().fold(url.to_owned(), |text, (key, value)| text + key + value);
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, auth_token.as_bytes());
    BASE64.encode(hmac::sign(&key, signed.as_bytes()).as_ref())
}

/// `X-Twilio-Signature` of a request without a body.
#[must_use]
pub fn sign_url(auth_token: &str, url: &str) -> String {
    sign_form(auth_token, url, &[])
}

/// The body of a form.
#[must_use]
pub fn encode_form(form: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish()
}

/// The fields of a form's body.
#[must_use]
pub fn decode_form(body: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(body).into_owned().collect()
}
