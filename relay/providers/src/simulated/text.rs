//! A text on the simulated carrier: how it is remembered, reported on, and brought to one of our numbers.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use shared::ids::ExternalId;
use shared::model::{Channel, PhoneNumber};

use super::sms::SWITCHED_OFF;
use super::webhook::{API_VERSION, Form, places, random_sid, rfc2822};
use super::{Carrier, LineError, State, Text};

/// Older texts are forgotten.
const KEPT: usize = 500;
/// How long a text takes from one state to the next.
const STEP: Duration = Duration::from_millis(100);
/// What one segment costs, in millionths of a US dollar.
const SEGMENT_PRICE: u64 = 7_900;
/// What a message costs on WhatsApp.
const WHATSAPP_PRICE: u64 = 5_000;
/// What everybody is called there.
const PROFILE: &str = "Somebody";
pub(super) const WHATSAPP: &str = "whatsapp:";

/// A text in the carrier's memory.
#[derive(Clone)]
pub(super) struct Record {
    pub(super) text: Text,
    status: &'static str,
    inbound: bool,
    pub(super) media: usize,
    /// The error that the text will end with.
    fate: Option<u32>,
    created: Timestamp,
    updated: Timestamp,
    pub(super) sent: Option<Timestamp>,
}

impl Record {
    pub(super) fn new(channel: Channel, (from, to): (&PhoneNumber, &PhoneNumber), body: &str) -> Self {
        let (id, now) = (random_sid("SM"), Timestamp::now());
        let text = Text {
            sid: id.parse().expect("letters and digits are an external id"),
            channel,
            from: from.clone(),
            to: to.clone(),
            body: body.to_owned(),
            webhook_status: None,
        };
        let (status, fate) = ("queued", (to.as_str() == SWITCHED_OFF).then_some(30003));
        Self { text, status, inbound: false, media: 0, fate, created: now, updated: now, sent: None }
    }

    fn error_code(&self) -> Option<u32> {
        self.fate.filter(|_| self.status == "undelivered")
    }

    pub(super) fn from(&self) -> String {
        format!("{}{}", prefix(self.text.channel), self.text.from)
    }

    pub(super) fn to(&self) -> String {
        format!("{}{}", prefix(self.text.channel), self.text.to)
    }

    /// Twilio's charge, once the text's fate is known.
    fn price(&self) -> Option<String> {
        let micros = match self.text.channel {
            Channel::Whatsapp => WHATSAPP_PRICE,
            Channel::Sms | Channel::Email | Channel::Voice => SEGMENT_PRICE * self.segments(),
        };
        let is_final = matches!(self.status, "delivered" | "undelivered" | "received");
        is_final.then(|| format!("-{}.{:05}", micros / 1_000_000, micros % 1_000_000 / 10))
    }

    fn segments(&self) -> u64 {
        // Exact for plain ASCII and for everything outside the GSM alphabet, which is all that a rehearsal needs.
        let (length, alone, joined) = match self.text.body.is_ascii() {
            true => (self.text.body.len(), 160, 153),
            false => (self.text.body.encode_utf16().count(), 70, 67),
        };
        if length <= alone { 1 } else { length.div_ceil(joined) as u64 }
    }

    pub(super) fn to_json(&self, carrier: &Carrier) -> Value {
        let sid = self.text.sid.as_str();
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
            "from": self.from(),
            "messaging_service_sid": null,
            "num_media": self.media.to_string(),
            "num_segments": self.segments().to_string(),
            "price": self.price(),
            "price_unit": "USD",
            "sid": sid,
            "status": self.status,
            "subresource_uris": { "media": carrier.uri(&format!("Messages/{sid}/Media.json")) },
            "to": self.to(),
            "uri": carrier.uri(&format!("Messages/{sid}.json")),
        })
    }
}

impl State {
    /// Where texts to one of our numbers or senders are posted.
    pub(super) fn text_hook(&self, channel: Channel, number: &PhoneNumber) -> Option<&str> {
        match channel {
            Channel::Whatsapp => self.whatsapp.get(number).map(String::as_str),
            Channel::Sms | Channel::Email | Channel::Voice => {
                self.numbers.get(number).map(|owned| owned.hooks.sms_url.as_str())
            }
        }
    }
}

