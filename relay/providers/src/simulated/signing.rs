//! The carrier's own signatures, written from Twilio's description and sharing nothing with the code that
//! checks them: <https://www.twilio.com/docs/usage/webhooks/webhooks-security>.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::BASE64;
use ring::hmac;

use crate::Secret;

/// `X-Twilio-Signature` over the address and the form's fields. A WebSocket upgrade has no fields.
pub(super) fn sign<K: AsRef<str>, V: AsRef<str>>(token: &Secret, url: &str, form: &[(K, V)]) -> String {
    let mut fields: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, value) in form {
        fields.entry(name.as_ref()).or_default().insert(value.as_ref());
    }
    let mut text = without_fragment(url).to_owned();
    for (name, values) in fields {
        for value in values {
            text.extend([name, value]);
        }
    }
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, token.expose().as_bytes());
    BASE64.encode(hmac::sign(&key, text.as_bytes()).as_ref())
}

/// The address as it goes over the wire. Twilio keeps what follows `#` to itself: it says how to retry.
pub(super) fn without_fragment(url: &str) -> &str {
    url.split_once('#').map_or(url, |(address, _)| address)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Vectors {
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        id: String,
        algorithm: String,
        auth_token: String,
        url: String,
        params: Vec<(String, String)>,
        x_twilio_signature: String,
    }

    #[test]
    fn every_signature_is_the_one_that_the_vendor_makes() {
        let vectors: Vectors =
            serde_json::from_str(include_str!("../fixtures/twilio_signatures.json")).unwrap();
        let mut checked = 0;
        for case in vectors.cases.iter().filter(|case| case.algorithm == "HMAC_SHA1") {
            let signature = sign(&Secret::new(&case.auth_token), &case.url, &case.params);
            assert_eq!(signature, case.x_twilio_signature, "{}", case.id);
            checked += 1;
        }
        assert_eq!(checked, 28);
    }

    #[test]
    fn the_fragment_is_not_signed() {
        let (token, form) = (Secret::new("12345"), [("Body", "x")]);
        assert_eq!(
            sign(&token, "https://h.example/s#rc=2&rp=all", &form),
            sign(&token, "https://h.example/s", &form)
        );
    }
}
