//! `comms_send_message`: one tool, two jobs. Without a callSid it sends a message; with one it speaks.

use rmcp::RoleServer;
use rmcp::handler::server::wrapper::Json;
use rmcp::service::RequestContext;
use rmcp::{tool, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::ids::{CallSid, ExternalId, MessageId, TurnId};
use shared::ipc::Told;
use shared::model::{CallStatus, CallTurn, Channel, MessageStatus, Micros, Unread};
use shared::protocol::{ConfirmRead, Heard, MessageSent, SendMessage, Speak};

use super::Answer;
use crate::arguments::Arguments;
use crate::failure::Failure;
use crate::server::Server;
use crate::{host, schema};

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SendArguments {
    /// Number in E.164 form, such as +14155550123. Not with callSid.
    to: Option<String>,
    /// The text, or the words to speak; with callSid it may be empty, to only listen.
    body: String,
    /// Default sms; with callSid always voice.
    channel: Option<Road>,
    /// Public https links of pictures or files that go along (MMS). Not with callSid.
    #[serde(default)]
    media_urls: Vec<String>,
    /// The same key never sends a second message. Not with callSid, where turnId does this.
    idempotency_key: Option<String>,
    /// The live call to speak in.
    call_sid: Option<CallSid>,
    /// The turn these words answer, from the last result: the same turn is never spoken to twice.
    turn_id: Option<TurnId>,
    /// Keys to press in the call: 0-9 * # and w for half a second's pause.
    digits: Option<String>,
    /// Hang up after the words.
    #[serde(default)]
    end_call: bool,
    /// How long to wait for the other side's next words. Default 25; cut to what the host allows.
    wait_seconds: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Road {
    Sms,
    Voice,
}

/// What the arguments ask for.
#[derive(Debug, PartialEq, Eq)]
enum Job {
    Send(SendMessage),
    Speak(Speak),
}

/// Of a message: messageId to segments. Of a call: spoken to callStatus.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Sent {
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<MessageId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    external_id: Option<ExternalId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<MessageStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<Micros>,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<Channel>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    segments: Option<i64>,
    /// Whether the words went out; if not, warnings says why.
    #[serde(skip_serializing_if = "Option::is_none")]
    spoken: Option<bool>,
    /// Everything that the other side said since the last turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    heard: Option<Vec<CallTurn>>,
    /// How much of the previous speech was really heard, where it was interrupted.
    #[serde(skip_serializing_if = "Option::is_none")]
    heard_until: Option<String>,
    /// Give it with the next words.
    #[serde(skip_serializing_if = "Option::is_none")]
    turn_id: Option<TurnId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    silence_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    call_status: Option<CallStatus>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    /// What waits in the inbox, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    unread: Option<Unread>,
}

#[tool_router(router = send_message_tool, vis = "pub(crate)")]
impl Server {
    /// Sends an SMS to `to`, or speaks in the live call `callSid` and gives what the other side says next.
    /// A message is recorded before it is sent; status tells how far it has come, and later news of it are in
    /// comms_get_messages. In a call: an empty body only listens; spoken:false comes with the reason in
    /// warnings; heard is everything the other side said since the last turn, and may be empty when the wait is
    /// over (call again); give turnId with the next words; the call goes on until callStatus is no longer
    /// in-progress or endCall was given.
    #[tool(
        name = "comms_send_message",
        title = "Send a message or speak in a call",
        annotations(read_only_hint = false, destructive_hint = false, idempotent_hint = false, open_world_hint = true),
        input_schema = schema::input::<SendArguments>(),
        output_schema = schema::output::<Sent>()
    )]
    async fn send_message(
        &self,
        arguments: Arguments<SendArguments>,
        context: RequestContext<RoleServer>,
    ) -> Answer<Sent> {
        match job(arguments.checked()?)? {
            Job::Send(message) => Ok(Json(self.wait(&context, self.relay.act(message)).await?.into())),
            Job::Speak(speak) => self.speak(speak, &context).await,
        }
    }

    async fn speak(&self, speak: Speak, context: &RequestContext<RoleServer>) -> Answer<Sent> {
        let call_sid = speak.call_sid.clone();
        let wait_seconds = Some(host::listening(super::host(context).as_deref(), speak.wait_seconds));
        let told = self.wait(context, self.relay.act(Speak { wait_seconds, ..speak })).await?;
        if let Some(last) = told.reply.heard.last() {
            let until = last.turn_id.clone();
            self.deliveries.note(context.id.clone(), ConfirmRead::Turns { call_sid, until });
        }
        Ok(Json(told.into()))
    }
}

fn job(arguments: SendArguments) -> Result<Job, Failure> {
    match arguments.call_sid.clone() {
        Some(call_sid) => speaking(call_sid, arguments).map(Job::Speak),
        None => sending(arguments).map(Job::Send),
    }
}

