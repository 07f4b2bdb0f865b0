//! The frames of ConversationRelay: text in both directions over one socket per call.
//!
//! Called by the voice socket. What comes in is read with tolerance, because fields appear without notice; what
//! goes out is built from types that cannot hold an invalid frame, because ten bad ones end the call.
//! <https://www.twilio.com/docs/voice/conversationrelay/websocket-messages>

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use serde_json::{Map, Value};

/// A frame from the carrier.
#[expect(clippy::large_enum_variant, reason = "the large one comes once per call")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// The first one, once per socket.
    Setup(Setup),
    /// What the caller said.
    Prompt {
        /// The words.
        voice_prompt: String,
        /// Their language.
        lang: Option<String>,
        /// The caller has finished; otherwise the next prompt replaces this one.
        last: bool,
    },
    /// A key that the caller pressed.
    Dtmf {
        /// The key.
        digit: String,
    },
    /// The caller interrupted our speech.
    Interrupt {
        /// What was spoken until then.
        utterance_until_interrupt: String,
        /// How long that took.
        duration_until_interrupt_ms: Option<u64>,
    },
    /// The carrier reports a fault.
    Error {
        /// In its own words.
        description: String,
    },
    /// Who speaks, or what has been played; its form is undocumented.
    Info {
        /// Such as `agentSpeaking`.
        name: String,
        /// Such as `on`.
        value: String,
    },
    /// A kind that is not known here. To be ignored.
    Unknown {
        /// Its name.
        kind: String,
    },
}

/// Whose call this is. What is missing or null is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields bear the carrier's names")]
pub struct Setup {
    pub session_id: String,
    pub account_sid: String,
    pub call_sid: String,
    pub parent_call_sid: String,
    pub from: String,
    pub to: String,
    pub forwarded_from: String,
    pub caller_name: String,
    pub direction: String,
    pub call_type: String,
    pub call_status: String,
    pub custom_parameters: BTreeMap<String, String>,
}

/// The text is no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It is no JSON object.
    #[error("the frame is no JSON object")]
    NotAnObject,
    /// A field is missing or of the wrong type.
    #[error("the frame's field `{0}` is missing or of the wrong type")]
    Field(&'static str),
}

/// A frame to the carrier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Outgoing {
    /// Words to speak.
    Text {
        /// The words.
        token: String,
        /// No more words belong to this turn.
        last: bool,
        /// Whether the caller can interrupt them; as the TwiML says if absent.
        #[serde(skip_serializing_if = "Option::is_none")]
        interruptible: Option<bool>,
        /// Whether later words replace what is not yet spoken.
        #[serde(skip_serializing_if = "Option::is_none")]
        preemptible: Option<bool>,
        /// Their language, BCP 47.
        #[serde(skip_serializing_if = "Option::is_none")]
        lang: Option<String>,
    },
    /// Keys to press.
    SendDigits {
        /// The keys.
        digits: Digits,
    },
    /// The session is over; the call goes on with the action's TwiML.
    End {
        /// Handed to the action as it is.
        #[serde(skip_serializing_if = "Option::is_none")]
        handoff_data: Option<String>,
    },
}

/// Keys to press: `0` to `9`, `*`, `#`, and `w` for half a second's pause; at least one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Digits(String);

/// The text has something that is no key, or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a sequence of the keys 0-9, *, # and w")]
pub struct InvalidDigits;

/// Reads a frame.
pub fn parse(text: &str) -> Result<Incoming, Malformed> {
    let Ok(Value::Object(frame)) = serde_json::from_str(text) else { return Err(Malformed::NotAnObject) };
    Ok(match required(&frame, "type")?.as_str() {
        "setup" => Incoming::Setup(setup(&frame)?),
        "prompt" => Incoming::Prompt {
            voice_prompt: optional(&frame, "voicePrompt")?.unwrap_or_default(),
            lang: optional(&frame, "lang")?,
            last: frame.get("last").and_then(Value::as_bool).unwrap_or(true),
        },
        "dtmf" => Incoming::Dtmf { digit: required(&frame, "digit")? },
        "interrupt" => Incoming::Interrupt {
            utterance_until_interrupt: optional(&frame, "utteranceUntilInterrupt")?.unwrap_or_default(),
            duration_until_interrupt_ms: frame.get("durationUntilInterruptMs").and_then(millis),
        },
        "error" => Incoming::Error { description: optional(&frame, "description")?.unwrap_or_default() },
        "info" => Incoming::Info {
            name: optional(&frame, "name")?.unwrap_or_default(),
            value: frame.get("value").map(scalar).unwrap_or_default(),
        },
        kind => Incoming::Unknown { kind: kind.to_owned() },
    })
}

