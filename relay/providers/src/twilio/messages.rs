//! `Messages`: <https://www.twilio.com/docs/messaging/api/message-resource>.

use serde::Deserialize;
use serde_json::json;
use shared::ids::ExternalId;
use shared::model::{Channel, MessageStatus, PhoneNumber, Timestamp};

use super::Settings;
use super::rest::{self, Price};
use crate::http::{HttpRequest, HttpResponse};
use crate::{Accepted, OutboundMessage, ProviderError};

/// What a trial account puts before every text.
const TRIAL_PREFIX: &str = "Sent from your Twilio trial account - ";

#[derive(Deserialize)]
struct Entry {
    sid: ExternalId,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    num_segments: Option<String>,
    #[serde(default)]
    price: Option<String>,
    #[serde(default)]
    price_unit: Option<String>,
    #[serde(default)]
    date_created: Option<String>,
}

#[derive(Deserialize)]
struct Page {
    messages: Vec<Entry>,
    #[serde(default)]
    next_page_uri: Option<String>,
}

/// Creates the message.
#[must_use]
pub fn send_request(settings: &Settings, message: &OutboundMessage) -> HttpRequest {
    let (from, to) = (address(message.channel, &message.from), address(message.channel, &message.to));
    let vars = message.template.as_ref().map(|template| json!(template.vars).to_string());
    let mut form = vec![("To", to.as_str())];
    form.extend(message.status_callback.iter().map(|url| ("StatusCallback", url.as_str())));
    form.extend(vars.iter().filter(|vars| *vars != "{}").map(|vars| ("ContentVariables", vars.as_str())));
    form.push(("From", &from));
    match &message.template {
        Some(template) => form.push(("ContentSid", &template.id)),
        None => {
            form.push(("Body", &message.body));
            form.extend(message.media_urls.iter().map(|url| ("MediaUrl", url.as_str())));
        }
    }
    rest::post(settings, "Messages.json", &form)
}

/// What Twilio would take and WhatsApp would not deliver.
pub fn check(message: &OutboundMessage) -> Result<(), ProviderError> {
    if message.channel == Channel::Whatsapp && message.media_urls.len() > 1 {
        return Err(ProviderError::Rejected {
            code: None,
            problem: "a WhatsApp message carries one medium at most; send the others in messages of their own",
            retryable: false,
        });
    }
    Ok(())
}

/// Reads the answer to [`send_request`].
pub fn parse_sent(answer: &HttpResponse) -> Result<Accepted, ProviderError> {
    rest::read::<Entry>(answer).map(Accepted::from)
}

/// Asks for the newest messages between the two numbers.
#[must_use]
pub fn find_request(settings: &Settings, message: &OutboundMessage) -> HttpRequest {
    let (from, to) = (address(message.channel, &message.from), address(message.channel, &message.to));
    rest::list(settings, "Messages.json", &[("To", to.as_str()), ("From", from.as_str())])
}

/// Reads the answer to [`find_request`]: the first one with this text since `not_before`.
pub fn parse_found(
    answer: &HttpResponse,
    message: &OutboundMessage,
    not_before: Timestamp,
) -> Result<Option<Accepted>, ProviderError> {
    let page: Page = rest::read(answer)?;
    let is_recent = |entry: &Entry| {
        entry.date_created.as_deref().is_some_and(|created| rest::is_recent(created, not_before))
    };
    let found = rest::pick(page.messages, page.next_page_uri.is_some(), is_recent, |entry| {
        says(entry.body.as_deref().unwrap_or_default(), message)
    });
    Ok(found?.map(Accepted::from))
}

/// Asks for one message.
#[must_use]
pub fn price_request(settings: &Settings, message: &ExternalId) -> HttpRequest {
    rest::get(settings, &format!("Messages/{message}.json"), &[])
}

fn address(channel: Channel, number: &PhoneNumber) -> String {
    match channel {
        Channel::Whatsapp => format!("whatsapp:{number}"),
        Channel::Sms | Channel::Email | Channel::Voice => number.to_string(),
    }
}

/// Whether a listed text is what the message says. A template is kept by the provider, so that of its text only what
/// went into the gaps is known.
fn says(text: &str, message: &OutboundMessage) -> bool {
    match &message.template {
        Some(template) => template.vars.values().all(|value| text.contains(value.as_str())),
        None => text.strip_prefix(TRIAL_PREFIX).unwrap_or(text).trim() == message.body.trim(),
    }
}

