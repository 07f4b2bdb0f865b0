//! Placing a call.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use relay_core::recipient::Address;
use relay_providers::{OutboundCall, PlacedCall, ProviderError};
use relay_store::call_logs::{self, CallLog};
use relay_store::usage_logs::UsageKind;
use relay_store::{StoreError, contacts};
use shared::ids::{AgentId, SessionId};
use shared::model::{CallStatus, Channel, Direction, Micros, PhoneNumber, Responder, Timestamp};
use shared::protocol::{CallPlaced, ErrorCode, MakeCall};

use super::finish;
use crate::app::App;
use crate::observability::events;
use crate::services::approvals::{Question, words};
use crate::services::audit::{self, Act};
use crate::services::identity::Caller;
use crate::services::messages::{check_key, digest, key_reused, not_provisioned};
use crate::services::outbox::{CALLBACK_OVERRIDES, CLOCK_SLACK};
use crate::services::policy::Departure;
use crate::services::{ServiceError, policy};

const MAX_TEXT_CHARACTERS: usize = 1_000;
/// When the carrier is asked about a call whose answer was lost. Sooner than about a text: somebody waits.
const ASK_AFTER: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(5)];

/// Places a call, and gives its names at once: it may still ring. The session that places it holds it.
pub async fn place(app: &App, caller: &Caller, wanted: MakeCall) -> Result<CallPlaced, ServiceError> {
    let most = app.rules.limits(&policy::terms(app, &caller.agent).await?).max_call_duration_minutes * 60;
    check(app, &wanted, most)?;
    let profile = app.agents.find(&caller.agent).ok_or(ServiceError::NotFound("agent"))?;
    let from = profile.number(Channel::Voice).ok_or_else(|| not_provisioned(Channel::Voice))?;
    let to = policy::resolve(app, Channel::Voice, &wanted.to)?;
    let hash = fingerprint(&wanted);
    if let Some(earlier) = earlier(app, &caller.agent, wanted.idempotency_key.as_deref(), &hash).await? {
        return reply(earlier);
    }
    let row = intent(app, caller, &wanted, Route { from: from.clone(), to: to.clone(), most }, hash.clone());
    let departure = departure(app, caller, &wanted, (&row, to));
    match record_intent(app, row.clone(), departure).await {
        Err(ServiceError::Store(StoreError::Conflict(_))) => {
            let other = earlier(app, &caller.agent, wanted.idempotency_key.as_deref(), &hash).await?;
            return reply(other.ok_or(ServiceError::NotFound("call"))?);
        }
        Err(problem) => return Err(policy::refused(app, problem).await),
        Ok(()) => (),
    }
    app.live_calls.place(&row.session_id, caller.session);
    carry_out(app, row).await.and_then(reply)
}

/// Hands a recorded call to the carrier, and gives the row once the carrier has named it.
pub(in crate::services) async fn carry_out(app: &App, row: CallLog) -> Result<CallLog, ServiceError> {
    let request = to_outbound(app, &row).ok_or(ServiceError::NotFound("call"))?;
    // Its own task: a caller who goes away must not leave a call that nobody knows of.
    let task = app.tasks.spawn(dial(app.clone(), row, request));
    match task.await {
        Ok(outcome) => outcome,
        Err(_) => Err(ServiceError::Provider { source: ProviderError::Malformed, message_id: None }),
    }
}

fn departure(app: &App, caller: &Caller, wanted: &MakeCall, (row, to): (&CallLog, Address)) -> Departure {
    let seconds = row.max_duration_seconds;
    let asked = (wanted, to.as_str());
    let question = Question::new(&caller.agent, "make_call", &asked, words::call(wanted, &to, seconds));
    let charge = match &to {
        Address::Phone(number) => app.rules.prices.call(number, seconds),
        Address::Email(_) => Micros(0),
    };
    Departure {
        agent: caller.agent.clone(),
        from: row.from_address.clone(),
        to,
        channel: Channel::Voice,
        kind: UsageKind::Call,
        id: row.session_id.to_string(),
        charge,
        quantity: seconds,
        approval: caller.approval.clone(),
        question,
    }
}

