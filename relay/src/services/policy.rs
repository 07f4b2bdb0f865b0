//! Whether something may go out. Every road out (a tool, the answering machine, a job) asks here, and nowhere
//! else; the rules themselves are pure functions in `relay_core`.

use relay_core::recipient::{self, Refusal};
use shared::model::PhoneNumber;
use shared::protocol::ErrorCode;

use super::ServiceError;
use super::agents::Profile;

/// A number that this agent may write to or call from `from`, read from what the caller gave.
pub(crate) fn allow_recipient(
    profile: &Profile,
    from: &PhoneNumber,
    to: &str,
) -> Result<PhoneNumber, ServiceError> {
    let active = profile.agent.status == relay_store::agents::AgentStatus::Active;
    recipient::allow(active, from, to).map_err(|refusal| match refusal {
        Refusal::NotANumber(problem) => ServiceError::Invalid { field: "to", problem: problem.to_string() },
        Refusal::Oneself => {
            ServiceError::Invalid { field: "to", problem: "it is the agent's own number".to_owned() }
        }
        Refusal::AgentBlocked => ServiceError::refused(
            ErrorCode::ChannelBlocked,
            "This agent is blocked; nothing was sent.",
            "The person who runs the relay can unblock it.",
        ),
    })
}