impl Outgoing {
    /// A whole turn.
    #[must_use]
    pub fn text(words: &str) -> Self {
        Self::Text { token: words.to_owned(), last: true, interruptible: None, preemptible: None, lang: None }
    }

    /// A whole turn that gives way to whatever is said after it.
    #[must_use]
    pub fn preemptible_text(words: &str) -> Self {
        Self::Text {
            token: words.to_owned(),
            last: true,
            interruptible: None,
            preemptible: Some(true),
            lang: None,
        }
    }

    /// The frame as it is sent.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("texts and booleans always serialise")
    }
}

impl Digits {
    /// The keys as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Digits {
    type Err = InvalidDigits;
    fn from_str(text: &str) -> Result<Self, InvalidDigits> {
        let valid = !text.is_empty() && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'w' | b'#' | b'*'));
        if valid { Ok(Self(text.to_owned())) } else { Err(InvalidDigits) }
    }
}

impl fmt::Display for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn setup(frame: &Map<String, Value>) -> Result<Setup, Malformed> {
    let text = |name| Ok(optional(frame, name)?.unwrap_or_default());
    let parameters = frame.get("customParameters").and_then(Value::as_object);
    Ok(Setup {
        session_id: text("sessionId")?,
        account_sid: text("accountSid")?,
        call_sid: required(frame, "callSid")?,
        parent_call_sid: text("parentCallSid")?,
        from: text("from")?,
        to: text("to")?,
        forwarded_from: text("forwardedFrom")?,
        caller_name: text("callerName")?,
        direction: text("direction")?,
        call_type: text("callType")?,
        call_status: text("callStatus")?,
        custom_parameters: parameters
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.clone(), scalar(value)))
            .collect(),
    })
}

fn required(frame: &Map<String, Value>, name: &'static str) -> Result<String, Malformed> {
    optional(frame, name)?.ok_or(Malformed::Field(name))
}

