//! Answering the carrier: what a call that is connected to us should do.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::FutureExt;
use relay_core::delivery;
use relay_core::twiml::{self, RelayTwiml};
use relay_store::call_logs::{self, CallLog, CallStatusChange};
use relay_store::webhook_events;
use shared::ids::{AgentId, CallSid, MessageId, SessionId};
use shared::model::{CallStatus, Direction, MessageKind, Responder, Timestamp};

use super::finish;
use super::transfer::is_asked;
use crate::app::{App, webhook_url};
use crate::observability::events;
use crate::services::audit::{self, Act};
use crate::services::inbox::{CallEntry, insert_call_entry};
use crate::services::outbox::CALLBACK_OVERRIDES;
use crate::services::{ServiceError, live_calls, policy};

/// How often the caller is connected to us again after the socket was lost.
const MAX_RECONNECTS: i64 = 3;

/// A call that the carrier asks about.
#[derive(Clone, Debug)]
pub struct CarrierCall {
    pub call_sid: CallSid,
    pub from: String,
    pub to: String,
    /// Of a call that we placed: from the query of the address that we gave.
    pub session_id: Option<SessionId>,
}

/// What the carrier shall do with the call, as TwiML. The same question gets the same answer.
pub async fn answer(app: &App, agent: &AgentId, call: CarrierCall) -> Result<String, ServiceError> {
    let (row, first) = match call.session_id.clone() {
        Some(session) => (answered(app, agent, session, &call.call_sid).await?, false),
        None => inbound(app, agent, call.clone()).await?,
    };
    if !live_calls::is_held(&row) {
        return Ok(message(app, &row).unwrap_or_else(twiml::empty));
    }
    app.live_calls.ensure(app, &row, &call.call_sid);
    if first {
        app.inboxes.changed(agent);
        events::call_ringing(&row.session_id);
    }
    Ok(connect(app, &row, Some(super::greeting(app, &row))))
}

/// An inbound call: recorded and announced once, whoever asks how often.
async fn inbound(app: &App, agent: &AgentId, call: CarrierCall) -> Result<(CallLog, bool), ServiceError> {
    let now = app.now();
    let limits = app.rules.limits(&policy::terms(app, agent).await?);
    let profile = app.agents.find(agent).ok_or(ServiceError::NotFound("agent"))?;
    let row = CallLog {
        session_id: SessionId::generate(),
        agent_id: agent.clone(),
        call_sid: Some(call.call_sid.clone()),
        direction: Direction::Inbound,
        from_address: call.from,
        to_address: call.to,
        status: CallStatus::Ringing,
        responder: profile.agent.responder,
        greeting: profile.agent.greeting.clone(),
        system_prompt: profile.agent.system_prompt.clone(),
        voice: profile.agent.voice.clone(),
        language: profile.agent.language.clone(),
        max_duration_seconds: limits.max_call_duration_minutes * 60,
        idempotency_key: None,
        request_hash: None,
        error_code: None,
        sequence: -1,
        created_at: now,
        answered_at: None,
        ended_at: None,
        duration_seconds: None,
        say: None,
        message_id: None,
    };
    let row = CallLog { responder: held_by(row.responder), ..row };
    app.db
        .transaction::<_, ServiceError, _>(move |tx| {
            async move {
                if !webhook_events::record(tx, "call", call.call_sid.as_str(), now).await? {
                    let earlier = call_logs::find_by_sid(tx, &call.call_sid).await?;
                    return Ok((earlier.ok_or(ServiceError::NotFound("call"))?, false));
                }
                audit::append(tx, now, Act("carrier", "call.inbound", row.session_id.as_str()), &[]).await?;
                call_logs::insert(tx, &row).await?;
                let entry = CallEntry {
                    id: MessageId::generate(),
                    kind: MessageKind::Call,
                    agent_id: row.agent_id.clone(),
                    call_sid: call.call_sid,
                    from: row.from_address.clone(),
                    to: row.to_address.clone(),
                    text: "A call.".to_owned(),
                };
                insert_call_entry(tx, entry, now).await?;
                Ok((row, true))
            }
            .boxed()
        })
        .await
}

/// Without an LLM a call is the agent's, else the answering machine's.
fn held_by(wanted: Responder) -> Responder {
    match wanted {
        Responder::Auto | Responder::Agent => wanted,
        Responder::Assistant | Responder::Sampling => Responder::Auto,
    }
}

