//! Text messages over the simulated carrier: accepted, reported on, and typed by a person.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use shared::ids::ExternalId;
use shared::model::PhoneNumber;

use super::rest::{Answer, Fields, Refusal, page};
use super::webhook::{API_VERSION, Form, places, random_sid, rfc2822};
use super::{Carrier, LineError, Text};

/// Older texts are forgotten.
const KEPT: usize = 500;
/// How long a text takes from one state to the next.
const STEP: Duration = Duration::from_millis(100);
/// What one segment costs, in millionths of a US dollar.
const SEGMENT_PRICE: u64 = 7_900;

/// Twilio's number for "not a valid phone number": <https://www.twilio.com/docs/iam/test-credentials>.
pub(super) const INVALID: &str = "+15005550001";
/// A telephone that is switched off.
const SWITCHED_OFF: &str = "+15005550003";
/// Asks for patience.
pub(super) const TOO_MANY: &str = "+15005550008";
/// Takes the request, then fails to say so.
pub(super) const LOST_ANSWER: &str = "+15005550009";

const CREATE_FIELDS: &str = "To StatusCallback ApplicationSid MaxPrice ProvideFeedback Attempt ValidityPeriod ForceDelivery \
    ContentRetention AddressRetention SmartEncoded PersistentAction TrafficType ShortenUrls ScheduleType \
    SendAt SendAsMms ContentVariables MessageIntent RiskCheck From FallbackFrom MessagingServiceSid Body \
    MediaUrl ContentSid";
const LIST_FIELDS: &str = "To From DateSent< DateSent> PageSize Page PageToken";

/// A text in the carrier's memory.
#[derive(Clone)]
pub(super) struct Record {
    text: Text,
    status: &'static str,
    inbound: bool,
    media: usize,
    /// The error that the text will end with.
    fate: Option<u32>,
    created: Timestamp,
    updated: Timestamp,
    sent: Option<Timestamp>,
}

impl Record {
    fn new(from: &PhoneNumber, to: &PhoneNumber, body: &str) -> Self {
        let (id, now) = (random_sid("SM"), Timestamp::now());
        let sid = id.parse().expect("letters and digits are an external id");
        let text =
            Text { sid, from: from.clone(), to: to.clone(), body: body.to_owned(), webhook_status: None };
        let (status, fate) = ("queued", (to.as_str() == SWITCHED_OFF).then_some(30003));
        Self { text, status, inbound: false, media: 0, fate, created: now, updated: now, sent: None }
    }

    fn error_code(&self) -> Option<u32> {
        self.fate.filter(|_| self.status == "undelivered")
    }

    fn segments(&self) -> u64 {
        // Exact for plain ASCII and for everything outside the GSM alphabet, which is all that a rehearsal needs.
        let (length, alone, joined) = match self.text.body.is_ascii() {
            true => (self.text.body.len(), 160, 153),
            false => (self.text.body.encode_utf16().count(), 70, 67),
        };
        if length <= alone { 1 } else { length.div_ceil(joined) as u64 }
    }

    fn to_json(&self, carrier: &Carrier) -> Value {
        let sid = self.text.sid.as_str();
        let micros = SEGMENT_PRICE * self.segments();
        // The price is known once the text has gone out.
        let price = self.sent.map(|_| format!("-{}.{:05}", micros / 1_000_000, micros % 1_000_000 / 10));
        json!({
            "account_sid": carrier.settings.account_sid,
            "api_version": API_VERSION,
            "body": self.text.body,
            "date_created": rfc2822(self.created),
            "date_sent": self.sent.map(rfc2822),
            "date_updated": rfc2822(self.updated),
            "direction": if self.inbound { "inbound" } else { "outbound-api" },
            "error_code": self.error_code(),
            "error_message": self.error_code().map(|_| "Unreachable destination handset"),
            "from": self.text.from,
            "messaging_service_sid": null,
            "num_media": self.media.to_string(),
            "num_segments": self.segments().to_string(),
            "price": price,
            "price_unit": "USD",
            "sid": sid,
            "status": self.status,
            "subresource_uris": { "media": carrier.uri(&format!("Messages/{sid}/Media.json")) },
            "to": self.text.to,
            "uri": carrier.uri(&format!("Messages/{sid}.json")),
        })
    }
}

