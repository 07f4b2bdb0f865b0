//! TwiML, the answer to a voice webhook.
//!
//! Called by the voice webhooks. Everything that is put in is escaped, and what XML cannot hold is dropped: no text
//! can add an element or an attribute.

use std::collections::BTreeMap;
use std::fmt::Write;

use quick_xml::escape::escape;

/// `<ConversationRelay>` and the `<Connect>` around it.
/// <https://www.twilio.com/docs/voice/twiml/connect/conversationrelay>
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RelayTwiml {
    /// The socket, `wss://…`.
    pub url: String,
    /// Where Twilio asks how to go on once the session has ended.
    pub action: String,
    /// The first words, spoken before anything is said over the socket.
    pub welcome_greeting: Option<String>,
    /// BCP 47, both ways.
    pub language: Option<String>,
    /// The speech provider's name for a voice.
    pub voice: Option<String>,
    /// Any further attributes, by Twilio's names.
    pub extra: BTreeMap<String, String>,
    /// Handed back as `customParameters` in the session's first frame.
    pub parameters: Vec<(String, String)>,
}

/// A call that is handed to another number.
/// <https://www.twilio.com/docs/voice/twiml/dial>
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transfer<'a> {
    /// Said to the person in the call before the number is dialled.
    pub announcement: Option<&'a str>,
    /// BCP 47, of the announcement.
    pub language: Option<&'a str>,
    /// The number that is shown to whoever is called.
    pub caller_id: &'a str,
    /// The number that is called.
    pub to: &'a str,
    /// Both are cut off after this long together.
    pub time_limit_seconds: u32,
    /// Nobody answers after this long.
    pub ring_seconds: u32,
    /// Where Twilio asks what to say to whoever answers, before they are put through.
    pub whisper_url: Option<&'a str>,
    /// Where Twilio asks how to go on once the two are apart.
    pub action: Option<&'a str>,
}

/// No words and nothing to do: the answer to a message, or a hang-up for a call.
#[must_use]
pub fn empty() -> String {
    document("")
}

/// Says something.
#[must_use]
pub fn say(text: &str, language: Option<&str>) -> String {
    document(&saying(text, language, None))
}

/// Says something and hangs up. A voice is named as in <https://www.twilio.com/docs/voice/twiml/say#voice>.
#[must_use]
pub fn say_and_hang_up(text: &str, language: Option<&str>, voice: Option<&str>) -> String {
    document(&(saying(text, language, voice) + "<Hangup/>"))
}

/// Puts the call through to another number, which the caller hears ringing.
#[must_use]
pub fn transfer(transfer: &Transfer<'_>) -> String {
    let announcement =
        transfer.announcement.map(|text| saying(text, transfer.language, None)).unwrap_or_default();
    let (time_limit, ring) = (transfer.time_limit_seconds.to_string(), transfer.ring_seconds.to_string());
    let dial = [
        ("callerId", transfer.caller_id),
        ("timeLimit", &time_limit),
        ("timeout", &ring),
        ("answerOnBridge", "true"),
    ];
    let dial = attributes(dial.into_iter().chain(transfer.action.map(|url| ("action", url))));
    let number = attributes(transfer.whisper_url.map(|url| ("url", url)));
    let to = escape(printable(transfer.to));
    document(&format!("{announcement}<Dial{dial}><Number{number}>{to}</Number></Dial>"))
}

/// Connects the call to our socket.
#[must_use]
pub fn connect_relay(relay: &RelayTwiml) -> String {
    let named = [
        ("url", Some(&relay.url)),
        ("welcomeGreeting", relay.welcome_greeting.as_ref()),
        ("language", relay.language.as_ref()),
        ("voice", relay.voice.as_ref()),
    ];
    let named: Vec<_> = named.into_iter().filter_map(|(name, value)| Some((name, value?.as_str()))).collect();
    // An attribute that stands twice would make the document invalid.
    let extra = relay.extra.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let extra = extra.filter(|(name, _)| is_name(name) && named.iter().all(|(taken, _)| taken != name));
    let attributes_of_relay = attributes(named.iter().copied().chain(extra));
    let parameters = relay.parameters.iter().fold(String::new(), |xml, (name, value)| {
        xml + "<Parameter" + &attributes([("name", name.as_str()), ("value", value)]) + "/>"
    });
    document(&format!(
        "<Connect{}><ConversationRelay{attributes_of_relay}>{parameters}</ConversationRelay></Connect>",
        attributes([("action", relay.action.as_str())])
    ))
}