fn speaking(call_sid: CallSid, arguments: SendArguments) -> Result<Speak, Failure> {
    let SendArguments { to, body, channel, media_urls, idempotency_key, .. } = arguments;
    let misplaced = [
        ("to", to.is_some()),
        ("mediaUrls", !media_urls.is_empty()),
        ("idempotencyKey", idempotency_key.is_some()),
        ("channel sms", channel == Some(Road::Sms)),
    ];
    refuse(&misplaced, "does not go with callSid", "With callSid the words go into the call; leave it out.")?;
    let SendArguments { turn_id, digits, end_call, wait_seconds, .. } = arguments;
    Ok(Speak { call_sid, turn_id, body, digits, end_call, wait_seconds })
}

fn sending(arguments: SendArguments) -> Result<SendMessage, Failure> {
    let SendArguments { channel, turn_id, digits, end_call, wait_seconds, .. } = arguments;
    let misplaced = [
        ("channel voice", channel == Some(Road::Voice)),
        ("turnId", turn_id.is_some()),
        ("digits", digits.is_some()),
        ("endCall", end_call),
        ("waitSeconds", wait_seconds.is_some()),
    ];
    refuse(&misplaced, "needs callSid", "Give the callSid of a live call; comms_make_call starts one.")?;
    let SendArguments { to, body, media_urls, idempotency_key, .. } = arguments;
    let to = to.ok_or_else(|| {
        Failure::invalid(
            "the argument `to` is missing",
            "Give the number to write to, or the callSid to speak in.",
        )
    })?;
    Ok(SendMessage { to, body, channel: Channel::Sms, media_urls, idempotency_key })
}

/// Refuses the first argument that is out of place.
fn refuse(misplaced: &[(&str, bool)], why: &str, hint: &str) -> Result<(), Failure> {
    match misplaced.iter().find(|(_, given)| *given) {
        Some((name, _)) => Err(Failure::invalid(format!("`{name}` {why}"), hint)),
        None => Ok(()),
    }
}

impl From<Told<MessageSent>> for Sent {
    fn from(Told { reply, unread }: Told<MessageSent>) -> Self {
        Self {
            message_id: Some(reply.message_id),
            external_id: reply.external_id,
            status: Some(reply.status),
            cost: reply.cost,
            currency: reply.currency,
            channel: Some(reply.channel),
            from: Some(reply.from),
            to: Some(reply.to),
            segments: reply.segments,
            warnings: reply.warnings,
            unread,
            ..Self::default()
        }
    }
}

impl From<Told<Heard>> for Sent {
    fn from(Told { reply, unread }: Told<Heard>) -> Self {
        Self {
            spoken: Some(reply.spoken),
            heard: Some(reply.heard),
            heard_until: reply.heard_until,
            turn_id: Some(reply.turn_id),
            silence_seconds: Some(reply.silence_seconds),
            call_status: Some(reply.call_status),
            warnings: reply.warnings,
            unread,
            ..Self::default()
        }
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
    fn without_a_call_it_sends_a_text() {
        let arguments = json!({
            "to": "+15550100", "body": "hi", "channel": "sms", "mediaUrls": ["https://x"], "idempotencyKey": "k",
        });
        let expected = SendMessage {
            to: "+15550100".into(),
            body: "hi".into(),
            channel: Channel::Sms,
            media_urls: vec!["https://x".into()],
            idempotency_key: Some("k".into()),
        };
        assert_eq!(job_of(arguments), Ok(Job::Send(expected)));
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
    #[case(json!({ "body": "b", "to": "+1", "channel": "voice" }), "`channel voice` needs callSid")]
    #[case(json!({ "body": "b", "to": "+1", "digits": "1" }), "`digits` needs callSid")]
    #[case(json!({ "body": "b", "to": "+1", "endCall": true }), "`endCall` needs callSid")]
    #[case(json!({ "body": "b", "to": "+1", "waitSeconds": 1 }), "`waitSeconds` needs callSid")]
    #[case(json!({ "body": "b", "callSid": "CA1", "to": "+1" }), "`to` does not go with callSid")]
    #[case(json!({ "body": "b", "callSid": "CA1", "mediaUrls": ["x"] }), "`mediaUrls` does not go with callSid")]
    #[case(json!({ "body": "b", "callSid": "CA1", "idempotencyKey": "k" }), "`idempotencyKey` does not go with callSid")]
    #[case(json!({ "body": "b", "callSid": "CA1", "channel": "sms" }), "`channel sms` does not go with callSid")]
    fn arguments_of_the_other_job_are_refused(#[case] arguments: Value, #[case] message: &str) {
        assert_eq!(job_of(arguments), Err(message.to_owned()));
    }
}
