//! Who asks, and for whom. The types here are the arguments of the use cases: what can only be made here cannot be
//! forged, and a use case that takes an [`Admin`] needs no `if`.

use futures_util::FutureExt;
use relay_core::token;
use relay_store::agent_tokens::{AgentToken, TokenRole};
use relay_store::{Database, agent_tokens};
use shared::ids::{AgentId, ApprovalId, TokenId};
use shared::model::Timestamp;
use shared::protocol::{Envelope, ErrorCode, Request};

use super::ServiceError;
use super::approvals::{self, Question};
use super::live_calls::SessionKey;
use crate::app::App;
use crate::observability::events;

/// Who holds a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    agent: AgentId,
    role: TokenRole,
    /// `None`: the user of this machine, vouched for by the local socket, who is the default agent.
    token: Option<TokenId>,
}

/// An agent, by one of its sessions, or by an admin's.
#[derive(Clone, Debug)]
pub struct Caller {
    pub agent: AgentId,
    pub session: SessionKey,
    /// What a person has said yes to, as the caller has it.
    pub approval: Option<ApprovalId>,
}

/// Proof that the operator wants it: an admin's token, a person's approval of this very call, or the command line.
#[derive(Clone, Debug)]
pub struct Admin {
    actor: String,
}

/// About whom something is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope(Option<AgentId>);

impl Principal {
    /// The user of this machine.
    #[must_use]
    pub fn local_user() -> Self {
        Self { agent: AgentId::default_agent(), role: TokenRole::Agent, token: None }
    }

    /// The agent that the session is.
    #[must_use]
    pub fn agent(&self) -> &AgentId {
        &self.agent
    }

    /// For the audit log.
    pub(crate) fn actor(&self) -> String {
        match (self.role, &self.token) {
            (TokenRole::Admin, Some(token)) => format!("admin:{token}"),
            _ => format!("agent:{}", self.agent),
        }
    }
}

impl Admin {
    /// Whoever can read the data folder is the operator.
    #[must_use]
    pub(crate) fn operator() -> Self {
        Self { actor: "operator".to_owned() }
    }

    /// For the audit log.
    #[must_use]
    pub(crate) fn actor(&self) -> &str {
        &self.actor
    }
}

impl Scope {
    /// One agent; `None`: all of them.
    #[must_use]
    pub fn agent(&self) -> Option<&AgentId> {
        self.0.as_ref()
    }
}

/// Whose token this is; `None` if it is unknown, expired or revoked.
pub async fn authenticate(
    db: &Database,
    presented: &str,
    now: Timestamp,
) -> Result<Option<Principal>, ServiceError> {
    if token::parse_role(presented).is_none() {
        return Ok(None);
    }
    let hash = token::hash(presented);
    let looked_up = hash.clone();
    let row = db
        .read::<_, ServiceError, _>(move |conn| {
            async move { Ok(agent_tokens::find_by_hash(conn, &looked_up).await?) }.boxed()
        })
        .await?;
    let Some(row) = row.filter(|row| token::matches(&row.hash, &hash) && is_good(row, now)) else {
        return Ok(None);
    };
    let id = row.id.clone();
    let noted = db
        .transaction::<_, ServiceError, _>(move |tx| {
            async move { Ok(agent_tokens::touch(tx, &id, now).await?) }.boxed()
        })
        .await;
    if let Err(problem) = noted {
        // A full disk must not keep anybody from reading.
        events::failed_inside("note the use of a token", &problem);
    }
    Ok(Some(Principal { agent: row.agent_id, role: row.role, token: Some(row.id) }))
}

fn is_good(row: &AgentToken, now: Timestamp) -> bool {
    row.revoked_at.is_none() && row.expires_at.is_none_or(|end| now < end)
}

/// A session outlives its token by no call.
pub(crate) async fn still_good(app: &App, principal: &Principal) -> Result<(), ServiceError> {
    let Some(id) = principal.token.clone() else { return Ok(()) };
    let row = app
        .db
        .read::<_, ServiceError, _>(move |conn| {
            async move { Ok(agent_tokens::find(conn, &id).await?) }.boxed()
        })
        .await?;
    if row.is_some_and(|row| is_good(&row, app.now())) {
        return Ok(());
    }
    Err(ServiceError::refused(
        ErrorCode::AuthRequired,
        "The token of this session has expired or was revoked; nothing was done.",
        "The person who runs the relay can make another with `comms-relay token create`.",
    ))
}

/// For whom a call is made: the session's agent, or, for an admin, the one that the call names. A foreign agent and
/// one that is not there are the same to everybody else.
pub(crate) fn caller(
    app: &App,
    principal: &Principal,
    session: SessionKey,
    envelope: &Envelope,
) -> Result<Caller, ServiceError> {
    let agent = match &envelope.agent_id {
        None => &principal.agent,
        Some(own) if *own == principal.agent => own,
        Some(other) => {
            let known = principal.role == TokenRole::Admin && app.agents.find(other).is_some();
            known.then_some(other).ok_or(ServiceError::NotFound("agent"))?
        }
    };
    Ok(Caller { agent: agent.clone(), session, approval: envelope.approval_id.clone() })
}

/// About whom a question of use or money is: an admin who names nobody asks about all. Whether the one who is named may
/// be asked about, [`caller`] has decided before.
pub(crate) fn scope(principal: &Principal, envelope: &Envelope) -> Scope {
    let all = principal.role == TokenRole::Admin && envelope.agent_id.is_none();
    Scope((!all).then(|| envelope.agent_id.clone().unwrap_or_else(|| principal.agent.clone())))
}

/// Lets an admin through, and anybody else who brings a person's yes to exactly this call. Who brings none has asked
/// for one by calling.
pub(crate) async fn admit(
    app: &App,
    principal: &Principal,
    request: &Request,
    envelope: &Envelope,
) -> Result<Admin, ServiceError> {
    if principal.role == TokenRole::Admin {
        return Ok(Admin { actor: principal.actor() });
    }
    let question = Question::about(&principal.agent, request);
    let Some(approval) = envelope.approval_id.clone() else {
        return Err(approvals::ask(app, question).await);
    };
    let (id, now) = (approval.clone(), app.now());
    let used = app
        .db
        .transaction::<_, ServiceError, _>(move |tx| {
            async move { approvals::use_up(tx, &id, &question, now).await }.boxed()
        })
        .await;
    used.map(|()| Admin { actor: format!("approval:{approval}") })
}
