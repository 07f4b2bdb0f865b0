//! What the arguments of `comms_send_message` ask for. Arguments that belong to another job are refused by name: a
//! model that gave them expects something that would not happen.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use shared::ids::{CallSid, TurnId};
use shared::model::{Attachment, Channel, Timestamp};
use shared::protocol::{SendMessage, SendVoiceMessage, Speak, VoiceRoad};

use crate::arguments::{InEnvelope, ToolArguments};
use crate::failure::Failure;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct SendArguments {
    /// E.164 number, e-mail address or another agent's id.
    to: Option<String>,
    /// The text, or the words to speak; in a call it may be empty.
    body: String,
    /// Default sms. voice without callSid: a call that says the body and hangs up.
    channel: Option<Channel>,
    /// E-mail only, as are html, attachments and replyTo.
    subject: Option<String>,
    html: Option<String>,
    /// Public https links of files that go along.
    #[serde(default)]
    media_urls: Vec<String>,
    #[serde(default)]
    attachments: Vec<Attachment>,
    /// An approved template, in place of the body.
    template_id: Option<String>,
    #[serde(default)]
    template_vars: BTreeMap<String, String>,
    reply_to: Option<String>,
    /// The same key never sends twice.
    idempotency_key: Option<String>,
    /// Not before this.
    schedule_at: Option<Timestamp>,
    /// The live call to speak in.
    call_sid: Option<CallSid>,
    /// The turn of the last result: it is never answered twice.
    turn_id: Option<TurnId>,
    /// Keys to press in the call: 0-9 * # and w for half a second's pause.
    digits: Option<String>,
    /// Hang up after the words.
    #[serde(default)]
    end_call: bool,
    /// For the other side's next words. Default 25; cut to what the host allows.
    wait_seconds: Option<u64>,
}

/// What the arguments ask for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Job {
    Write(SendMessage),
    Say(SendVoiceMessage),
    Speak(Speak),
}

impl ToolArguments for SendArguments {
    const ENVELOPE: &'static [InEnvelope] = &[InEnvelope::AgentId, InEnvelope::ApprovalId];
}

/// Why an argument is out of place, and what to do about it.
pub(super) type Refusal = (&'static str, &'static str);

pub(super) const NOT_IN_A_CALL: Refusal =
    ("does not go with callSid", "With callSid the words go into the call; leave it out.");
const ONLY_IN_A_CALL: Refusal =
    ("needs callSid", "Give the callSid of a live call; comms_make_call starts one.");
const NOT_SPOKEN: Refusal = ("does not go with channel voice", "The body is spoken as it is; leave it out.");
const ONLY_BY_EMAIL: Refusal = ("goes with channel email only", "Leave it out, or give channel email.");

pub(super) fn job(arguments: SendArguments) -> Result<Job, Failure> {
    if let Some(call_sid) = arguments.call_sid.clone() {
        return speaking(call_sid, arguments).map(Job::Speak);
    }
    refuse(&arguments.of_a_call(), ONLY_IN_A_CALL)?;
    let to = arguments.to.clone().ok_or_else(|| {
        let hint = "Give the one to write to, or the callSid to speak in.";
        Failure::invalid("the argument `to` is missing", hint)
    })?;
    match arguments.channel.unwrap_or(Channel::Sms) {
        Channel::Voice => saying(to, arguments).map(Job::Say),
        Channel::Email => Ok(Job::Write(written(to, Channel::Email, arguments))),
        channel @ (Channel::Sms | Channel::Whatsapp) => {
            refuse(&arguments.of_an_email(), ONLY_BY_EMAIL)?;
            Ok(Job::Write(written(to, channel, arguments)))
        }
    }
}

fn speaking(call_sid: CallSid, arguments: SendArguments) -> Result<Speak, Failure> {
    let another = arguments.channel.filter(|channel| *channel != Channel::Voice);
    let channel = another.map_or("channel", named);
    let of_a_message = [
        ("to", arguments.to.is_some()),
        ("idempotencyKey", arguments.idempotency_key.is_some()),
        (channel, another.is_some()),
    ];
    refuse(&of_a_message, NOT_IN_A_CALL)?;
    refuse(&arguments.of_writing(), NOT_IN_A_CALL)?;
    refuse(&arguments.of_an_email(), NOT_IN_A_CALL)?;
    let SendArguments { turn_id, body, digits, end_call, wait_seconds, .. } = arguments;
    Ok(Speak { call_sid, turn_id, body, digits, end_call, wait_seconds })
}

