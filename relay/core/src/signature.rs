//! Twilio's webhook signatures, in every form that Twilio's own libraries accept.
//!
//! Called by the public listener before anything of a request is believed. The URL must come from the
//! configuration, never from a header. There is no way to switch the check off, and a missing secret refuses
//! everything. <https://www.twilio.com/docs/usage/webhooks/webhooks-security>

use std::borrow::Cow;
use std::fmt;

use data_encoding::{BASE64, HEXLOWER};
use ring::{digest, hmac};

/// The request's body, as far as it is signed.
#[derive(Clone, Copy, Debug)]
pub enum Body<'a> {
    /// None, as in a GET or a WebSocket upgrade.
    None,
    /// A form, decoded, in any order.
    Form(&'a [(Cow<'a, str>, Cow<'a, str>)]),
    /// Anything else, as received. The URL must carry its hash.
    Json(&'a [u8]),
}

/// What is checked.
#[derive(Clone, Copy, Debug)]
pub struct SignedRequest<'a> {
    /// The public URL as configured, with path and query as received.
    pub url: &'a str,
    /// The body.
    pub body: Body<'a>,
    /// `X-Twilio-Signature`; empty if absent.
    pub signature: &'a str,
    /// `X-Twilio-Webhooks-Signature-Settings`, which names another key and algorithm.
    pub settings: Option<&'a str>,
}

/// The secrets that a request may be signed with, made ready for use.
pub struct Keys {
    auth_token: Option<hmac::Key>,
    shared: Vec<(String, hmac::Key)>,
}

/// Why a request is refused. For the log: the sender learns nothing but the refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// There is no signature.
    #[error("the signature is missing")]
    Missing,
    /// The settings name an algorithm that is not known here.
    #[error("the signature algorithm is unknown")]
    UnknownAlgorithm,
    /// The settings name a key that is not known here, or no secret is configured.
    #[error("the signing key is unknown")]
    UnknownKey,
    /// The body is not the one whose hash the URL carries, or the URL carries none.
    #[error("the body does not match its hash")]
    BodyHash,
    /// The signature is another one.
    #[error("the signature does not match")]
    Mismatch,
}

impl Keys {
    /// The account's auth token. An empty one refuses everything that it would have to vouch for.
    #[must_use]
    pub fn new(auth_token: &str) -> Self {
        Self { auth_token: key(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, auth_token), shared: Vec::new() }
    }

    /// And a shared key, by the name that Twilio gives it.
    #[must_use]
    pub fn with_shared(mut self, name: &str, secret: &str) -> Self {
        self.shared.extend(key(hmac::HMAC_SHA256, secret).map(|key| (name.to_owned(), key)));
        self
    }

