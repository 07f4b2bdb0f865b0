//! TwiML, as far as a telephone in this process can follow it.

use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;
use shared::model::PhoneNumber;

/// One instruction to the carrier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Say(String),
    Pause {
        seconds: u64,
    },
    Play,
    /// Hands the call to a WebSocket; `action` says what comes after it.
    Connect {
        action: Option<String>,
        relay: Relay,
    },
    /// Puts the call through to another telephone.
    Dial(Dial),
    Record {
        action: Option<String>,
    },
    Redirect(String),
    Reject {
        busy: bool,
    },
    Hangup,
    /// Something that this carrier passes over.
    Other(String),
}

/// `<ConversationRelay>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Relay {
    pub(super) url: String,
    pub(super) welcome_greeting: Option<String>,
    pub(super) language: Option<String>,
    pub(super) parameters: Vec<(String, String)>,
}

/// `<Dial>` of one number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dial {
    pub(super) number: PhoneNumber,
    pub(super) caller_id: Option<PhoneNumber>,
    /// Says what the called telephone hears before it is joined with the call.
    pub(super) whisper: Option<String>,
    pub(super) time_limit: Option<u64>,
    pub(super) action: Option<String>,
}

/// The text is no TwiML document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotTwiml;

/// The instructions in the order in which they are to be followed.
pub(super) fn parse(text: &str) -> Result<Vec<Verb>, NotTwiml> {
    let root = read(text)?;
    if root.name != "Response" {
        return Err(NotTwiml);
    }
    Ok(root.children.into_iter().map(verb).collect())
}

#[derive(Default)]
struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    text: String,
    children: Vec<Element>,
}

impl Element {
    fn attribute(&self, name: &str) -> Option<String> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
    }
}

fn verb(element: Element) -> Verb {
    match element.name.as_str() {
        "Say" => Verb::Say(element.text),
        "Pause" => {
            let length = element.attribute("length").and_then(|seconds| seconds.parse().ok());
            Verb::Pause { seconds: length.unwrap_or(1) }
        }
        "Play" => Verb::Play,
        "Connect" => match element.children.iter().find(|child| child.name == "ConversationRelay") {
            Some(child) => Verb::Connect { action: element.attribute("action"), relay: relay(child) },
            None => Verb::Other(element.name),
        },
        "Dial" => dial(&element).map_or(Verb::Other(element.name), Verb::Dial),
        "Record" => Verb::Record { action: element.attribute("action") },
        "Redirect" => Verb::Redirect(element.text.trim().to_owned()),
        "Reject" => Verb::Reject { busy: element.attribute("reason").as_deref() == Some("busy") },
        "Hangup" => Verb::Hangup,
        _ => Verb::Other(element.name),
    }
}

fn dial(element: &Element) -> Option<Dial> {
    let child = element.children.iter().find(|child| child.name == "Number");
    Some(Dial {
        number: child.map_or(&element.text, |child| &child.text).trim().parse().ok()?,
        caller_id: element.attribute("callerId").and_then(|number| number.parse().ok()),
        whisper: child.and_then(|child| child.attribute("url")),
        time_limit: element.attribute("timeLimit").and_then(|seconds| seconds.parse().ok()),
        action: element.attribute("action"),
    })
}

fn relay(element: &Element) -> Relay {
    let parameters = element.children.iter().filter(|child| child.name == "Parameter");
    Relay {
        url: element.attribute("url").unwrap_or_default(),
        welcome_greeting: element.attribute("welcomeGreeting"),
        language: element.attribute("language"),
        parameters: parameters
            .filter_map(|child| child.attribute("name").zip(child.attribute("value")))
            .collect(),
    }
}

fn read(text: &str) -> Result<Element, NotTwiml> {
    let mut reader = Reader::from_str(text);
    let mut open: Vec<Element> = vec![Element::default()];
    loop {
        match reader.read_event().map_err(|_| NotTwiml)? {
            Event::Start(start) => open.push(begin(&start)?),
            Event::Empty(start) => adopt(&mut open, begin(&start)?)?,
            Event::End(_) => {
                let closed = open.pop().ok_or(NotTwiml)?;
                adopt(&mut open, closed)?;
            }
            Event::Text(text) => innermost(&mut open)?.text.push_str(&text.xml10_content()),
            Event::CData(text) => innermost(&mut open)?.text.push_str(&text.xml10_content()),
            Event::GeneralRef(entity) => {
                let character = entity.resolve_char_ref().map_err(|_| NotTwiml)?;
                let text = &mut innermost(&mut open)?.text;
                match character {
                    Some(character) => text.push(character),
                    None => {
                        text.push_str(resolve_predefined_entity(&entity.xml10_content()).ok_or(NotTwiml)?)
                    }
                }
            }
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            Event::DocType(_) => return Err(NotTwiml),
            Event::Eof => break,
        }
    }
    match (open.pop(), open.is_empty()) {
        (Some(document), true) => document.children.into_iter().next().ok_or(NotTwiml),
        _ => Err(NotTwiml),
    }
}

