//! `Messages` of the simulated carrier, by SMS or WhatsApp: what it takes, and what it refuses.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use shared::model::{Channel, PhoneNumber};

use super::Carrier;
use super::rest::{Answer, Fields, Refusal, page};
use super::text::{Record, WHATSAPP, prefix};

/// Twilio's number for "not a valid phone number": <https://www.twilio.com/docs/iam/test-credentials>.
pub(super) const INVALID: &str = "+15005550001";
/// A telephone that is switched off.
pub(super) const SWITCHED_OFF: &str = "+15005550003";
/// Asks for patience.
pub(super) const TOO_MANY: &str = "+15005550008";
/// Takes the request, then fails to say so.
pub(super) const LOST_ANSWER: &str = "+15005550009";

const CREATE_FIELDS: &str = "To StatusCallback ApplicationSid MaxPrice ProvideFeedback Attempt ValidityPeriod ForceDelivery \
    ContentRetention AddressRetention SmartEncoded PersistentAction TrafficType ShortenUrls ScheduleType \
    SendAt SendAsMms ContentVariables MessageIntent RiskCheck From FallbackFrom MessagingServiceSid Body \
    MediaUrl ContentSid";
const LIST_FIELDS: &str = "To From DateSent< DateSent> PageSize Page PageToken";

/// `POST Messages.json`
pub(super) fn create(carrier: &Arc<Carrier>, form: &Fields) -> Answer {
    form.only(CREATE_FIELDS)?;
    let channel = channel(form)?;
    let not_ours = if channel == Channel::Whatsapp { 63007 } else { 21606 };
    let (from, to) = parties(carrier, channel, form, [21604, 21603, not_ours])?;
    let (body, media) = (body(form)?, form.all("MediaUrl").count());
    if body.is_empty() && media == 0 {
        return Err(Refusal::bad_request(21602, "Message body is required"));
    }
    if body.chars().count() > 1600 {
        return Err(Refusal::bad_request(
            21617,
            "The concatenated message body exceeds the 1600 character limit",
        ));
    }
    if media > if channel == Channel::Whatsapp { 1 } else { 10 } {
        return Err(Refusal::bad_request(21623, "Number of media files exceeds allowed limit"));
    }
    if channel == Channel::Sms && carrier.state().opted_out.contains(&(from.clone(), to.clone())) {
        return Err(Refusal::bad_request(21610, "Attempt to send to unsubscribed recipient"));
    }
    let mut record = Record::new(channel, (&from, &to), &body);
    record.media = media;
    let answer = record.to_json(carrier);
    let callback = form.get("StatusCallback").map(str::to_owned);
    carrier.keep(record.clone());
    carrier.spawn(Arc::clone(carrier).deliver(record, callback));
    if to.as_str() == LOST_ANSWER {
        return Err(Refusal { status: 500, code: 20500, message: "An internal server error has occurred" });
    }
    Ok((201, answer))
}

/// `GET Messages.json`
pub(super) fn list(carrier: &Carrier, query: &Fields) -> Answer {
    query.only(LIST_FIELDS)?;
    let (after, before) = (moment(query.get("DateSent>"))?, moment(query.get("DateSent<"))?);
    let entries: Vec<Value> = carrier
        .state()
        .texts
        .iter()
        .rev()
        .filter(|record| query.get("To").is_none_or(|to| record.to() == to))
        .filter(|record| query.get("From").is_none_or(|from| record.from() == from))
        .filter(|record| after.is_none_or(|after| record.sent.is_some_and(|sent| sent >= after)))
        .filter(|record| before.is_none_or(|before| record.sent.is_some_and(|sent| sent <= before)))
        .map(|record| record.to_json(carrier))
        .collect();
    page(carrier, "Messages", query, &entries)
}

/// `GET Messages/{Sid}.json`
pub(super) fn fetch(carrier: &Carrier, sid: &str) -> Answer {
    let state = carrier.state();
    let record = state.texts.iter().find(|record| record.text.sid.as_str() == sid);
    record.map(|record| (200, record.to_json(carrier))).ok_or(Refusal::NOT_FOUND)
}

/// Both ends of a message are numbers, or both are on WhatsApp.
fn channel(form: &Fields) -> Result<Channel, Refusal> {
    let is_whatsapp = |name| form.get(name).is_some_and(|address| address.starts_with(WHATSAPP));
    match (is_whatsapp("From"), is_whatsapp("To")) {
        (true, true) => Ok(Channel::Whatsapp),
        (false, false) => Ok(Channel::Sms),
        _ => Err(Refusal::bad_request(21910, "Invalid From and To pair")),
    }
}

/// The message's text. Of a template, whose words only the real carrier knows, its name and what fills its gaps.
fn body(form: &Fields) -> Result<String, Refusal> {
    let Some(sid) = form.get("ContentSid") else {
        return Ok(form.get("Body").unwrap_or_default().to_owned());
    };
    let digits = sid.strip_prefix("HX").unwrap_or_default();
    if digits.len() != 32 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(Refusal::bad_request(21655, "The ContentSid is invalid"));
    }
    let vars = form.get("ContentVariables").unwrap_or("{}");
    let vars: BTreeMap<String, String> = serde_json::from_str(vars)
        .map_err(|_| Refusal::bad_request(21656, "The ContentVariables parameter is invalid"))?;
    let vars: String = vars.iter().map(|(name, value)| format!(" {name}={value}")).collect();
    Ok(format!("[{sid}{vars}]"))
}

/// Who sends to whom, or calls whom. The codes are those for no recipient, no sender, and a sender that is not ours.
pub(super) fn parties(
    carrier: &Carrier,
    channel: Channel,
    form: &Fields,
    [no_to, no_from, not_ours]: [u32; 3],
) -> Result<(PhoneNumber, PhoneNumber), Refusal> {
    let to = form.get("To").ok_or(Refusal::bad_request(no_to, "A 'To' phone number is required"))?;
    let from = form.get("From").ok_or(Refusal::bad_request(no_from, "A 'From' phone number is required"))?;
    let number = |address: &str| address.strip_prefix(prefix(channel))?.parse::<PhoneNumber>().ok();
    let to = number(to)
        .filter(|to| to.as_str() != INVALID)
        .ok_or(Refusal::bad_request(21211, "The 'To' number is not a valid phone number"))?;
    let from = number(from)
        .filter(|from| carrier.state().text_hook(channel, from).is_some())
        .ok_or(Refusal::bad_request(not_ours, "The 'From' phone number is not owned by this account"))?;
    if to.as_str() == TOO_MANY {
        return Err(Refusal { status: 429, code: 20429, message: "Too Many Requests" });
    }
    Ok((from, to))
}

fn moment(text: Option<&str>) -> Result<Option<Timestamp>, Refusal> {
    let parse = |text: &str| {
        let midnight = || format!("{text}T00:00:00Z").parse();
        text.parse::<Timestamp>().or_else(|_| midnight())
    };
    let invalid = |_| Refusal::bad_request(20001, "A date parameter is not a date");
    text.map(parse).transpose().map_err(invalid)
}