    fn choose(&self, settings: Option<&str>) -> Result<&hmac::Key, Invalid> {
        let setting = |wanted| {
            let parts = settings.unwrap_or_default().split(',').filter_map(|part| part.split_once('='));
            let mut values = parts.filter(|(name, _)| name.trim() == wanted).map(|(_, value)| value.trim());
            values.find(|value| !value.is_empty())
        };
        let key = match setting("algorithm") {
            None => self.auth_token.as_ref(),
            Some(name) if name.eq_ignore_ascii_case("HMAC_SHA1") => self.auth_token.as_ref(),
            Some(name) if name.eq_ignore_ascii_case("HMAC_SHA256") => {
                self.shared.iter().find(|(name, _)| Some(name.as_str()) == setting("key")).map(|(_, key)| key)
            }
            Some(_) => return Err(Invalid::UnknownAlgorithm),
        };
        key.ok_or(Invalid::UnknownKey)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

/// Checks that whoever made the request holds one of the keys.
pub fn verify(keys: &Keys, request: &SignedRequest<'_>) -> Result<(), Invalid> {
    if request.signature.is_empty() {
        return Err(Invalid::Missing);
    }
    let key = keys.choose(request.settings)?;
    let tag = BASE64.decode(request.signature.as_bytes()).map_err(|_| Invalid::Mismatch)?;
    let form = match request.body {
        Body::None => String::new(),
        Body::Form(pairs) => sorted(pairs),
        Body::Json(body) => {
            check_body_hash(request.url, body)?;
            String::new()
        }
    };
    if matches_any_form(key, request.url, &form, &tag) || matches_relay_form(key, request.url, &tag) {
        Ok(())
    } else {
        Err(Invalid::Mismatch)
    }
}

// HMAC with an empty key can be computed by anybody.
fn key(algorithm: hmac::Algorithm, secret: &str) -> Option<hmac::Key> {
    (!secret.is_empty()).then(|| hmac::Key::new(algorithm, secret.as_bytes()))
}

/// Each distinct key in byte order, followed by its value, for each distinct value in byte order.
fn sorted(pairs: &[(Cow<'_, str>, Cow<'_, str>)]) -> String {
    let mut order: Vec<(&str, &str)> = pairs.iter().map(|(key, value)| (&**key, &**value)).collect();
    order.sort_unstable();
    order.dedup();
    let mut text = String::with_capacity(order.iter().map(|(key, value)| key.len() + value.len()).sum());
    for (key, value) in order {
        text.push_str(key);
        text.push_str(value);
    }
    text
}

fn check_body_hash(url: &str, body: &[u8]) -> Result<(), Invalid> {
    let stated = query_pairs(url).find(|(name, _)| name == "bodySHA256");
    let actual = HEXLOWER.encode(digest::digest(&digest::SHA256, body).as_ref());
    if stated.is_some_and(|(_, hash)| hash == actual) { Ok(()) } else { Err(Invalid::BodyHash) }
}

fn query_pairs(url: &str) -> form_urlencoded::Parse<'_> {
    form_urlencoded::parse(url.split_once('?').map_or("", |(_, query)| query).as_bytes())
}

/// The URL as it is, with its port added or taken off, and both again with the apostrophes of the query escaped:
/// Twilio is not consistent in the first, and what stands between us and it not in the second.
fn matches_any_form(key: &hmac::Key, url: &str, form: &str, tag: &[u8]) -> bool {
    let matches = |url: &str| hmac::verify(key, [url, form].concat().as_bytes(), tag).is_ok();
    let matches_either_port = |url: &str| matches(url) || matches(&other_port(url));
    matches_either_port(url) || escaped_apostrophes(url).is_some_and(|url| matches_either_port(&url))
}

/// `ConversationRelay`'s upgrade may be signed with the query taken off the URL and appended like a form.
fn matches_relay_form(key: &hmac::Key, url: &str, tag: &[u8]) -> bool {
    let is_websocket = url.starts_with("wss://") || url.starts_with("ws://");
    let Some((base, _)) = url.split_once('?').filter(|_| is_websocket) else { return false };
    let pairs: Vec<_> = query_pairs(url).collect();
    matches_any_form(key, base, &sorted(&pairs), tag)
}

fn escaped_apostrophes(url: &str) -> Option<String> {
    let (base, query) = url.split_once('?')?;
    query.contains('\'').then(|| format!("{base}?{}", query.replace('\'', "%27")))
}

fn other_port(url: &str) -> String {
    let start = url.find("://").map_or(0, |at| at + 3);
    let end = url[start..].find(['/', '?', '#']).map_or(url.len(), |at| start + at);
    let host = url[start..end].rfind('@').map_or(start, |at| start + at + 1);
    let (before, rest) = (&url[..end], &url[end..]);
    match url[host..end].rsplit_once(':') {
        // The last colon of an IPv6 address in brackets is no port's.
        Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => {
            format!("{}{rest}", &url[..host + name.len()])
        }
        _ if url.starts_with("https://") => format!("{before}:443{rest}"),
        _ => format!("{before}:80{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;
    use serde::Deserialize;

    use super::*;

    const SHARED_KEY: &str = "webhooks_sharedkey_test";

    #[derive(Deserialize)]
    struct Vectors {
        repo_tests: Vec<RepoTest>,
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct RepoTest {
        name: String,
        auth_token: String,
        url: String,
        params: Vec<(String, String)>,
        json_body: Option<String>,
        x_twilio_signature: String,
        python_accepts: bool,
        node_accepts: bool,
    }

    #[derive(Deserialize)]
    struct Case {
        id: String,
        kind: String,
        algorithm: String,
        auth_token: String,
        url: String,
        #[serde(default)]
        params: Option<Vec<(String, String)>>,
        json_body: Option<String>,
        x_twilio_signature: String,
        server_view: Vec<ServerView>,
    }

    #[derive(Deserialize)]
    struct ServerView {
        url: String,
        header: String,
        body: Option<String>,
        python_accepts: bool,
        node_accepts: Option<bool>,
    }

    fn vectors() -> Vectors {
        serde_json::from_str(include_str!("fixtures/twilio_signatures.json")).unwrap()
    }

    fn borrowed(params: &[(String, String)]) -> Vec<(Cow<'_, str>, Cow<'_, str>)> {
        params.iter().map(|(k, v)| (Cow::from(k), Cow::from(v))).collect()
    }

    fn with_query(url: &str, params: &[(String, String)]) -> String {
        if params.is_empty() {
            return url.to_owned();
        }
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(params).finish();
        format!("{url}?{query}")
    }

    impl Case {
        fn keys(&self) -> Keys {
            if self.algorithm == "HMAC_SHA256" {
                Keys::new("another").with_shared(SHARED_KEY, &self.auth_token)
            } else {
                Keys::new(&self.auth_token)
            }
        }

        fn verify(&self, url: &str, body: Option<&str>, signature: &str) -> Result<(), Invalid> {
            let params = self.params.as_deref().unwrap_or_default();
            let (form, websocket_url) = (borrowed(params), with_query(url, params));
            let settings = format!("key={SHARED_KEY},algorithm={}", self.algorithm);
            let settings = (self.algorithm == "HMAC_SHA256").then_some(settings.as_str());
            let request = match self.kind.as_str() {
                "json" => {
                    SignedRequest { url, body: Body::Json(body.unwrap().as_bytes()), signature, settings }
                }
                "ws" => SignedRequest { url: &websocket_url, body: Body::None, signature, settings },
                _ => SignedRequest { url, body: Body::Form(&form), signature, settings },
            };
            verify(&self.keys(), &request)
        }
    }

    #[test]
    fn every_genuine_request_is_accepted() {
        for case in vectors().cases {
            let result = case.verify(&case.url, case.json_body.as_deref(), &case.x_twilio_signature);
            assert_eq!(result, Ok(()), "{}", case.id);
        }
    }

    #[test]
    fn whatever_the_server_sees_is_decided_as_the_vendors_libraries_decide() {
        for case in vectors().cases {
            for view in &case.server_view {
                let accepted = case.verify(&view.url, view.body.as_deref(), &view.header).is_ok();
                let expected = view.python_accepts || view.node_accepts == Some(true);
                assert_eq!(accepted, expected, "{} {} {}", case.id, view.url, view.header);
            }
        }
    }

    #[test]
    fn the_vendors_own_tests_pass() {
        for test in vectors().repo_tests {
            let form = borrowed(&test.params);
            let body = test.json_body.as_ref().map_or(Body::Form(&form), |json| Body::Json(json.as_bytes()));
            let request =
                SignedRequest { url: &test.url, body, signature: &test.x_twilio_signature, settings: None };
            let accepted = verify(&Keys::new(&test.auth_token), &request).is_ok();
            assert_eq!(accepted, test.python_accepts || test.node_accepts, "{}", test.name);
        }
    }

    const URL: &str = "https://relay.example.com/webhooks/default/sms?x=It's";

    fn sign(url: &str, form: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"secret");
        BASE64.encode(hmac::sign(&key, [url, form].concat().as_bytes()).as_ref())
    }

    #[test]
    fn an_apostrophe_may_have_been_escaped_when_it_was_signed() {
        let signature = sign("https://relay.example.com/webhooks/default/sms?x=It%27s", "");
        let request = SignedRequest { url: URL, body: Body::None, signature: &signature, settings: None };
        assert_eq!(verify(&Keys::new("secret"), &request), Ok(()));
    }

    #[test]
    fn an_ipv6_host_keeps_its_colons() {
        assert_eq!(other_port("https://[2001:db8::1]/x"), "https://[2001:db8::1]:443/x");
        assert_eq!(other_port("https://[2001:db8::1]:443/x"), "https://[2001:db8::1]/x");
    }

    #[rstest]
    #[case::unknown_algorithm("key=k,algorithm=HMAC_MD5", Invalid::UnknownAlgorithm)]
    #[case::unknown_key("key=other,algorithm=HMAC_SHA256", Invalid::UnknownKey)]
    #[case::no_key("algorithm=HMAC_SHA256", Invalid::UnknownKey)]
    #[case::known_key_other_secret("key=k, algorithm=hmac_sha256", Invalid::Mismatch)]
    fn settings_that_cannot_be_followed_are_refused(#[case] settings: &str, #[case] problem: Invalid) {
        let signature = sign(URL, "");
        let request =
            SignedRequest { url: URL, body: Body::None, signature: &signature, settings: Some(settings) };
        assert_eq!(verify(&Keys::new("secret").with_shared("k", "other"), &request), Err(problem));
    }

    #[test]
    fn a_json_body_needs_its_hash_in_the_url() {
        let signature = sign(URL, "");
        let request =
            SignedRequest { url: URL, body: Body::Json(b"{}"), signature: &signature, settings: None };
        assert_eq!(verify(&Keys::new("secret"), &request), Err(Invalid::BodyHash));
    }

    #[rstest]
    #[case::auth_token(None)]
    #[case::shared(Some("key=k,algorithm=HMAC_SHA256"))]
    fn an_empty_secret_vouches_for_nothing(#[case] settings: Option<&str>) {
        let keys = Keys::new("").with_shared("k", "");
        let algorithm =
            if settings.is_some() { hmac::HMAC_SHA256 } else { hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY };
        let signature = BASE64.encode(hmac::sign(&hmac::Key::new(algorithm, b""), URL.as_bytes()).as_ref());
        let request = SignedRequest { url: URL, body: Body::None, signature: &signature, settings };
        assert_eq!(verify(&keys, &request), Err(Invalid::UnknownKey));
    }

    #[test]
    fn secrets_are_not_printed() {
        let keys = Keys::new("hunter2").with_shared("name", "hunter3");
        assert_eq!(format!("{keys:?}"), "Keys { .. }");
    }

    fn flipped(text: &str, at: prop::sample::Index, bit: u8) -> Option<String> {
        let mut bytes = text.as_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        String::from_utf8(bytes).ok()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn any_one_bit_mutation_is_refused(
            values in prop::collection::vec("[ -~é]{1,12}", 1..6),
            path in "/[a-z0-9/]{0,20}",
            part in 0usize..3,
            (at, bit) in (any::<prop::sample::Index>(), 0u8..8),
        ) {
            let url = format!("https://relay.example.com{path}?q=1");
            let params: Vec<_> = values.into_iter().enumerate().map(|(i, v)| (format!("Key{i}"), v)).collect();
            let signature = sign(&url, &sorted(&borrowed(&params)));
            let decide = |url: &str, params: &[(String, String)], signature: &str| {
                let form = borrowed(params);
                let request = SignedRequest { url, body: Body::Form(&form), signature, settings: None };
                verify(&Keys::new("secret"), &request)
            };
            prop_assert_eq!(decide(&url, &params, &signature), Ok(()));

            let result = match part {
                0 => flipped(&url, at, bit).map(|url| decide(&url, &params, &signature)),
                1 => flipped(&params[0].1, at, bit).map(|value| {
                    let mut params = params.clone();
                    params[0].1 = value;
                    decide(&url, &params, &signature)
                }),
                _ => flipped(&signature, at, bit).map(|signature| decide(&url, &params, &signature)),
            };
            prop_assert!(result.is_none_or(|result| result == Err(Invalid::Mismatch)));
        }
    }
}
