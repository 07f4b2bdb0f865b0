//! What the audit log says of a question, from the asking to the use of the answer.

use anyhow::Result;
use relay_store::audit_log;
use relay_store::{FutureExt, StoreError};
use rstest::rstest;
use serde_json::Value;
use shared::model::LimitsPatch;
use shared::protocol::{Decision, SetAgentLimits};
use tests::relay::TestRelay;

use super::approvals::{ask, decide, with};
use super::{STRANGER, live, text};

/// Who did what to this question, in order.
async fn trail(relay: &TestRelay, subject: &str) -> Result<Vec<(String, String)>> {
    let rows = relay
        .app()
        .db
        .read::<_, StoreError, _>(|conn| async move { audit_log::page(conn, 0, 1_000).await }.boxed())
        .await?;
    let mut steps = Vec::new();
    for row in rows {
        let entry: Value = serde_json::from_str(&row.entry)?;
        if entry["subject"] == subject {
            steps.push((text_of(&entry["actor"]), text_of(&entry["action"])));
        }
    }
    Ok(steps)
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn steps(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(actor, action)| ((*actor).to_owned(), (*action).to_owned())).collect()
}

#[rstest]
#[case::asked(
    None,
    &[("agent:default", "approval.asked")]
)]
#[case::denied(
    Some(Decision::Deny),
    &[("agent:default", "approval.asked"), ("host", "approval.denied")]
)]
#[case::used(
    Some(Decision::Approve),
    &[("agent:default", "approval.asked"), ("host", "approval.approved"), ("agent:default", "approval.used")]
)]
#[tokio::test]
async fn every_step_of_a_first_contact_is_written_down(
    #[case] decision: Option<Decision>,
    #[case] expected: &[(&str, &str)],
) -> Result<()> {
    let relay = live("approve-new").await?;
    let session = relay.session().await?;
    let message = text(STRANGER, "hello");
    let approval = ask(&session, message.clone()).await?;
    if let Some(decision) = decision {
        decide(&session, &approval, decision).await?;
    }
    // Refused or not: what is refused leaves no step.
    let _ = session.call_with(message, with(&approval)).await;
    assert_eq!(trail(&relay, approval.as_str()).await?, steps(expected));
    relay.stop().await
}

#[tokio::test]
async fn every_step_of_an_admins_call_that_a_person_allowed_is_written_down() -> Result<()> {
    let relay = live("approve-new").await?;
    let session = relay.session().await?;
    let limits = LimitsPatch { max_actions_per_day: Some(7), ..LimitsPatch::default() };
    let call = SetAgentLimits { agent_id: "default".parse()?, limits };
    let approval = ask(&session, call.clone()).await?;
    decide(&session, &approval, Decision::Approve).await?;
    session.call_with(call, with(&approval)).await?;
    let of_question = [
        ("agent:default", "approval.asked"),
        ("host", "approval.approved"),
        ("agent:default", "approval.used"),
    ];
    assert_eq!(trail(&relay, approval.as_str()).await?, steps(&of_question));
    let changed = trail(&relay, "default").await?.into_iter().filter(|(_, action)| action == "limits.set");
    let by = format!("approval:{approval}");
    assert_eq!(changed.collect::<Vec<_>>(), steps(&[(by.as_str(), "limits.set")]));
    relay.stop().await
}
