//! Questions to a person: may the agent do this? A yes covers exactly the call that was asked about, once, for a few
//! minutes.

pub(super) mod words;

use std::time::Duration;

use futures_util::FutureExt;
use relay_store::approvals::{self, Approval, ApprovalStatus};
use relay_store::{Conn, Database};
use serde::Serialize;
use shared::ids::{AgentId, ApprovalId};
use shared::model::Timestamp;
use shared::protocol::{ApiError, Confirmed, DecideApproval, Decision, ErrorCode, Request};

use super::ServiceError;
use super::audit::{self, Act};
use super::identity::Principal;
use super::messages::digest;
use crate::app::App;

/// How long a question waits for its answer, and a yes for its use.
const LIFETIME: Duration = Duration::from_secs(15 * 60);
/// Questions of one agent that wait at once. A person who gets more reads none.
const MAX_PENDING: i64 = 20;
/// Questions that a listing shows.
const RECENT: i64 = 100;

/// What a person is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub(crate) agent: AgentId,
    /// A word of a closed set, for lists and the audit log.
    pub(crate) action: &'static str,
    /// Of the exact call.
    pub(crate) hash: String,
    /// What will be done, in words for the person.
    pub(crate) summary: String,
}

impl Question {
    /// About a call that only an admin may make.
    pub(crate) fn about(agent: &AgentId, request: &Request) -> Self {
        let (action, summary) = words::admins_call(request);
        Self::new(agent, action, request, summary)
    }

    /// About anything else; `call` is what the yes will cover.
    pub(crate) fn new(agent: &AgentId, action: &'static str, call: &impl Serialize, summary: String) -> Self {
        let text = serde_json::to_string(call).expect("what travels as JSON can be written as JSON");
        Self { agent: agent.clone(), action, hash: digest(&format!("{action}\n{text}")), summary }
    }

    /// For a failure that reached an answer without being asked, which only a fault can bring about.
    pub(crate) fn unasked(&self) -> ApiError {
        ApiError::new(ErrorCode::Forbidden, "A person must allow this first; nothing was done.", "Ask them.")
    }
}

/// Asks, and gives what the caller is told: the question's id, under which the same call goes through once a person
/// has said yes. The same question is asked once.
pub(crate) async fn ask(app: &App, question: Question) -> ServiceError {
    let now = app.now();
    let asked = app
        .db
        .transaction::<_, ServiceError, _>(move |tx| {
            async move {
                let Question { agent, action, hash, summary } = question;
                if let Some(open) = approvals::find_open(tx, &agent, &hash, now).await? {
                    return Ok(open);
                }
                if approvals::count_pending(tx, &agent, now).await? >= MAX_PENDING {
                    return Err(too_many());
                }
                let approval = Approval {
                    id: ApprovalId::generate(),
                    agent_id: agent,
                    action: action.to_owned(),
                    request_hash: hash,
                    summary,
                    status: ApprovalStatus::Pending,
                    created_at: now,
                    expires_at: now.plus(LIFETIME),
                    decided_at: None,
                    decided_by: None,
                    used_at: None,
                };
                let actor = format!("agent:{}", approval.agent_id);
                let detail = [("action", action), ("request", approval.request_hash.as_str())];
                audit::append(tx, now, Act(&actor, "approval.asked", approval.id.as_str()), &detail).await?;
                approvals::insert(tx, &approval).await?;
                Ok(approval)
            }
            .boxed()
        })
        .await;
    match asked {
        Ok(approval) => pending(&approval),
        Err(problem) => problem,
    }
}

fn pending(approval: &Approval) -> ServiceError {
    let id = &approval.id;
    let (message, hint) = if approval.status == ApprovalStatus::Approved {
        let message = format!("It has been approved: {}", approval.summary);
        (message, format!("Make the same call again with approvalId {id}."))
    } else {
        let message = format!("A person must approve this first; nothing was done. {}", approval.summary);
        let hint = format!(
            "Ask the person who runs the relay to run `comms-relay approval approve {id}`, then make the same call \
             again with approvalId {id}. The question stands for 15 minutes."
        );
        (message, hint)
    };
    let error = ApiError::new(ErrorCode::ApprovalPending, message, hint).retryable(None);
    ServiceError::Refused(Box::new(ApiError { approval_id: Some(id.clone()), ..error }))
}

