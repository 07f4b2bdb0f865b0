//! Voice messages: a call that says a text and hangs up. The message follows its call, which alone is dialled.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use relay_core::call::Timing;
use relay_core::recipient::Address;
use relay_core::{delivery, sanitize};
use relay_store::call_logs::{self, CallLog};
use relay_store::contacts::{self, ContactKey};
use relay_store::messages::{self, Message, StatusChange};
use relay_store::usage_logs::UsageKind;
use relay_store::{Conn, StoreError};
use shared::ids::{MessageId, SessionId};
use shared::model::{
    CallStatus, Channel, Direction, MessageKind, MessageStatus, Micros, Responder, Standing, Timestamp,
};
use shared::protocol::{ErrorCode, SendVoiceMessage, VoiceMessageSent, VoiceRoad};

use super::approvals::{Question, words};
use super::audit::{self, Act};
use super::identity::Caller;
use super::messages::{check_key, digest, not_provisioned};
use super::policy::{self, CURRENCY, Departure};
use super::{ServiceError, calls};
use crate::app::App;

const MAX_TEXT_CHARACTERS: usize = 3_000;
const MAX_VOICE_CHARACTERS: usize = 100;
/// The longest text takes less, with the notice before it.
const LONGEST_SECONDS: i64 = 240;

/// Everything that is recorded of a voice message before anybody is rung.
struct Intent {
    message: Message,
    call: CallLog,
    departure: Departure,
}

/// Sends a voice message. Gives what is known of it once the carrier has taken the call: it may still ring.
pub async fn send(
    app: &App,
    caller: &Caller,
    wanted: SendVoiceMessage,
) -> Result<VoiceMessageSent, ServiceError> {
    let cleaned = sanitize::clean(&wanted.text);
    let wanted = SendVoiceMessage { text: cleaned.text, ..wanted };
    check(app, &wanted)?;
    let limits = app.rules.limits(&policy::terms(app, &caller.agent).await?);
    let most = LONGEST_SECONDS.min(limits.max_call_duration_minutes * 60);
    check_length(app, &wanted.text, most)?;
    let (key, hash) = (wanted.idempotency_key.clone(), fingerprint(&wanted));
    if let Some(earlier) = calls::earlier(app, &caller.agent, key.as_deref(), &hash).await? {
        return report(app, earlier).await;
    }
    let mut intent = intent(app, caller, &wanted, most)?;
    intent.message.removed_characters = cleaned.removed;
    let (id, call) = (intent.message.id.clone(), intent.call.clone());
    match record_intent(app, intent).await {
        Ok(()) => match calls::carry_out(app, call).await {
            Err(ServiceError::Provider { source, .. }) => {
                Err(ServiceError::Provider { source, message_id: Some(id) })
            }
            carried_out => report(app, carried_out?).await,
        },
        // The same key at the same moment: the other one calls.
        Err(ServiceError::Store(StoreError::Conflict(_))) => {
            let other = calls::earlier(app, &caller.agent, key.as_deref(), &hash).await?;
            report(app, other.ok_or(ServiceError::NotFound("message"))?).await
        }
        Err(problem) => Err(policy::refused(app, problem).await),
    }
}

/// What the key stands for.
fn fingerprint(wanted: &SendVoiceMessage) -> String {
    digest(&serde_json::to_string(wanted).expect("its fields are texts"))
}

fn check(app: &App, wanted: &SendVoiceMessage) -> Result<(), ServiceError> {
    let not_configured = |message: &str, hint: &str| {
        Err(ServiceError::refused(ErrorCode::ProviderNotConfigured, message, hint))
    };
    match wanted.channel {
        Some(VoiceRoad::Phone) | None => {}
        Some(VoiceRoad::Whatsapp) => {
            return not_configured(
                "A voice message over WhatsApp needs a speech provider, which this relay does not have; nothing was \
                 sent.",
                "Use the channel phone: a call says the text.",
            );
        }
    }
    sanitize::check_body(&wanted.text, MAX_TEXT_CHARACTERS)
        .map_err(|problem| ServiceError::Invalid { field: "text", problem: problem.to_string() })?;
    let voice = wanted.voice.as_deref().unwrap_or("default");
    if !(1..=MAX_VOICE_CHARACTERS).contains(&voice.chars().count()) {
        let problem = format!("it has 1 to {MAX_VOICE_CHARACTERS} characters");
        return Err(ServiceError::Invalid { field: "voice", problem });
    }
    check_key(wanted.idempotency_key.as_deref())?;
    if !app.can_be_called() {
        return not_configured(
            "The relay has no public address, so the carrier could not ask what to say; nobody was called.",
            "The person who runs the relay must set public.url.",
        );
    }
    Ok(())
}