impl From<Entry> for Accepted {
    fn from(entry: Entry) -> Self {
        Self {
            external_id: entry.sid,
            status: entry.status.as_deref().map_or(MessageStatus::Accepted, status),
            segments: entry.num_segments.and_then(|number| number.parse().ok()),
            cost: Price { price: entry.price, price_unit: entry.price_unit }.amount(),
        }
    }
}

/// A message that Twilio lists has been accepted, whatever else a word that we do not know says of it.
fn status(word: &str) -> MessageStatus {
    match word {
        "sending" | "sent" => MessageStatus::Sent,
        "delivered" | "partially_delivered" => MessageStatus::Delivered,
        "read" => MessageStatus::Read,
        "undelivered" => MessageStatus::Undelivered,
        "failed" | "canceled" => MessageStatus::Failed,
        "receiving" | "received" => MessageStatus::Received,
        _ => MessageStatus::Accepted,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rstest::rstest;
    use serde_json::json;
    use shared::model::Micros;

    use super::super::fixture::{answer, example, pairs, recorded, settings, shape};
    use super::*;
    use crate::Template;
    use crate::error::Cause;

    fn message(body: &str) -> OutboundMessage {
        OutboundMessage {
            channel: Channel::Sms,
            from: "+15017122661".parse().unwrap(),
            to: "+15558675310".parse().unwrap(),
            body: body.to_owned(),
            media_urls: Vec::new(),
            template: None,
            status_callback: None,
        }
    }

    fn template() -> OutboundMessage {
        let id = format!("HX{}", "d".repeat(32));
        let vars = BTreeMap::from([("1".to_owned(), "Zoë".to_owned())]);
        let media_urls = vec!["https://x/a.png".to_owned()];
        let template = Some(Template { id, vars });
        OutboundMessage { channel: Channel::Whatsapp, template, media_urls, ..message("not sent") }
    }

    /// The same with the variables' JSON in one form: the SDK spaces and escapes it otherwise.
    fn with_plain_variables(form: Vec<(String, String)>) -> Vec<(String, String)> {
        let plain = |(name, value): (String, String)| match name.as_str() {
            "ContentVariables" => {
                let vars = serde_json::from_str::<serde_json::Value>(&value).unwrap().to_string();
                (name, vars)
            }
            _ => (name, value),
        };
        form.into_iter().map(plain).collect()
    }

    fn listed(created: &str, body: &str, more: bool) -> HttpResponse {
        let entry = json!({ "sid": "SM1", "status": "sent", "date_created": created, "body": body });
        answer(200, &json!({ "messages": [entry], "next_page_uri": more.then_some("/next") }))
    }

    #[test]
    fn a_text_is_sent_as_the_sdk_sends_it() {
        let callback = Some("https://r.example/s#rc=2&rp=all".to_owned());
        let message = OutboundMessage { status_callback: callback, ..message("café & 100%") };
        assert_eq!(shape(&send_request(&settings(), &message)), recorded("twilio.sms").shape());
    }

    #[test]
    fn media_repeat_their_field_as_the_sdk_repeats_it() {
        let media_urls = vec!["https://x/a.png".to_owned(), "https://x/b.png".to_owned()];
        let request = send_request(&settings(), &OutboundMessage { media_urls, ..message("x") });
        let media = |form: Vec<(String, String)>| {
            form.into_iter().filter(|(name, _)| name == "MediaUrl").collect::<Vec<_>>()
        };
        assert_eq!(media(pairs(&request)), media(recorded("twilio.mms-two-media").form));
    }

    #[test]
    fn a_template_is_sent_over_whatsapp_as_the_sdk_sends_it() {
        let sent = pairs(&send_request(&settings(), &template()));
        let recorded = recorded("twilio.whatsapp-template").form;
        assert_eq!(with_plain_variables(sent), with_plain_variables(recorded));
    }

    #[test]
    fn a_template_without_gaps_has_no_variables() {
        let bare = template().template.map(|template| Template { vars: BTreeMap::new(), ..template });
        let form = pairs(&send_request(&settings(), &OutboundMessage { template: bare, ..template() }));
        assert_eq!(form.iter().find(|(name, _)| name == "ContentVariables"), None);
    }

    #[rstest]
    #[case(Channel::Whatsapp, 1, true)]
    #[case(Channel::Whatsapp, 2, false)]
    #[case(Channel::Sms, 2, true)]
    fn whatsapp_takes_one_medium(#[case] channel: Channel, #[case] media: usize, #[case] taken: bool) {
        let media_urls = vec!["https://x/a.png".to_owned(); media];
        assert_eq!(check(&OutboundMessage { channel, media_urls, ..message("x") }).is_ok(), taken);
    }

    #[rstest]
    #[case("Dear Zoë, it is ready.", true)]
    #[case("Dear Ann, it is ready.", false)]
    fn a_template_is_found_by_what_fills_its_gaps(#[case] body: &str, #[case] found: bool) {
        let answer = listed("Fri, 24 May 2019 17:44:46 +0000", body, false);
        let result = parse_found(&answer, &template(), "2019-05-24T17:44:46Z".parse().unwrap());
        assert_eq!(result.unwrap().is_some(), found);
    }

    #[test]
    fn a_look_up_asks_for_the_newest_between_two_numbers() {
        let request = find_request(&settings(), &message("x"));
        assert_eq!(
            request.url,
            "https://api.twilio.com/2010-04-01/Accounts/ACaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/Messages.json\
             ?To=%2B15558675310&From=%2B15017122661&PageSize=200"
        );
    }

    #[rstest]
    #[case(example("message_fetched"), Some((Micros(7_500), "USD".to_owned())))]
    #[case(example("message_created"), None)]
    fn a_price_is_read_once_it_is_known(
        #[case] message: serde_json::Value,
        #[case] price: Option<(Micros, String)>,
    ) {
        assert_eq!(rest::parse_price(&answer(200, &message)).unwrap(), price);
    }

    #[test]
    fn the_answer_to_a_text_is_read() {
        let accepted = Accepted {
            external_id: format!("SM{}", "a".repeat(32)).parse().unwrap(),
            status: MessageStatus::Accepted,
            segments: Some(1),
            cost: None,
        };
        assert_eq!(parse_sent(&answer(201, &example("message_created"))).unwrap(), accepted);
    }

    #[test]
    fn a_text_is_found_with_its_price() {
        let answer = answer(200, &example("messages_listed"));
        let not_before = "2019-05-24T17:44:46Z".parse().unwrap();
        let found = Accepted {
            external_id: "SMded05904ccb347238880ca9264e8fe1c".parse().unwrap(),
            status: MessageStatus::Sent,
            segments: Some(1),
            cost: Some((Micros(7_500), "USD".to_owned())),
        };
        assert_eq!(parse_found(&answer, &message("testing"), not_before).unwrap(), Some(found));
    }

    #[rstest]
    #[case::the_same_second("Fri, 24 May 2019 17:44:46 +0000", "hello", true)]
    #[case::another_zone("Fri, 24 May 2019 10:44:47 -0700", "hello", true)]
    #[case::a_slow_clock("Fri, 24 May 2019 17:44:42 +0000", "hello", true)]
    #[case::a_trial_account(
        "Fri, 24 May 2019 17:44:46 +0000",
        "Sent from your Twilio trial account - hello",
        true
    )]
    #[case::an_earlier_one("Fri, 24 May 2019 17:44:40 +0000", "hello", false)]
    #[case::other_words("Fri, 24 May 2019 17:44:46 +0000", "hello!", false)]
    #[case::no_date("", "hello", false)]
    fn a_text_is_found_by_words_and_time(#[case] created: &str, #[case] body: &str, #[case] found: bool) {
        let not_before = "2019-05-24T17:44:46.900Z".parse().unwrap();
        let result = parse_found(&listed(created, body, false), &message("hello"), not_before);
        assert_eq!(result.unwrap().is_some(), found);
    }

    #[test]
    fn a_page_that_does_not_reach_back_far_enough_settles_nothing() {
        let not_before = "2019-05-24T17:44:46Z".parse().unwrap();
        let full = listed("Fri, 24 May 2019 17:44:50 +0000", "other", true);
        let result = parse_found(&full, &message("hello"), not_before);
        assert!(matches!(result, Err(ProviderError::Unavailable(Cause::TooMany))), "{result:?}");
    }

    #[rstest]
    #[case("queued", MessageStatus::Accepted)]
    #[case("scheduled", MessageStatus::Accepted)]
    #[case("sending", MessageStatus::Sent)]
    #[case("delivered", MessageStatus::Delivered)]
    #[case("read", MessageStatus::Read)]
    #[case("undelivered", MessageStatus::Undelivered)]
    #[case("canceled", MessageStatus::Failed)]
    #[case("a-word-of-tomorrow", MessageStatus::Accepted)]
    fn a_status_has_our_word(#[case] theirs: &str, #[case] ours: MessageStatus) {
        assert_eq!(status(theirs), ours);
    }
}