impl Carrier {
    /// What happens to a text after it was accepted.
    pub(super) async fn deliver(self: Arc<Self>, record: Record, callback: Option<String>) {
        let last = if record.fate.is_some() { "undelivered" } else { "delivered" };
        for status in ["sent", last] {
            tokio::time::sleep(STEP).await;
            let Some(record) = self.advance(&record.text.sid, status) else { return };
            if let Some(url) = &callback {
                self.tell(url, &self.status_form(&record)).await;
            }
        }
        let text = record.text;
        if last == "delivered" && self.state().text_hook(text.channel, &text.to).is_some() {
            // One of our numbers wrote to another: it arrives there like any other text.
            _ = self.receive(text.channel, (&text.from, &text.to), &text.body).await;
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
        let sid = &record.text.sid;
        let mut form = vec![
            ("SmsSid", sid.to_string()),
            ("SmsStatus", record.status.to_owned()),
            ("MessageStatus", record.status.to_owned()),
            ("To", record.to()),
            ("MessageSid", sid.to_string()),
            ("AccountSid", self.settings.account_sid.clone()),
            ("From", record.from()),
            ("ApiVersion", API_VERSION.to_owned()),
        ];
        form.extend(record.error_code().map(|code| ("ErrorCode", code.to_string())));
        if record.text.channel == Channel::Whatsapp {
            form.push(("ChannelPrefix", "whatsapp".to_owned()));
        }
        form
    }

    /// A text reaches one of our numbers. Gives its id and what our webhook answered.
    pub(super) async fn receive(
        &self,
        channel: Channel,
        (from, to): (&PhoneNumber, &PhoneNumber),
        body: &str,
    ) -> Result<(ExternalId, u16), LineError> {
        let url = self.state().text_hook(channel, to).ok_or(LineError::NotOurNumber)?.to_owned();
        let now = Timestamp::now();
        let fresh = Record::new(channel, (from, to), body);
        let record = Record { inbound: true, status: "received", fate: None, sent: Some(now), ..fresh };
        let (sid, form) = (record.text.sid.clone(), self.inbound_form(&record));
        self.keep(record);
        if channel == Channel::Sms {
            self.heed_keyword(from, to, body);
        }
        let answer = self.post(&url, &form).await.map_err(|_| LineError::WebhookUnreachable)?;
        if let Some(record) = self.state().texts.iter_mut().find(|record| record.text.sid == sid) {
            record.text.webhook_status = Some(answer.status);
        }
        Ok((sid, answer.status))
    }

    fn inbound_form(&self, record: &Record) -> Form {
        let Text { sid, channel, from, body, .. } = &record.text;
        let mut form = vec![
            ("SmsMessageSid", sid.to_string()),
            ("NumMedia", "0".to_owned()),
            ("SmsSid", sid.to_string()),
            ("SmsStatus", record.status.to_owned()),
            ("Body", body.clone()),
            ("To", record.to()),
            ("NumSegments", record.segments().to_string()),
            ("MessageSid", sid.to_string()),
            ("AccountSid", self.settings.account_sid.clone()),
            ("From", record.from()),
            ("ApiVersion", API_VERSION.to_owned()),
        ];
        match channel {
            Channel::Whatsapp => form.extend([
                ("ProfileName", PROFILE.to_owned()),
                ("WaId", from.as_str().trim_start_matches('+').to_owned()),
                ("MessageType", "text".to_owned()),
                ("ReferralNumMedia", "0".to_owned()),
            ]),
            Channel::Sms | Channel::Email | Channel::Voice => form.extend(places()),
        }
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
        let counts =
            |record: &&Record| record.inbound == state.text_hook(record.text.channel, number).is_some();
        reached.filter(counts).map(|record| record.text.clone()).collect()
    }

    pub(super) fn keep(&self, record: Record) {
        let mut state = self.state();
        if state.texts.len() == KEPT {
            state.texts.pop_front();
        }
        state.texts.push_back(record);
    }
}

/// What stands before a number in an address.
pub(super) fn prefix(channel: Channel) -> &'static str {
    match channel {
        Channel::Whatsapp => WHATSAPP,
        Channel::Sms | Channel::Email | Channel::Voice => "",
    }
}
