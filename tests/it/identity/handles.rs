//! What names something of another agent is as good as what names nothing.

use anyhow::{Context, Result};
use rstest::rstest;
use serde_json::{Value, json};
use tests::relay::PERSON;

use super::{Stage, Who, live_call};

/// Arguments with a handle in them.
type WithHandle = fn(&str) -> Value;

/// A call that is held by the default agent, and one that is not there.
#[rstest]
#[case::listening("comms_get_messages", |sid: &str| json!({ "callSid": sid, "waitSeconds": 0 }))]
#[case::speaking("comms_send_message", |sid: &str| json!({ "callSid": sid, "body": "hello", "waitSeconds": 0 }))]
#[case::hanging_up("comms_send_message", |sid: &str| json!({ "callSid": sid, "body": "", "endCall": true, "waitSeconds": 0 }))]
#[case::putting_through("comms_transfer_call", |sid: &str| json!({ "callSid": sid, "to": "+12025550148" }))]
#[tokio::test]
async fn the_call_of_another_agent_cannot_be_told_from_none(
    #[case] tool: &str,
    #[case] arguments: WithHandle,
) -> Result<()> {
    let mut stage = Stage::set().await?;
    let foreign = live_call(&mut stage, Who::LocalUser, "default").await?;
    let absent = "CA00000000000000000000000000000009";
    let of_foreign = stage.call(Who::Agent, tool, arguments(&foreign)).await?;
    let of_absent = stage.call(Who::Agent, tool, arguments(absent)).await?;
    assert_eq!((of_foreign.outcome()?.as_str(), &of_foreign), ("not_found", &of_absent));
    // Whoever has it still has it.
    let listening = json!({ "callSid": foreign, "waitSeconds": 0 });
    let still = stage.call(Who::LocalUser, "comms_get_messages", listening).await?.result()?;
    assert_eq!(still["callStatus"], "in-progress");
    stage.end().await
}

/// A question of the default agent, and one that was never asked.
#[rstest]
#[case::for_a_message("comms_send_message", |id: &str| json!({ "to": PERSON, "body": "hello", "approvalId": id }))]
#[case::for_an_admins_call(
    "comms_set_agent_limits",
    |id: &str| json!({ "agentId": "sales", "limits": { "maxActionsPerDay": 7 }, "approvalId": id })
)]
#[tokio::test]
async fn the_question_of_another_agent_cannot_be_told_from_none(
    #[case] tool: &str,
    #[case] arguments: WithHandle,
) -> Result<()> {
    let mut stage = Stage::set().await?;
    let call = json!({ "agentId": "sales", "limits": { "maxActionsPerDay": 7 } });
    let asked = stage.call(Who::LocalUser, "comms_set_agent_limits", call).await?;
    let foreign = asked.approval_id().context("no question")?;
    let absent = "01890a5d-ac96-774b-bcce-b302099a8057";
    let of_foreign = stage.call(Who::Agent, tool, arguments(&foreign)).await?;
    let of_absent = stage.call(Who::Agent, tool, arguments(absent)).await?;
    assert_eq!((of_foreign.outcome()?.as_str(), &of_foreign), ("not_found", &of_absent));
    stage.end().await
}

#[tokio::test]
async fn a_place_in_the_list_of_another_agent_gives_nothing_of_its_list() -> Result<()> {
    let mut stage = Stage::set().await?;
    for _ in 0..3 {
        let text = json!({ "to": PERSON, "body": "hello" });
        stage.call(Who::LocalUser, "comms_send_message", text).await?.result()?;
    }
    let first = json!({ "direction": "outbound", "limit": 1 });
    let page = stage.call(Who::LocalUser, "comms_get_messages", first).await?.result()?;
    let foreign = page["nextCursor"].as_str().context("no next page")?.to_owned();
    let of_foreign = stage.call(Who::Agent, "comms_get_messages", json!({ "cursor": foreign })).await?;
    let of_absent = stage.call(Who::Agent, "comms_get_messages", json!({ "cursor": "1" })).await?;
    assert_eq!((of_foreign.result()?["messages"].clone(), &of_foreign), (json!([]), &of_absent));
    stage.end().await
}