/// A call that we placed has been answered.
async fn answered(
    app: &App,
    agent: &AgentId,
    session: SessionId,
    sid: &CallSid,
) -> Result<CallLog, ServiceError> {
    let (agent, sid, now) = (agent.clone(), sid.clone(), app.now());
    let rules = Arc::clone(&app.rules);
    app.db
        .transaction::<_, ServiceError, _>(move |tx| {
            async move {
                let row = call_logs::find(tx, &session).await?.filter(|row| row.agent_id == agent);
                let row = row.ok_or(ServiceError::NotFound("call"))?;
                audit::lock(tx).await?;
                if row.call_sid.as_ref().is_some_and(|known| *known != sid) {
                    return Err(ServiceError::NotFound("call"));
                }
                if call_logs::set_call_sid(tx, &session, &sid, CallStatus::Queued).await?.is_some() {
                    let detail = [("call_sid", sid.as_str())];
                    audit::append(tx, now, Act("carrier", "call.placed", session.as_str()), &detail).await?;
                }
                let moved = call_logs::set_status(tx, &session, &picked_up(now)).await?;
                if let Some(row) = &moved {
                    let detail = [("status", row.status.as_str())];
                    audit::append(tx, now, Act("carrier", "call.status", session.as_str()), &detail).await?;
                    super::follow(tx, &rules, row, now).await?;
                }
                Ok(moved.unwrap_or(row))
            }
            .boxed()
        })
        .await
}

/// Somebody has answered: the carrier asks only then.
pub(super) fn picked_up(now: Timestamp) -> CallStatusChange<'static> {
    CallStatusChange {
        from: delivery::call_may_follow(CallStatus::InProgress),
        to: CallStatus::InProgress,
        sequence: None,
        duration_seconds: None,
        error_code: None,
        now,
    }
}

/// What a call says that only delivers a message, and goes on.
fn message(app: &App, row: &CallLog) -> Option<String> {
    row.message_id.as_ref().filter(|_| !row.status.is_final())?;
    let words = super::disclosed(app, row.say.as_deref()?);
    Some(twiml::say_and_hang_up(&words, Some(language(app, row)), row.voice.as_deref()))
}

/// In which language we speak in a call.
pub(super) fn language<'a>(app: &'a App, row: &'a CallLog) -> &'a str {
    row.language.as_deref().unwrap_or(&app.config.voice.language)
}

/// Connects the caller to our live-call socket.
fn connect(app: &App, row: &CallLog, greeting: Option<String>) -> String {
    let mut base = app.public_base.clone();
    let scheme = if base.scheme() == "https" { "wss" } else { "ws" };
    base.set_scheme(scheme).expect("http and ws are both special schemes");
    let ended =
        app.webhook_url(&row.agent_id, &format!("call-status?session={}&relay=ended", row.session_id));
    twiml::connect_relay(&RelayTwiml {
        url: webhook_url(&base, &row.agent_id, "voice-ws"),
        action: format!("{ended}{CALLBACK_OVERRIDES}"),
        welcome_greeting: greeting,
        language: Some(language(app, row).to_owned()),
        voice: row.voice.clone().or_else(|| app.config.voice.voice.clone()),
        extra: BTreeMap::from([("dtmfDetection".to_owned(), "true".to_owned())]),
        parameters: vec![("session".to_owned(), row.session_id.to_string())],
    })
}

/// The carrier's word that the live-call socket is over.
#[derive(Clone, Debug)]
pub struct RelayEnded {
    pub call_sid: CallSid,
    pub call_status: CallStatus,
    /// ConversationRelay's `SessionStatus` was `failed`: the socket was lost, the caller is still there.
    pub lost: bool,
}

/// What the carrier shall do next, as TwiML: connect the caller again if the socket was lost, else nothing.
pub async fn relay_ended(app: &App, agent: &AgentId, ended: RelayEnded) -> Result<String, ServiceError> {
    let row = super::find(app, agent, &ended.call_sid).await?.ok_or(ServiceError::NotFound("call"))?;
    if row.say.is_some() {
        // It was put through: the carrier goes on with that, and tells when it is over.
        return Ok(twiml::empty());
    }
    if ended.lost && !ended.call_status.is_final() && !row.status.is_final() {
        let call = app.live_calls.ensure(app, &row, &ended.call_sid);
        if call.count_reconnect() <= MAX_RECONNECTS {
            return Ok(connect(app, &row, None));
        }
    }
    if !ended.call_status.is_final() && is_asked(app, &row.session_id).await? {
        // It may have been put through: the carrier tells when it is over, whoever the caller talks to.
        return Ok(twiml::empty());
    }
    // The caller is let go by the empty answer, so the call is over whatever its status was.
    finish(app, &row.session_id, CallStatus::Completed, None).await;
    if let Some(call) = app.live_calls.find(&ended.call_sid) {
        live_calls::end(app, &call, CallStatus::Completed).await;
    }
    Ok(twiml::empty())
}