fn saying(text: &str, language: Option<&str>, voice: Option<&str>) -> String {
    let pairs = [("language", language), ("voice", voice)];
    let attributes = attributes(pairs.into_iter().filter_map(|(name, value)| Some((name, value?))));
    format!("<Say{attributes}>{}</Say>", escape(printable(text)))
}

fn document(content: &str) -> String {
    format!(r#"<?xml version="1.0" encoding="UTF-8"?><Response>{content}</Response>"#)
}

fn attributes<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    pairs.into_iter().fold(String::new(), |mut xml, (name, value)| {
        let _ = write!(xml, r#" {name}="{}""#, escape(printable(value)));
        xml
    })
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// Without the characters that XML 1.0 has no way to write (section 2.2, production 2).
fn printable(text: &str) -> String {
    let is_allowed = |c: &char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..);
    text.chars().filter(is_allowed).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use quick_xml::events::Event;
    use quick_xml::{Reader, XmlVersion};
    use rstest::rstest;

    use super::*;

    #[derive(Debug, PartialEq)]
    enum Node {
        Open(String, BTreeMap<String, String>),
        Text(String),
        Close,
    }

    fn nodes(xml: &str) -> Vec<Node> {
        let mut reader = Reader::from_str(xml);
        reader.config_mut().expand_empty_elements = true;
        let mut nodes = Vec::new();
        loop {
            match reader.read_event().expect("well-formed") {
                Event::Start(start) => {
                    let attributes = start.attributes().map(|attribute| {
                        let attribute = attribute.expect("well-formed");
                        let value =
                            attribute.normalized_value(XmlVersion::Explicit1_0).expect("known entities");
                        (attribute.key.0.to_owned(), value.into_owned())
                    });
                    nodes.push(Node::Open(start.name().0.to_owned(), attributes.collect()));
                }
                Event::End(_) => nodes.push(Node::Close),
                Event::Text(text) => nodes.push(Node::Text(text.xml10_content().into_owned())),
                Event::Eof => return nodes,
                _ => {}
            }
        }
    }

    fn golden(id: &str) -> Vec<Node> {
        let file: serde_json::Value =
            serde_json::from_str(include_str!("fixtures/twiml_golden.json")).unwrap();
        let case = file["cases"].as_array().unwrap().iter().find(|case| case["id"] == id).expect(id);
        nodes(case["twiml"].as_str().unwrap())
    }

    fn relay() -> RelayTwiml {
        RelayTwiml {
            url: "wss://r.example/ws".to_owned(),
            action: "https://r.example/action".to_owned(),
            ..RelayTwiml::default()
        }
    }

    #[rstest]
    #[case("empty-voice")]
    #[case("empty-message")]
    fn nothing_to_say_is_an_empty_response(#[case] id: &str) {
        assert_eq!(nodes(&empty()), golden(id));
    }

    #[test]
    fn the_relay_is_connected_as_the_vendors_library_writes_it() {
        let twiml = RelayTwiml { welcome_greeting: Some("Hi! Ask me anything!".to_owned()), ..relay() };
        assert_eq!(nodes(&connect_relay(&twiml)), golden("cr-minimal"));
    }

    /// Everything of the vendor's longest example that we write: all attributes, and the parameter.
    #[test]
    fn every_attribute_of_the_vendors_library_can_be_written() {
        let expected = golden("cr-every-attribute");
        let Node::Open(_, wanted) = &expected[2] else { panic!("the third node is the relay's") };
        let twiml = RelayTwiml {
            welcome_greeting: wanted.get("welcomeGreeting").cloned(),
            language: wanted.get("language").cloned(),
            voice: wanted.get("voice").cloned(),
            extra: wanted.clone(),
            parameters: vec![("tenant".to_owned(), "t&1".to_owned())],
            ..relay()
        };
        let written = nodes(&connect_relay(&twiml));
        assert_eq!(written[2], expected[2]);
        assert_eq!(written[3..], expected[expected.len() - 5..]);
    }

    #[test]
    fn a_notice_is_said_before_the_hang_up() {
        let written = nodes(&say_and_hang_up("caf\u{0}é", Some("en-US"), Some("Polly.Amy")));
        let open = |name: &str, attributes: &[(&str, &str)]| {
            let attributes = attributes.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
            Node::Open(name.to_owned(), attributes.collect())
        };
        assert_eq!(
            written,
            [
                open("Response", &[]),
                open("Say", &[("language", "en-US"), ("voice", "Polly.Amy")]),
                Node::Text("café".to_owned()),
                Node::Close,
                open("Hangup", &[]),
                Node::Close,
                Node::Close,
            ]
        );
    }

    #[test]
    fn something_is_said_without_a_hang_up() {
        let document =
            r#"<?xml version="1.0" encoding="UTF-8"?><Response><Say>Tom &amp; Ann</Say></Response>"#;
        assert_eq!(say("Tom & Ann", None), document);
    }

    fn golden_transfer() -> Transfer<'static> {
        Transfer {
            caller_id: "+15017122661",
            to: "+15558675310",
            time_limit_seconds: 3600,
            ring_seconds: 20,
            action: Some("https://r.example/dialed"),
            ..Transfer::default()
        }
    }

    /// All of the vendor's example but what we do not ask for: a recording, and news of the second leg.
    #[test]
    fn a_call_is_put_through_as_the_vendors_library_writes_it() {
        let unasked = ["record", "statusCallback", "statusCallbackEvent"];
        let mut expected = golden("dial-number");
        for node in &mut expected {
            if let Node::Open(_, attributes) = node {
                attributes.retain(|name, _| !unasked.contains(&name.as_str()));
            }
        }
        assert_eq!(nodes(&transfer(&golden_transfer())), expected);
    }

    #[test]
    fn a_transfer_is_announced_to_both() {
        let written = transfer(&Transfer {
            announcement: Some("One moment <please>."),
            language: Some("en-US"),
            whisper_url: Some("https://r.example/w?a=1&b=2"),
            action: None,
            ..golden_transfer()
        });
        assert_eq!(
            written,
            concat!(
                r#"<?xml version="1.0" encoding="UTF-8"?><Response>"#,
                r#"<Say language="en-US">One moment &lt;please&gt;.</Say>"#,
                r#"<Dial callerId="+15017122661" timeLimit="3600" timeout="20" answerOnBridge="true">"#,
                r#"<Number url="https://r.example/w?a=1&amp;b=2">+15558675310</Number></Dial></Response>"#,
            )
        );
    }

    #[test]
    fn an_attribute_never_stands_twice_and_has_a_name() {
        let extra = [("url", "wss://evil.example"), ("a b=\"c\"", "x"), ("hints", "a,b")];
        let extra = extra.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let written = nodes(&connect_relay(&RelayTwiml { extra, ..relay() }));
        let attributes = [("url", "wss://r.example/ws"), ("hints", "a,b")];
        let attributes = attributes.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        assert_eq!(written[2], Node::Open("ConversationRelay".to_owned(), attributes));
    }

    proptest! {
        #[test]
        fn no_text_leaves_its_place(text in any::<String>()) {
            let twiml = RelayTwiml {
                welcome_greeting: Some(text.clone()),
                parameters: vec![("name".to_owned(), text.clone())],
                ..relay()
            };
            let kinds: Vec<_> = nodes(&connect_relay(&twiml)).iter().map(std::mem::discriminant).collect();
            let plain = RelayTwiml { parameters: vec![Default::default()], ..relay() };
            let expected: Vec<_> = nodes(&connect_relay(&plain)).iter().map(std::mem::discriminant).collect();
            prop_assert_eq!(kinds, expected);
        }

        #[test]
        fn no_text_leaves_its_place_in_a_transfer(text in "\\PC+") {
            let of = |text: &str| {
                let texts = Transfer {
                    announcement: Some(text),
                    language: Some(text),
                    caller_id: text,
                    to: text,
                    whisper_url: Some(text),
                    ..golden_transfer()
                };
                nodes(&transfer(&texts))
            };
            let elements = |nodes: Vec<Node>| {
                let opened = nodes.into_iter().filter_map(|node| match node {
                    Node::Open(name, attributes) => Some((name, attributes.into_keys().collect::<Vec<_>>())),
                    Node::Text(_) | Node::Close => None,
                });
                opened.collect::<Vec<_>>()
            };
            prop_assert_eq!(elements(of(&text)), elements(of("a")));
        }
    }
}