/// A message that the carrier cuts off would not have been delivered.
fn check_length(app: &App, text: &str, most: i64) -> Result<(), ServiceError> {
    let characters = u32::try_from(calls::disclosed(app, text).chars().count()).unwrap_or(u32::MAX);
    let seconds = Timing::default().speech_per_char.saturating_mul(characters);
    if seconds <= Duration::from_secs(most.unsigned_abs()) {
        return Ok(());
    }
    let problem =
        format!("to say it takes about {} seconds, and this call ends after {most}", seconds.as_secs());
    Err(ServiceError::Invalid { field: "text", problem })
}

fn intent(app: &App, caller: &Caller, wanted: &SendVoiceMessage, most: i64) -> Result<Intent, ServiceError> {
    let profile = app.agents.find(&caller.agent).ok_or(ServiceError::NotFound("agent"))?;
    let from = profile.number(Channel::Voice).ok_or_else(|| not_provisioned(Channel::Voice))?;
    let to = policy::resolve(app, Channel::Voice, &wanted.to)?;
    let charge = match &to {
        Address::Phone(number) => app.rules.prices.call(number, most),
        Address::Email(_) => Micros(0),
    };
    let message = Message {
        from_address: from.to_string(),
        to_address: to.to_string(),
        contact_address: to.to_string(),
        cost_micros: Some(charge),
        ..message(caller, wanted, app.now())
    };
    let call = CallLog { max_duration_seconds: most, ..call(&message, wanted) };
    let asked = (wanted, to.as_str());
    let question =
        Question::new(&caller.agent, "send_voice_message", &asked, words::voice_message(wanted, &to));
    let departure = Departure {
        agent: caller.agent.clone(),
        from: from.to_string(),
        to,
        channel: Channel::Voice,
        kind: UsageKind::VoiceMessage,
        id: call.session_id.to_string(),
        charge,
        quantity: most,
        approval: caller.approval.clone(),
        question,
    };
    Ok(Intent { message, call, departure })
}

/// Without its addresses.
fn message(caller: &Caller, wanted: &SendVoiceMessage, now: Timestamp) -> Message {
    Message {
        id: MessageId::generate(),
        seq: 0,
        agent_id: caller.agent.clone(),
        kind: MessageKind::Message,
        channel: Channel::Voice,
        direction: Direction::Outbound,
        from_address: String::new(),
        to_address: String::new(),
        contact_address: String::new(),
        contact_name: None,
        standing: Standing::Known,
        subject: None,
        body: wanted.text.clone(),
        media: Vec::new(),
        call_sid: None,
        status: MessageStatus::Intended,
        external_id: None,
        error_code: None,
        attempt: 0,
        lease_id: None,
        lease_until: Timestamp::from_millis(0),
        read_at: Some(now),
        removed_characters: 0,
        segments: None,
        cost_micros: None,
        currency: Some(CURRENCY.to_owned()),
        // The call has it: that is what must not happen twice.
        idempotency_key: None,
        request_hash: None,
        created_at: now,
        updated_at: now,
    }
}

/// The call that carries it.
fn call(message: &Message, wanted: &SendVoiceMessage) -> CallLog {
    CallLog {
        session_id: SessionId::generate(),
        agent_id: message.agent_id.clone(),
        call_sid: None,
        direction: Direction::Outbound,
        from_address: message.from_address.clone(),
        to_address: message.to_address.clone(),
        status: CallStatus::Queued,
        responder: Responder::Agent,
        greeting: None,
        system_prompt: None,
        voice: wanted.voice.clone(),
        language: None,
        max_duration_seconds: LONGEST_SECONDS,
        idempotency_key: wanted.idempotency_key.clone(),
        request_hash: wanted.idempotency_key.is_some().then(|| fingerprint(wanted)),
        error_code: None,
        sequence: -1,
        created_at: message.created_at,
        answered_at: None,
        ended_at: None,
        duration_seconds: None,
        say: Some(message.body.clone()),
        message_id: Some(message.id.clone()),
    }
}