fn check(app: &App, wanted: &MakeCall, most: i64) -> Result<(), ServiceError> {
    let invalid = |field, problem: String| Err(ServiceError::Invalid { field, problem });
    if wanted.max_duration_seconds.is_some_and(|seconds| !(10..=most).contains(&seconds)) {
        return invalid("maxDurationSeconds", format!("it must be 10 to {most}"));
    }
    for (field, text) in [("greeting", &wanted.greeting), ("systemPrompt", &wanted.system_prompt)] {
        if text.as_ref().is_some_and(|text| text.chars().count() > MAX_TEXT_CHARACTERS) {
            return invalid(field, format!("it has {MAX_TEXT_CHARACTERS} characters at the most"));
        }
    }
    for (field, wanted) in [("record", wanted.record), ("detectVoicemail", wanted.detect_voicemail)] {
        if wanted == Some(true) {
            return Err(ServiceError::refused(
                ErrorCode::ProviderNotConfigured,
                format!("{field} is not available; no call was placed."),
                format!("Call again without {field}."),
            ));
        }
    }
    if let Some(responder @ (Responder::Assistant | Responder::Sampling)) = wanted.responder {
        return Err(ServiceError::refused(
            ErrorCode::ProviderNotConfigured,
            format!("The responder {responder} is not set up; no call was placed."),
            "Use the responder agent or auto, and hold the call yourself.",
        ));
    }
    if !app.can_be_called() {
        return Err(ServiceError::refused(
            ErrorCode::ProviderNotConfigured,
            "The relay has no public address, so the carrier could not reach it; no call was placed.",
            "The person who runs the relay must set public.url.",
        ));
    }
    check_key(wanted.idempotency_key.as_deref())
}

fn fingerprint(wanted: &MakeCall) -> String {
    digest(&serde_json::to_string(wanted).expect("its fields are texts and numbers"))
}

/// The call that the agent asked for with this key before.
pub(in crate::services) async fn earlier(
    app: &App,
    agent: &AgentId,
    key: Option<&str>,
    hash: &str,
) -> Result<Option<CallLog>, ServiceError> {
    let Some(key) = key.map(str::to_owned) else { return Ok(None) };
    let agent = agent.clone();
    let found = app
        .db
        .read::<_, ServiceError, _>(move |conn| {
            async move { Ok(call_logs::find_by_idempotency_key(conn, &agent, &key).await?) }.boxed()
        })
        .await?;
    match found {
        Some(row) if row.request_hash.as_deref() != Some(hash) => Err(key_reused()),
        found => Ok(found),
    }
}

struct Route {
    from: PhoneNumber,
    to: Address,
    /// The longest that a call may last, in seconds.
    most: i64,
}

fn intent(app: &App, caller: &Caller, wanted: &MakeCall, route: Route, hash: String) -> CallLog {
    let now: Timestamp = app.now();
    CallLog {
        session_id: SessionId::generate(),
        agent_id: caller.agent.clone(),
        call_sid: None,
        direction: Direction::Outbound,
        from_address: route.from.to_string(),
        to_address: route.to.to_string(),
        status: CallStatus::Queued,
        responder: wanted.responder.unwrap_or(Responder::Auto),
        greeting: wanted.greeting.clone(),
        system_prompt: wanted.system_prompt.clone(),
        voice: wanted.voice.clone(),
        language: wanted.language.clone(),
        max_duration_seconds: wanted.max_duration_seconds.unwrap_or(route.most),
        request_hash: wanted.idempotency_key.is_some().then_some(hash),
        idempotency_key: wanted.idempotency_key.clone(),
        error_code: None,
        sequence: -1,
        created_at: now,
        answered_at: None,
        ended_at: None,
        duration_seconds: None,
        say: None,
        message_id: None,
    }
}

async fn record_intent(app: &App, row: CallLog, departure: Departure) -> Result<(), ServiceError> {
    let rules = Arc::clone(&app.rules);
    app.db
        .transaction::<_, ServiceError, _>(move |tx| {
            async move {
                let key = contacts::ContactKey {
                    agent_id: row.agent_id.clone(),
                    channel: Channel::Voice,
                    address: row.to_address.clone(),
                };
                let (actor, subject) = (format!("agent:{}", row.agent_id), row.session_id.as_str());
                audit::append(tx, row.created_at, Act(&actor, "call.intended", subject), &[]).await?;
                contacts::record_outbound(tx, &key, row.created_at).await?;
                policy::admit(tx, &rules, &departure, row.created_at).await?;
                call_logs::insert(tx, &row).await?;
                Ok(())
            }
            .boxed()
        })
        .await
}

/// `None` if the row holds no numbers, which only a fault can bring about.
fn to_outbound(app: &App, row: &CallLog) -> Option<OutboundCall> {
    let query = format!("session={}", row.session_id);
    let callback = app.webhook_url(&row.agent_id, &format!("call-status?{query}"));
    Some(OutboundCall {
        from: row.from_address.parse().ok()?,
        to: row.to_address.parse().ok()?,
        answer_url: app.webhook_url(&row.agent_id, &format!("voice?{query}")),
        status_callback: format!("{callback}{CALLBACK_OVERRIDES}"),
        ring_seconds: app.config.voice.ring_seconds,
        time_limit_seconds: u32::try_from(row.max_duration_seconds).unwrap_or(600),
        detect_voicemail: false,
    })
}