fn too_many() -> ServiceError {
    ServiceError::refused(
        ErrorCode::RateLimited,
        format!("{MAX_PENDING} questions of this agent already wait for a person; no other was asked."),
        "Wait until they are answered or, after 15 minutes, forgotten.",
    )
}

/// Uses a yes up, in the transaction of what it allows. Whatever is wrong with it, nothing is done.
pub(crate) async fn use_up(
    tx: &mut Conn,
    id: &ApprovalId,
    question: &Question,
    now: Timestamp,
) -> Result<(), ServiceError> {
    let (actor, detail) = (format!("agent:{}", question.agent), [("action", question.action)]);
    audit::append(tx, now, Act(&actor, "approval.used", id.as_str()), &detail).await?;
    if approvals::use_up(tx, id, &question.agent, &question.hash, now).await? {
        return Ok(());
    }
    let found = approvals::find(tx, id).await?.filter(|found| found.agent_id == question.agent);
    Err(match found {
        None => ServiceError::NotFound("approval"),
        Some(found) if found.request_hash != question.hash => refused("It was given for another call"),
        Some(found) => match found.status {
            ApprovalStatus::Denied => refused("A person has said no"),
            ApprovalStatus::Used => refused("It has been used; a yes holds for one call"),
            ApprovalStatus::Pending | ApprovalStatus::Approved if found.expires_at <= now => {
                refused("It has run out")
            }
            ApprovalStatus::Pending | ApprovalStatus::Approved => pending(&found),
        },
    })
}

fn refused(why: &str) -> ServiceError {
    ServiceError::refused(
        ErrorCode::ApprovalDenied,
        format!("{why}; nothing was done."),
        "Call without approvalId to ask again, if that makes sense.",
    )
}

/// The answer of the person at the agent's host. Only to a question of the session's own agent.
pub(crate) async fn decide_at_host(
    app: &App,
    principal: &Principal,
    call: DecideApproval,
) -> Result<Confirmed, ServiceError> {
    if !app.config.policy.elicitation {
        return Err(ServiceError::refused(
            ErrorCode::Forbidden,
            "The person who runs the relay does not let agents' hosts answer its questions.",
            "Ask them to run `comms-relay approval`.",
        ));
    }
    let id = call.approval_id.clone();
    let found = app
        .db
        .read::<_, ServiceError, _>(move |conn| async move { Ok(approvals::find(conn, &id).await?) }.boxed())
        .await?;
    if found.is_none_or(|found| found.agent_id != *principal.agent()) {
        return Err(ServiceError::NotFound("approval"));
    }
    decide(&app.db, call.approval_id, call.decision, "host", app.now()).await?;
    Ok(Confirmed {})
}

/// Answers a question that waits. `by` is who: `host` or `operator`.
pub(crate) async fn decide(
    db: &Database,
    id: ApprovalId,
    decision: Decision,
    by: &'static str,
    now: Timestamp,
) -> Result<Approval, ServiceError> {
    db.transaction::<_, ServiceError, _>(move |tx| {
        async move {
            let (status, action) = match decision {
                Decision::Approve => (ApprovalStatus::Approved, "approval.approved"),
                Decision::Deny => (ApprovalStatus::Denied, "approval.denied"),
            };
            audit::append(tx, now, Act(by, action, id.as_str()), &[]).await?;
            let decided = approvals::decide(tx, &id, status, by, now).await?;
            // Answered before, run out, or never asked.
            decided.ok_or(ServiceError::NotFound("open approval"))
        }
        .boxed()
    })
    .await
}

/// The questions that wait for an answer, and those whose yes waits to be used.
pub(crate) async fn list_open(db: &Database, now: Timestamp) -> Result<Vec<Approval>, ServiceError> {
    db.read(move |conn| async move { Ok(approvals::list_open(conn, now).await?) }.boxed()).await
}

/// The last questions, whatever became of them, newest first.
pub(crate) async fn list_recent(db: &Database) -> Result<Vec<Approval>, ServiceError> {
    db.read(|conn| async move { Ok(approvals::list_recent(conn, RECENT).await?) }.boxed()).await
}