/// From here on the call will be placed, refused or unknown, whatever happens to this process.
async fn record_intent(app: &App, intent: Intent) -> Result<(), ServiceError> {
    let rules = Arc::clone(&app.rules);
    app.db
        .transaction::<_, ServiceError, _>(move |tx| {
            async move {
                let Intent { mut message, call, departure } = intent;
                let now = message.created_at;
                let key = ContactKey {
                    agent_id: message.agent_id.clone(),
                    channel: Channel::Voice,
                    address: message.contact_address.clone(),
                };
                let actor = format!("agent:{}", message.agent_id);
                let detail = [("call", call.session_id.as_str())];
                let act = Act(&actor, "voice_message.intended", message.id.as_str());
                message.seq = audit::append(tx, now, act, &detail).await?;
                message.contact_name = contacts::record_outbound(tx, &key, now).await?.name;
                policy::admit(tx, &rules, &departure, now).await?;
                call_logs::insert(tx, &call).await?;
                messages::insert(tx, &message).await?;
                Ok(())
            }
            .boxed()
        })
        .await
}

/// What is known of the message that a call carries. A failure that was recorded is told again.
async fn report(app: &App, call: CallLog) -> Result<VoiceMessageSent, ServiceError> {
    let id = call.message_id.ok_or(ServiceError::NotFound("message"))?;
    if call.call_sid.is_none() {
        return Err(unnamed(call.status, &id));
    }
    let message = app
        .db
        .read::<_, ServiceError, _>(move |conn| {
            async move { messages::find_any(conn, &id).await?.ok_or(ServiceError::NotFound("message")) }
                .boxed()
        })
        .await?;
    Ok(VoiceMessageSent {
        message_id: message.id,
        call_sid: call.call_sid,
        audio_url: None,
        audio_duration_ms: None,
        status: message.status,
        cost: message.cost_micros,
        currency: message.currency,
    })
}

fn unnamed(status: CallStatus, id: &MessageId) -> ServiceError {
    if status.is_final() {
        return ServiceError::refused(
            ErrorCode::ProviderRejected,
            format!("The carrier did not take this call; nobody was rung. (message {id})"),
            "Sending the same again needs a fresh idempotencyKey, and may be refused again.",
        );
    }
    ServiceError::refused(
        ErrorCode::OutcomeUnknown,
        format!("The carrier has not named this call yet; it may be ringing. (message {id})"),
        "Do not send it again. Ask again with the same idempotencyKey in a few seconds.",
    )
}

/// A call's status has moved: so does the message that it carries, if it carries one.
pub(super) async fn follow(tx: &mut Conn, call: &CallLog, now: Timestamp) -> Result<(), ServiceError> {
    let Some(id) = &call.message_id else { return Ok(()) };
    let status = status_of(call);
    let change = StatusChange {
        from: delivery::may_follow(status),
        to: status,
        external_id: None,
        error_code: call.error_code.clone(),
        cost: None,
        segments: None,
        now,
    };
    if messages::set_status(tx, id, &change).await?.is_some() {
        let detail = [("status", status.as_str()), ("call", call.session_id.as_str())];
        audit::append(tx, now, Act("carrier", "message.status", id.as_str()), &detail).await?;
    }
    Ok(())
}

fn status_of(call: &CallLog) -> MessageStatus {
    let was_answered = call.answered_at.is_some() || call.duration_seconds.is_some_and(|seconds| seconds > 0);
    match call.status {
        CallStatus::Queued | CallStatus::Ringing => MessageStatus::Accepted,
        CallStatus::InProgress => MessageStatus::Sent,
        CallStatus::Completed if was_answered => MessageStatus::Delivered,
        // The carrier has not taken it at all.
        CallStatus::Failed if call.call_sid.is_none() => MessageStatus::Failed,
        CallStatus::Completed
        | CallStatus::Busy
        | CallStatus::NoAnswer
        | CallStatus::Failed
        | CallStatus::Canceled => MessageStatus::Undelivered,
    }
}
