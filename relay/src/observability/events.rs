//! What is worth telling: one function for each thing. Identifiers yes; numbers, addresses, bodies and secrets
//! never.

use std::error::Error;
use std::net::SocketAddr;

use relay_providers::ProviderError;
use shared::ids::{AgentId, CallSid, MessageId, PurchaseId, SessionId};
use shared::model::{CallStatus, MessageStatus};

use crate::services::ServiceError;
use crate::services::credentials::CredentialsProblem;

pub(crate) fn started(public: SocketAddr, admin: SocketAddr, mode: &str) {
    tracing::info!(%public, %admin, mode, "the relay is ready");
}

pub(crate) fn stopping() {
    tracing::info!("the relay stops");
}

pub(crate) fn secrets_are_readable() {
    tracing::warn!("other users of this machine can read config.toml: take that right away with `chmod 600`");
}

pub(crate) fn not_reachable() {
    tracing::warn!(
        "public.url is not set: texts can be sent, but no webhook arrives and no call can be placed"
    );
}

pub(crate) fn message_received(agent: &AgentId) {
    tracing::debug!(%agent, "message received");
}

pub(crate) fn message_status(message: &MessageId, status: MessageStatus) {
    tracing::debug!(%message, %status, "message status");
}

pub(crate) fn message_unsettled(message: &MessageId) {
    tracing::warn!(%message, "the provider does not know this message; its outcome stays unknown");
}

pub(crate) fn call_ringing(session: &SessionId) {
    tracing::info!(%session, "inbound call");
}

pub(crate) fn call_status(session: &SessionId, status: CallStatus) {
    tracing::info!(%session, %status, "call status");
}

pub(crate) fn call_ended(call: &CallSid, status: CallStatus) {
    tracing::info!(%call, %status, "call ended");
}

pub(crate) fn call_transferred(call: &CallSid) {
    tracing::info!(%call, "call transferred");
}

pub(crate) fn voicemail_stored(session: &SessionId) {
    tracing::info!(%session, "voicemail stored");
}

pub(crate) fn unknown_frame(call: &str, kind: &str) {
    let kind: String = kind.chars().filter(char::is_ascii_alphanumeric).take(40).collect();
    tracing::info!(call, kind, "a frame of an unknown type was ignored");
}

pub(crate) fn socket_refused(reason: &str) {
    tracing::warn!(reason, "a live-call socket was refused");
}

pub(crate) fn socket_lost(call: &CallSid, reason: &str) {
    tracing::info!(%call, reason, "a live-call socket ended");
}

pub(crate) fn webhook_refused(reason: &str) {
    tracing::warn!(reason, "a webhook was refused");
}

pub(crate) fn session_refused(reason: &str) {
    tracing::warn!(reason, "a local session was refused");
}

pub(crate) fn provider_failed(action: &str, problem: &ProviderError) {
    tracing::warn!(action, error = %chain(problem), "the provider failed");
}

pub(crate) fn purchase_settled(purchase: &PurchaseId, status: &str) {
    tracing::info!(%purchase, status, "a number that nobody wants is settled");
}

pub(crate) fn purchase_unsettled(purchase: &PurchaseId) {
    tracing::warn!(%purchase, "a number may be paid for that no agent has; the provider is asked again");
}

pub(crate) fn account_changed(provider: &str) {
    tracing::info!(provider, "the provider is used with other credentials");
}

pub(crate) fn credentials_unusable(problem: &CredentialsProblem) {
    tracing::error!(error = %chain(problem), "stored credentials cannot be used");
}

/// A failure that no caller waits for.
pub(crate) fn failed_inside(action: &str, problem: &ServiceError) {
    tracing::error!(action, error = %chain(problem), "a step failed");
}

/// A failure at the place where it is answered, with its whole chain of causes.
pub(crate) fn answered_with_failure(action: &str, problem: &ServiceError) {
    match problem {
        ServiceError::Store(_) => tracing::error!(action, error = %chain(problem), "a request failed"),
        ServiceError::Provider { .. } => {
            tracing::warn!(action, error = %chain(problem), "a request failed at the provider");
        }
        ServiceError::Invalid { .. }
        | ServiceError::NotFound(_)
        | ServiceError::Refused(_)
        | ServiceError::NeedsApproval(_)
        | ServiceError::OverLimit(_)
        | ServiceError::CallEnded => tracing::debug!(action, "a request was refused"),
    }
}

fn chain(problem: &dyn Error) -> String {
    let mut text = problem.to_string();
    let mut cause = problem.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