/// Hands the call to the carrier, and records what it said.
async fn dial(app: App, row: CallLog, request: OutboundCall) -> Result<CallLog, ServiceError> {
    match app.providers().voice.place(&request).await {
        Ok(placed) => named(&app, &row, &placed).await,
        Err(problem @ (ProviderError::Unknown(_) | ProviderError::Malformed)) => {
            app.tasks.spawn(settle(app.clone(), row, request));
            Err(ServiceError::Provider { source: problem, message_id: None })
        }
        Err(problem) => {
            app.live_calls.unplace(&row.session_id);
            let code = match &problem {
                ProviderError::Rejected { code, .. } => code.clone(),
                _ => None,
            };
            finish(&app, &row.session_id, CallStatus::Failed, code).await;
            Err(ServiceError::Provider { source: problem, message_id: None })
        }
    }
}

/// The carrier has named the call. Its own webhooks may have told so before.
async fn named(app: &App, row: &CallLog, placed: &PlacedCall) -> Result<CallLog, ServiceError> {
    let (now, session, placed) = (app.now(), row.session_id.clone(), placed.clone());
    let rules = Arc::clone(&app.rules);
    let row = app
        .db
        .transaction::<_, ServiceError, _>(move |tx| {
            async move {
                audit::lock(tx).await?;
                let named = call_logs::set_call_sid(tx, &session, &placed.call_sid, placed.status).await?;
                if let Some(row) = named {
                    let detail = [("call_sid", placed.call_sid.as_str())];
                    audit::append(tx, now, Act("relay", "call.placed", session.as_str()), &detail).await?;
                    super::follow(tx, &rules, &row, now).await?;
                }
                call_logs::find(tx, &session).await?.ok_or(ServiceError::NotFound("call"))
            }
            .boxed()
        })
        .await?;
    if let Some(sid) = row.call_sid.as_ref().filter(|_| !row.status.is_final() && row.say.is_none()) {
        app.live_calls.ensure(app, &row, sid);
    }
    events::call_status(&row.session_id, row.status);
    Ok(row)
}

/// Asks the carrier what became of a call whose answer was lost. It is never placed again.
async fn settle(app: App, row: CallLog, request: OutboundCall) {
    let not_before = row.created_at.minus(CLOCK_SLACK);
    let mut is_known_not = false;
    for pause in ASK_AFTER {
        tokio::select! {
            () = tokio::time::sleep(pause) => (),
            () = app.stop.cancelled() => return,
        }
        match app.providers().voice.find_placed(&request, not_before).await {
            Ok(Some(placed)) => {
                if let Err(problem) = named(&app, &row, &placed).await {
                    events::failed_inside("settle a call", &problem);
                }
                return;
            }
            Ok(None) => is_known_not = true,
            Err(problem) => {
                is_known_not = false;
                events::provider_failed("find_placed", &problem);
            }
        }
    }
    app.live_calls.unplace(&row.session_id);
    if is_known_not {
        finish(&app, &row.session_id, CallStatus::Failed, Some("unknown".to_owned())).await;
    }
}

/// A call that a dead process left unnamed: the carrier is asked, nothing is dialled.
pub(super) async fn settle_interrupted(app: &App, row: CallLog) {
    if row.call_sid.is_some() || row.direction == Direction::Inbound {
        finish(app, &row.session_id, CallStatus::Completed, None).await;
        return;
    }
    let Some(request) = to_outbound(app, &row) else { return };
    app.tasks.spawn(settle(app.clone(), row, request));
}

fn reply(row: CallLog) -> Result<CallPlaced, ServiceError> {
    let Some(call_sid) = row.call_sid else {
        if row.status.is_final() {
            return Err(ServiceError::refused(
                ErrorCode::ProviderRejected,
                "The carrier did not take this call; nobody was rung.",
                "Placing the same again needs a fresh idempotencyKey, and may be refused again.",
            ));
        }
        return Err(ServiceError::refused(
            ErrorCode::OutcomeUnknown,
            "The carrier has not named this call yet; it may be ringing.",
            "Do not place it again. Ask again with the same idempotencyKey in a few seconds.",
        ));
    };
    Ok(CallPlaced {
        call_sid,
        session_id: row.session_id,
        status: row.status,
        from: row.from_address,
        to: row.to_address,
        responder: row.responder,
    })
}
