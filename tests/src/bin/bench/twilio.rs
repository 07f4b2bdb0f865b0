//! Requests as Twilio sends them: its forms, signed with the account's token over the public address.

use anyhow::{Context, Result};
use data_encoding::BASE64;
use ring::hmac;

use crate::WIDE_LIMITS;

/// The address that the provider knows us by; nothing is sent to it.
pub(crate) const PUBLIC_URL: &str = "https://bench.example";
pub(crate) const OUR_NUMBER: &str = "+14155550100";
const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// The settings of a relay that takes these requests for genuine, can reach nobody, and lets everything through.
pub(crate) fn relay() -> Vec<(&'static str, &'static str)> {
    [&ACCOUNT_SETTINGS[..], &WIDE_LIMITS].concat()
}

const ACCOUNT_SETTINGS: [(&str, &str); 6] = [
    ("COMMS_MODE", "live"),
    ("COMMS_PUBLIC__URL", PUBLIC_URL),
    ("COMMS_TWILIO__BASE_URL", "http://127.0.0.1:9"),
    ("TWILIO_ACCOUNT_SID", ACCOUNT),
    ("TWILIO_AUTH_TOKEN", TOKEN),
    ("TWILIO_PHONE_NUMBER", OUR_NUMBER),
];

/// The account's key, as both ends use it.
pub(crate) fn key() -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, TOKEN.as_bytes())
}

/// What is signed: the address, then each name and value, sorted.
pub(crate) fn string_to_sign(url: &str, form: &mut [(String, String)]) -> String {
    form.sort_unstable();
    form.iter().fold(url.to_owned(), |text, (name, value)| text + name + value)
}

/// The signature of a request without a form.
pub(crate) fn signature(url: &str) -> String {
    BASE64.encode(hmac::sign(&key(), url.as_bytes()).as_ref())
}

/// An inbound text, `number` telling it from the others, as the bytes of an HTTP request.
pub(crate) fn text(number: u64) -> Vec<u8> {
    let sid = format!("SM{number:032x}");
    let from = format!("+1510555{:04}", number % 1000);
    post(
        "/webhooks/default/sms",
        &[
            ("ToCountry", "US"),
            ("ToState", "CA"),
            ("SmsMessageSid", &sid),
            ("NumMedia", "0"),
            ("ToCity", "SAN FRANCISCO"),
            ("FromZip", "94103"),
            ("SmsSid", &sid),
            ("FromState", "CA"),
            ("SmsStatus", "received"),
            ("FromCity", "OAKLAND"),
            ("Body", "Hi, could you move my appointment to Thursday at 3pm please? Thanks, Ann"),
            ("FromCountry", "US"),
            ("To", OUR_NUMBER),
            ("ToZip", "94105"),
            ("NumSegments", "1"),
            ("MessageSid", &sid),
            ("AccountSid", ACCOUNT),
            ("From", &from),
            ("ApiVersion", "2010-04-01"),
        ],
    )
}

/// An inbound call.
pub(crate) fn call(call: &Call) -> Vec<u8> {
    post(
        "/webhooks/default/voice",
        &[
            ("AccountSid", ACCOUNT),
            ("ApiVersion", "2010-04-01"),
            ("CallSid", &call.sid),
            ("CallStatus", "ringing"),
            ("Called", OUR_NUMBER),
            ("Caller", &call.from),
            ("Direction", "inbound"),
            ("From", &call.from),
            ("To", OUR_NUMBER),
        ],
    )
}

/// A call of our making.
pub(crate) struct Call {
    pub(crate) sid: String,
    pub(crate) from: String,
}

impl Call {
    pub(crate) fn new(number: usize) -> Self {
        Self { sid: format!("CA{number:032x}"), from: format!("+1510556{number:04}") }
    }

    /// The first frame on the call's socket.
    pub(crate) fn setup(&self, parameters: &[(String, String)]) -> String {
        let parameters: serde_json::Map<_, _> =
            parameters.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
        serde_json::json!({
            "type": "setup",
            "sessionId": self.sid.replace("CA", "VX"),
            "accountSid": ACCOUNT,
            "parentCallSid": null,
            "callSid": self.sid,
            "from": self.from,
            "to": OUR_NUMBER,
            "forwardedFrom": null,
            "callType": "PSTN",
            "callerName": null,
            "direction": "inbound",
            "callStatus": "RINGING",
            "customParameters": parameters,
        })
        .to_string()
    }
}

/// What the answer to a call tells to do: open a socket, with these parameters in the first frame.
pub(crate) struct Connect {
    pub(crate) url: String,
    pub(crate) parameters: Vec<(String, String)>,
}

impl Connect {
    pub(crate) fn parse(twiml: &str) -> Result<Self> {
        let (_, relay) =
            twiml.split_once("<ConversationRelay").context("the answer connects the call to nothing")?;
        let url = attribute(relay, "url").context("the answer names no socket")?;
        let parameters = relay.split("<Parameter").skip(1);
        let parameters =
            parameters.filter_map(|text| Some((attribute(text, "name")?, attribute(text, "value")?)));
        Ok(Self { url, parameters: parameters.collect() })
    }
}

fn attribute(element: &str, name: &str) -> Option<String> {
    let (_, value) = element.split_once(&format!(" {name}=\""))?;
    Some(value.split('"').next()?.replace("&amp;", "&"))
}

fn post(path: &str, form: &[(&str, &str)]) -> Vec<u8> {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let mut pairs: Vec<(String, String)> =
        form.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let signature = signature(&string_to_sign(&format!("{PUBLIC_URL}{path}"), &mut pairs));
    format!(
        "POST {path} HTTP/1.1\r\nHost: bench.example\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         X-Twilio-Signature: {signature}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