fn optional(frame: &Map<String, Value>, name: &'static str) -> Result<Option<String>, Malformed> {
    match frame.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(Malformed::Field(name)),
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Numbers, decimals and texts of both have been seen here.
fn millis(value: &Value) -> Option<u64> {
    let number: f64 = scalar(value).parse().ok()?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float-to-int cast saturates"
    )]
    number.is_finite().then_some(number as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn fixtures() -> Value {
        serde_json::from_str(include_str!("fixtures/conversationrelay_messages.json")).unwrap()
    }

    fn from_fixture(id: &str) -> Result<Incoming, Malformed> {
        let fixtures = fixtures();
        let case =
            fixtures["from_twilio"].as_array().unwrap().iter().find(|case| case["id"] == id).expect(id);
        parse(&case["message"].to_string())
    }

    fn prompt(voice_prompt: &str, lang: Option<&str>, last: bool) -> Incoming {
        Incoming::Prompt { voice_prompt: voice_prompt.to_owned(), lang: lang.map(str::to_owned), last }
    }

    fn interrupt(heard: &str, millis: Option<u64>) -> Incoming {
        Incoming::Interrupt {
            utterance_until_interrupt: heard.to_owned(),
            duration_until_interrupt_ms: millis,
        }
    }

    fn info(name: &str, value: &str) -> Incoming {
        Incoming::Info { name: name.to_owned(), value: value.to_owned() }
    }

    #[rstest]
    #[case("prompt-partial", prompt("Hi! Can", Some("en-US"), false))]
    #[case("prompt-multi", prompt("hola", Some("es"), true))]
    #[case("dtmf", Incoming::Dtmf { digit: "#".to_owned() })]
    #[case("interrupt-string", interrupt("Life is a complex set of", Some(460)))]
    #[case("error", Incoming::Error { description: r#"Invalid message received: { "foo" : "bar" }"#.to_owned() })]
    #[case("info-agent-speaking", info("agentSpeaking", "on"))]
    #[case("info-tokens-played", info("tokensPlayed", "Hi, this is"))]
    #[case("unknown-type", Incoming::Unknown { kind: "somethingNew".to_owned() })]
    fn frames_of_the_carrier_are_read(#[case] id: &str, #[case] expected: Incoming) {
        assert_eq!(from_fixture(id), Ok(expected));
    }

    #[test]
    fn a_full_setup_is_read() {
        let expected = Setup {
            session_id: "VX00000000000000000000000000000001".to_owned(),
            account_sid: "ACaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".to_owned(),
            call_sid: "CA00000000000000000000000000000001".to_owned(),
            from: "+15558675310".to_owned(),
            to: "+15017122661".to_owned(),
            direction: "inbound".to_owned(),
            call_type: "PSTN".to_owned(),
            call_status: "RINGING".to_owned(),
            custom_parameters: [("tenant".to_owned(), "t1".to_owned())].into(),
            ..Setup::default()
        };
        assert_eq!(from_fixture("setup"), Ok(Incoming::Setup(expected)));
    }

    #[test]
    fn a_setup_with_gaps_is_read() {
        let text = r#"{"type":"setup","callSid":"CA1","from":null,"customParameters":null,"new":{"x":[1]}}"#;
        let expected = Setup { call_sid: "CA1".to_owned(), ..Setup::default() };
        assert_eq!(parse(text), Ok(Incoming::Setup(expected)));
        assert!(from_fixture("setup-minimal").is_ok());
    }

    #[rstest]
    #[case::number("460", Some(460))]
    #[case::decimal("460.7", Some(460))]
    #[case::text("\"460.7\"", Some(460))]
    #[case::null("null", None)]
    #[case::no_number("\"soon\"", None)]
    #[case::infinite("\"inf\"", None)]
    #[case::negative("-3", Some(0))]
    fn a_duration_is_read_in_any_form(#[case] value: &str, #[case] millis: Option<u64>) {
        let text = format!(r#"{{"type":"interrupt","durationUntilInterruptMs":{value}}}"#);
        assert_eq!(parse(&text), Ok(interrupt("", millis)));
    }

    #[test]
    fn a_prompt_without_last_is_a_whole_one() {
        assert_eq!(parse(r#"{"type":"prompt","voicePrompt":"Hi"}"#), Ok(prompt("Hi", None, true)));
    }

    #[rstest]
    #[case("", Malformed::NotAnObject)]
    #[case("[]", Malformed::NotAnObject)]
    #[case("{", Malformed::NotAnObject)]
    #[case("{}", Malformed::Field("type"))]
    #[case(r#"{"type":3}"#, Malformed::Field("type"))]
    #[case(r#"{"type":"setup"}"#, Malformed::Field("callSid"))]
    #[case(r#"{"type":"dtmf"}"#, Malformed::Field("digit"))]
    #[case(r#"{"type":"prompt","voicePrompt":3}"#, Malformed::Field("voicePrompt"))]
    fn what_is_no_frame_is_refused(#[case] text: &str, #[case] expected: Malformed) {
        assert_eq!(parse(text), Err(expected));
    }

    #[rstest]
    #[case(Outgoing::text("Hello."), json!({"type": "text", "token": "Hello.", "last": true}))]
    #[case(
        Outgoing::preemptible_text("Hm."),
        json!({"type": "text", "token": "Hm.", "last": true, "preemptible": true})
    )]
    #[case(
        Outgoing::Text {
            token: "Hej".to_owned(),
            last: true,
            interruptible: Some(false),
            preemptible: Some(false),
            lang: Some("sv-SE".to_owned()),
        },
        json!({"type": "text", "token": "Hej", "last": true, "lang": "sv-SE", "interruptible": false, "preemptible": false})
    )]
    #[case(
        Outgoing::SendDigits { digits: "9www4085551212#*".parse().unwrap() },
        json!({"type": "sendDigits", "digits": "9www4085551212#*"})
    )]
    #[case(Outgoing::End { handoff_data: None }, json!({"type": "end"}))]
    #[case(
        Outgoing::End { handoff_data: Some(r#"{"reasonCode":"live-agent-handoff"}"#.to_owned()) },
        json!({"type": "end", "handoffData": r#"{"reasonCode":"live-agent-handoff"}"#})
    )]
    fn frames_are_written_as_documented(#[case] frame: Outgoing, #[case] expected: Value) {
        assert_eq!(frame.to_json().parse::<Value>().unwrap(), expected);
    }

    #[test]
    fn what_we_write_is_among_the_documented_frames() {
        let valid = fixtures()["to_twilio_valid"].as_array().unwrap().clone();
        let digits = Outgoing::SendDigits { digits: "9www4085551212#*".parse().unwrap() };
        for frame in [Outgoing::text("world."), digits, Outgoing::End { handoff_data: None }] {
            assert!(valid.contains(&frame.to_json().parse().unwrap()), "{}", frame.to_json());
        }
    }

    #[rstest]
    #[case("")]
    #[case("1a")]
    #[case("1 2")]
    #[case("١")]
    fn what_is_no_key_cannot_be_pressed(#[case] text: &str) {
        assert_eq!(text.parse::<Digits>(), Err(InvalidDigits));
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange_to_be_read_or_refused(text in any::<String>(), kind in "[a-z]{0,9}", value in any::<f64>()) {
            let _ = parse(&text);
            let frame = json!({"type": kind, "digit": text, "durationUntilInterruptMs": value, "value": value});
            let _ = parse(&frame.to_string());
        }
    }
}