/// `POST Messages.json`
pub(super) fn create(carrier: &Arc<Carrier>, form: &Fields) -> Answer {
    form.only(CREATE_FIELDS)?;
    let (from, to) = parties(carrier, form, [21604, 21603, 21606])?;
    let body = form.get("Body").unwrap_or_default();
    let media = form.all("MediaUrl").count();
    if body.is_empty() && media == 0 {
        return Err(Refusal::bad_request(21602, "Message body is required"));
    }
    if body.chars().count() > 1600 {
        return Err(Refusal::bad_request(
            21617,
            "The concatenated message body exceeds the 1600 character limit",
        ));
    }
    if media > 10 {
        return Err(Refusal::bad_request(21623, "Number of media files exceeds allowed limit"));
    }
    if carrier.state().opted_out.contains(&(from.clone(), to.clone())) {
        return Err(Refusal::bad_request(21610, "Attempt to send to unsubscribed recipient"));
    }
    let record = Record { media, ..Record::new(&from, &to, body) };
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
        .filter(|record| query.get("To").is_none_or(|to| record.text.to.as_str() == to))
        .filter(|record| query.get("From").is_none_or(|from| record.text.from.as_str() == from))
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

/// Who sends to whom. The codes are those for no recipient, no sender, and a sender that is not ours.
pub(super) fn parties(
    carrier: &Carrier,
    form: &Fields,
    [no_to, no_from, not_ours]: [u32; 3],
) -> Result<(PhoneNumber, PhoneNumber), Refusal> {
    let to = form.get("To").ok_or(Refusal::bad_request(no_to, "A 'To' phone number is required"))?;
    let from = form.get("From").ok_or(Refusal::bad_request(no_from, "A 'From' phone number is required"))?;
    let invalid = Refusal::bad_request(21211, "The 'To' number is not a valid phone number");
    let to: PhoneNumber = to.parse().map_err(|_| invalid)?;
    if to.as_str() == INVALID {
        return Err(invalid);
    }
    let foreign = Refusal::bad_request(not_ours, "The 'From' phone number is not owned by this account");
    let from = from.parse().ok().filter(|from| carrier.state().hooks.contains_key(from)).ok_or(foreign)?;
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

impl Carrier {
    /// What happens to a text after it was accepted.
    async fn deliver(self: Arc<Self>, record: Record, callback: Option<String>) {
        let last = if record.fate.is_some() { "undelivered" } else { "delivered" };
        for status in ["sent", last] {
            tokio::time::sleep(STEP).await;
            let Some(record) = self.advance(&record.text.sid, status) else { return };
            if let Some(url) = &callback {
                self.tell(url, &self.status_form(&record)).await;
            }
        }
        if self.state().hooks.contains_key(&record.text.to) {
            // One of our numbers wrote to another: it arrives there like any other text.
            let text = record.text;
            _ = self.receive(&text.from, &text.to, &text.body).await;
        }
    }

    fn advance(&self, sid: &ExternalId, status: &'static str) -> Option<Record> {
        let mut state = self.state();
        let record = state.texts.iter_mut().find(|record| record.text.sid == *sid)?;
        record.status = status;
        record.updated = Timestamp::now();
        record.sent = record.sent.or(Some(record.updated));
        Some(record.clone())
    }

    fn status_form(&self, record: &Record) -> Form {
        let Text { sid, from, to, .. } = &record.text;
        let mut form = vec![
            ("SmsSid", sid.to_string()),
            ("SmsStatus", record.status.to_owned()),
            ("MessageStatus", record.status.to_owned()),
            ("To", to.to_string()),
            ("MessageSid", sid.to_string()),
            ("AccountSid", self.settings.account_sid.clone()),
            ("From", from.to_string()),
            ("ApiVersion", API_VERSION.to_owned()),
        ];
        form.extend(record.error_code().map(|code| ("ErrorCode", code.to_string())));
        form
    }

    /// A text reaches one of our numbers. Gives its id and what our webhook answered.
    pub(super) async fn receive(
        &self,
        from: &PhoneNumber,
        to: &PhoneNumber,
        body: &str,
    ) -> Result<(ExternalId, u16), LineError> {
        let url = self.state().hooks.get(to).ok_or(LineError::NotOurNumber)?.sms_url.clone();
        let now = Timestamp::now();
        let fresh = Record::new(from, to, body);
        let record = Record { inbound: true, status: "received", fate: None, sent: Some(now), ..fresh };
        let (sid, form) = (record.text.sid.clone(), self.inbound_form(&record));
        self.keep(record);
        self.heed_keyword(from, to, body);
        let answer = self.post(&url, &form).await.map_err(|_| LineError::WebhookUnreachable)?;
        if let Some(record) = self.state().texts.iter_mut().find(|record| record.text.sid == sid) {
            record.text.webhook_status = Some(answer.status);
        }
        Ok((sid, answer.status))
    }

    fn inbound_form(&self, record: &Record) -> Form {
        let Text { sid, from, to, body, .. } = &record.text;
        let mut form = vec![
            ("SmsMessageSid", sid.to_string()),
            ("NumMedia", "0".to_owned()),
            ("SmsSid", sid.to_string()),
            ("SmsStatus", record.status.to_owned()),
            ("Body", body.clone()),
            ("To", to.to_string()),
            ("NumSegments", record.segments().to_string()),
            ("MessageSid", sid.to_string()),
            ("AccountSid", self.settings.account_sid.clone()),
            ("From", from.to_string()),
            ("ApiVersion", API_VERSION.to_owned()),
        ];
        form.extend(places());
        form
    }

    /// The words that Twilio itself obeys: <https://help.twilio.com/articles/223134027>.
    fn heed_keyword(&self, from: &PhoneNumber, to: &PhoneNumber, body: &str) {
        let pair = (to.clone(), from.clone());
        match body.trim().to_ascii_uppercase().as_str() {
            "STOP" | "STOPALL" | "UNSUBSCRIBE" | "CANCEL" | "END" | "QUIT" => {
                _ = self.state().opted_out.insert(pair)
            }
            "START" | "YES" | "UNSTOP" => _ = self.state().opted_out.remove(&pair),
            _ => {}
        }
    }

    /// The texts that reached `number`, oldest first.
    pub(super) fn texts_at(&self, number: &PhoneNumber) -> Vec<Text> {
        let state = self.state();
        let reached = state.texts.iter().filter(|record| record.text.to == *number && record.fate.is_none());
        // A text from one of our numbers to another is there twice; as received it counts.
        let ours = state.hooks.contains_key(number);
        reached.filter(|record| record.inbound == ours).map(|record| record.text.clone()).collect()
    }

    fn keep(&self, record: Record) {
        let mut state = self.state();
        if state.texts.len() == KEPT {
            state.texts.pop_front();
        }
        state.texts.push_back(record);
    }
}