fn begin(start: &BytesStart<'_>) -> Result<Element, NotTwiml> {
    let mut element = Element { name: start.name().0.to_owned(), ..Element::default() };
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|_| NotTwiml)?;
        let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|_| NotTwiml)?;
        element.attributes.push((attribute.key.0.to_owned(), value.into_owned()));
    }
    Ok(element)
}

fn innermost(open: &mut [Element]) -> Result<&mut Element, NotTwiml> {
    open.last_mut().ok_or(NotTwiml)
}

fn adopt(open: &mut [Element], child: Element) -> Result<(), NotTwiml> {
    innermost(open)?.children.push(child);
    Ok(())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Golden {
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        id: String,
        twiml: String,
    }

    fn golden() -> Vec<Case> {
        serde_json::from_str::<Golden>(include_str!("../fixtures/twiml_golden.json")).unwrap().cases
    }

    fn parsed(id: &str) -> Vec<Verb> {
        parse(&golden().into_iter().find(|case| case.id == id).unwrap().twiml).unwrap()
    }

    #[test]
    fn every_document_of_the_vendor_is_read() {
        let unread: Vec<String> =
            golden().into_iter().filter(|case| parse(&case.twiml).is_err()).map(|case| case.id).collect();
        assert_eq!(unread, Vec::<String>::new());
    }

    #[test]
    fn a_relay_is_read_with_its_greeting_and_parameters() {
        let relay = Relay {
            url: "wss://r.example/ws".into(),
            welcome_greeting: Some("Tom & \"Jerry\" <3 café".into()),
            language: Some("en-US".into()),
            parameters: vec![("tenant".into(), "t&1".into())],
        };
        let action = Some("https://r.example/action?x=1&y=2".into());
        assert_eq!(parsed("cr-every-attribute"), [Verb::Connect { action, relay }]);
    }

    #[rstest]
    #[case("say-pause-hangup", vec![
        Verb::Say("This call may be recorded.".into()), Verb::Pause { seconds: 1 }, Verb::Hangup])]
    #[case("record-voicemail", vec![Verb::Record { action: Some("https://r.example/done".into()) }])]
    #[case("gather", vec![Verb::Other("Gather".into()), Verb::Redirect("https://r.example/again".into())])]
    #[case("dial-number", vec![Verb::Dial(Dial {
        number: "+15558675310".parse().unwrap(), caller_id: "+15017122661".parse().ok(), whisper: None,
        time_limit: Some(3600), action: Some("https://r.example/dialed".into()) })])]
    #[case("dial-sip", vec![Verb::Other("Dial".into())])]
    #[case("reject", vec![Verb::Reject { busy: true }])]
    #[case("connect-stream", vec![Verb::Other("Connect".into())])]
    #[case("empty-voice", vec![])]
    fn instructions_are_read_in_order(#[case] id: &str, #[case] verbs: Vec<Verb>) {
        assert_eq!(parsed(id), verbs);
    }

    #[test]
    fn escaped_text_is_what_was_meant() {
        let verbs = parse("<Response><Say>caf&#233; &amp; &lt;ok&gt;</Say></Response>");
        assert_eq!(verbs, Ok(vec![Verb::Say("café & <ok>".into())]));
    }

    #[rstest]
    #[case("")]
    #[case("Internal Server Error")]
    #[case("<html></html>")]
    #[case("<Response><Say>x</Response>")]
    #[case("<Response><Say>")]
    #[case("<Response a=1/>")]
    #[case("<Response><Say>&bomb;</Say></Response>")]
    #[case("<!DOCTYPE x [<!ENTITY a 'b'>]><Response/>")]
    fn anything_else_is_refused(#[case] text: &str) {
        assert_eq!(parse(text), Err(NotTwiml));
    }
}