fn saying(to: String, arguments: SendArguments) -> Result<SendVoiceMessage, Failure> {
    refuse(&arguments.of_writing(), NOT_SPOKEN)?;
    refuse(&arguments.of_an_email(), NOT_SPOKEN)?;
    let SendArguments { body: text, idempotency_key, .. } = arguments;
    Ok(SendVoiceMessage { to, text, voice: None, channel: Some(VoiceRoad::Phone), idempotency_key })
}

fn written(to: String, channel: Channel, arguments: SendArguments) -> SendMessage {
    SendMessage {
        to,
        body: arguments.body,
        channel,
        subject: arguments.subject,
        html: arguments.html,
        media_urls: arguments.media_urls,
        attachments: arguments.attachments,
        template_id: arguments.template_id,
        template_vars: arguments.template_vars,
        reply_to: arguments.reply_to,
        idempotency_key: arguments.idempotency_key,
        schedule_at: arguments.schedule_at,
    }
}

/// An argument's name, and whether it was given.
pub(super) type Given = (&'static str, bool);

impl SendArguments {
    /// What only a live call has.
    fn of_a_call(&self) -> [Given; 4] {
        [
            ("turnId", self.turn_id.is_some()),
            ("digits", self.digits.is_some()),
            ("endCall", self.end_call),
            ("waitSeconds", self.wait_seconds.is_some()),
        ]
    }

    /// What only a written message has.
    fn of_writing(&self) -> [Given; 4] {
        [
            ("mediaUrls", !self.media_urls.is_empty()),
            ("templateId", self.template_id.is_some()),
            ("templateVars", !self.template_vars.is_empty()),
            ("scheduleAt", self.schedule_at.is_some()),
        ]
    }

    /// What only an e-mail has.
    fn of_an_email(&self) -> [Given; 4] {
        [
            ("subject", self.subject.is_some()),
            ("html", self.html.is_some()),
            ("attachments", !self.attachments.is_empty()),
            ("replyTo", self.reply_to.is_some()),
        ]
    }
}

fn named(channel: Channel) -> &'static str {
    match channel {
        Channel::Sms => "channel sms",
        Channel::Whatsapp => "channel whatsapp",
        Channel::Email => "channel email",
        Channel::Voice => "channel voice",
    }
}

/// Refuses the first argument that is out of place.
pub(super) fn refuse(misplaced: &[Given], (why, hint): Refusal) -> Result<(), Failure> {
    match misplaced.iter().find(|(_, given)| *given) {
        Some((name, _)) => Err(Failure::invalid(format!("`{name}` {why}"), hint)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn job_of(arguments: Value) -> Result<Job, String> {
        job(serde_json::from_value(arguments).unwrap()).map_err(|failure| {
            let text = failure.into_result().content[0].as_text().unwrap().text.clone();
            serde_json::from_str::<Value>(&text).unwrap()["error"]["message"].as_str().unwrap().to_owned()
        })
    }

    #[test]
    fn without_a_call_it_writes_and_every_argument_goes_along() {
        let arguments = json!({
            "to": "ann@example.org", "body": "hi", "channel": "email", "subject": "s", "html": "<p>hi</p>",
            "mediaUrls": ["https://x"], "replyTo": "r@example.org", "idempotencyKey": "k",
            "attachments": [{ "filename": "a.txt", "contentType": "text/plain", "contentBase64": "aGk=" }],
            "templateId": "t", "templateVars": { "1": "one" }, "scheduleAt": "2026-11-18T11:06:40.123Z",
        });
        let expected = SendMessage {
            to: "ann@example.org".into(),
            body: "hi".into(),
            channel: Channel::Email,
            subject: Some("s".into()),
            html: Some("<p>hi</p>".into()),
            media_urls: vec!["https://x".into()],
            attachments: vec![Attachment {
                filename: "a.txt".into(),
                content_type: "text/plain".into(),
                content_base64: "aGk=".into(),
            }],
            template_id: Some("t".into()),
            template_vars: BTreeMap::from([("1".into(), "one".into())]),
            reply_to: Some("r@example.org".into()),
            idempotency_key: Some("k".into()),
            schedule_at: Some(Timestamp::from_millis(1_795_000_000_123)),
        };
        assert_eq!(job_of(arguments), Ok(Job::Write(expected)));
    }

    #[rstest::rstest]
    #[case(json!({ "to": "+15550100", "body": "hi" }), Channel::Sms)]
    #[case(json!({ "to": "+15550100", "body": "hi", "channel": "whatsapp" }), Channel::Whatsapp)]
    fn it_writes_an_sms_if_no_channel_is_given(#[case] arguments: Value, #[case] channel: Channel) {
        let Ok(Job::Write(message)) = job_of(arguments) else { panic!("nothing is written") };
        assert_eq!(message.channel, channel);
    }

    #[test]
    fn on_the_channel_voice_the_body_is_spoken_by_telephone() {
        let arguments = json!({ "to": "+15550100", "body": "hi", "channel": "voice", "idempotencyKey": "k" });
        let expected = SendVoiceMessage {
            to: "+15550100".into(),
            text: "hi".into(),
            voice: None,
            channel: Some(VoiceRoad::Phone),
            idempotency_key: Some("k".into()),
        };
        assert_eq!(job_of(arguments), Ok(Job::Say(expected)));
    }

    #[test]
    fn with_a_call_it_speaks() {
        let turn = TurnId::generate();
        let arguments = json!({
            "callSid": "CA1", "body": "hi", "channel": "voice", "turnId": turn, "digits": "1#", "endCall": true,
            "waitSeconds": 3,
        });
        let expected = Speak {
            call_sid: "CA1".parse().unwrap(),
            turn_id: Some(turn),
            body: "hi".into(),
            digits: Some("1#".into()),
            end_call: true,
            wait_seconds: Some(3),
        };
        assert_eq!(job_of(arguments), Ok(Job::Speak(expected)));
    }

    #[rstest::rstest]
    #[case(json!({ "body": "b" }), "the argument `to` is missing")]
    #[case(json!({ "body": "b", "channel": "voice" }), "the argument `to` is missing")]
    #[case(json!({ "body": "b", "to": "+1", "turnId": "01890a5d-ac96-774b-bcce-b302099a8057" }), "`turnId` needs callSid")]
    #[case(json!({ "body": "b", "to": "+1", "digits": "1" }), "`digits` needs callSid")]
    #[case(json!({ "body": "b", "to": "+1", "endCall": true }), "`endCall` needs callSid")]
    #[case(json!({ "body": "b", "to": "+1", "waitSeconds": 1 }), "`waitSeconds` needs callSid")]
    #[case(json!({ "body": "b", "to": "+1", "subject": "s" }), "`subject` goes with channel email only")]
    #[case(json!({ "body": "b", "to": "+1", "channel": "whatsapp", "html": "h" }), "`html` goes with channel email only")]
    #[case(json!({ "body": "b", "to": "+1", "replyTo": "r" }), "`replyTo` goes with channel email only")]
    #[case(json!({ "body": "b", "to": "+1", "attachments": [{ "filename": "f", "contentType": "c", "contentBase64": "" }] }), "`attachments` goes with channel email only")]
    #[case(json!({ "body": "b", "to": "+1", "channel": "voice", "mediaUrls": ["x"] }), "`mediaUrls` does not go with channel voice")]
    #[case(json!({ "body": "b", "to": "+1", "channel": "voice", "templateVars": { "1": "x" } }), "`templateVars` does not go with channel voice")]
    #[case(json!({ "body": "b", "to": "+1", "channel": "voice", "scheduleAt": "2026-11-18T11:06:40Z" }), "`scheduleAt` does not go with channel voice")]
    #[case(json!({ "body": "b", "to": "+1", "channel": "voice", "subject": "s" }), "`subject` does not go with channel voice")]
    #[case(json!({ "body": "b", "callSid": "CA1", "to": "+1" }), "`to` does not go with callSid")]
    #[case(json!({ "body": "b", "callSid": "CA1", "mediaUrls": ["x"] }), "`mediaUrls` does not go with callSid")]
    #[case(json!({ "body": "b", "callSid": "CA1", "templateId": "t" }), "`templateId` does not go with callSid")]
    #[case(json!({ "body": "b", "callSid": "CA1", "html": "h" }), "`html` does not go with callSid")]
    #[case(json!({ "body": "b", "callSid": "CA1", "idempotencyKey": "k" }), "`idempotencyKey` does not go with callSid")]
    #[case(json!({ "body": "b", "callSid": "CA1", "channel": "sms" }), "`channel sms` does not go with callSid")]
    #[case(json!({ "body": "b", "callSid": "CA1", "channel": "email" }), "`channel email` does not go with callSid")]
    fn arguments_of_another_job_are_refused(#[case] arguments: Value, #[case] message: &str) {
        assert_eq!(job_of(arguments), Err(message.to_owned()));
    }
}
