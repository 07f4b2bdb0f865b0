//! A person's yes or no, asked for at the host, in both eras of the protocol.

use mcp_stdio::{Selection, Server};
use serde_json::{Value, json};
use shared::ids::ApprovalId;
use shared::protocol::{ApiError, DecideApproval, Decision, Envelope, ErrorCode, Request};
use tempfile::TempDir;

use crate::fake_relay::{FakeRelay, Reaction, sent};
use crate::host::error_in;
use crate::{Host, settings};

const QUESTION: &str = "send an SMS to a new contact?";

/// A host that can ask, and a relay that first wants a yes.
struct Stage {
    host: Host,
    relay: FakeRelay,
    approval_id: ApprovalId,
    _home: TempDir,
}

fn forms() -> Value {
    json!({ "elicitation": { "form": {} } })
}

fn message() -> Value {
    json!({ "to": "+15550101", "body": "b" })
}

fn params() -> Value {
    json!({ "name": "comms_send_message", "arguments": message() })
}

impl Stage {
    async fn set() -> Self {
        let home = TempDir::new().unwrap();
        let relay = FakeRelay::start(home.path()).await;
        let host = Host::start(Server::new(settings(home.path()), &Selection::default()).unwrap());
        let approval_id = ApprovalId::generate();
        let stage = Self { host, relay, approval_id, _home: home };
        stage.refuse_once();
        stage
    }

    async fn legacy(capabilities: Value) -> Self {
        let mut stage = Self::set().await;
        stage.host.initialize_with("claude-code", capabilities).await;
        stage
    }

    fn pending(&self) -> ApiError {
        let hint = "Ask the user to approve it.";
        let error = ApiError::new(ErrorCode::ApprovalPending, QUESTION, hint);
        ApiError { approval_id: Some(self.approval_id.clone()), ..error }
    }

    fn refuse_once(&self) {
        self.relay.script.then(Reaction::Refuse(self.pending()));
    }

    /// Calls the tool as hosts before protocol 2026-07-28 do, and gives the ids of the call and of the question.
    async fn asked(&mut self) -> (i64, Value) {
        let call = self.host.send("tools/call", params()).await;
        let question = self.host.read().await;
        let expected = json!({
            "mode": "form", "message": QUESTION, "requestedSchema": { "type": "object", "properties": {} },
        });
        assert_eq!(question["method"], "elicitation/create");
        let mut asked = question["params"].clone();
        asked.as_object_mut().unwrap().remove("_meta");
        assert_eq!(asked, expected);
        (call, question["id"].clone())
    }

    /// The result of the call, after the person has done this.
    async fn after(&mut self, action: &str) -> Value {
        let (call, question) = self.asked().await;
        let result = json!({ "action": action });
        self.host.write(&json!({ "jsonrpc": "2.0", "id": question, "result": result })).await;
        let answer = self.host.read().await;
        assert_eq!(answer["id"], call);
        answer["result"].clone()
    }

    /// Calls the tool as hosts since protocol 2026-07-28 do, and gives the state that comes with the question.
    async fn modern_round(&mut self) -> Value {
        let mut params = params();
        params["_meta"] = modern(forms());
        let result = self.host.ask("tools/call", params).await;
        let question = json!({
            "method": "elicitation/create",
            "params": {
                "mode": "form", "message": QUESTION, "requestedSchema": { "type": "object", "properties": {} },
            },
        });
        assert_eq!(result["resultType"], "input_required");
        assert_eq!(result["inputRequests"], json!({ "approve": question }));
        assert!(matches!(self.relay.request().await, Request::SendMessage(_)));
        result["requestState"].clone()
    }

    /// The same call with what the person has done.
    async fn second_round(&mut self, state: Value, arguments: Value, action: &str) -> Value {
        let params = json!({
            "name": "comms_send_message", "arguments": arguments, "_meta": modern(forms()),
            "requestState": state, "inputResponses": { "approve": { "action": action } },
        });
        self.host.ask("tools/call", params).await
    }

    /// What the relay is told of the person's decision.
    async fn decided(&self) -> Decision {
        let (request, envelope) = self.relay.enveloped().await;
        let Request::DecideApproval(DecideApproval { approval_id, decision }) = request else {
            panic!("{request:?}")
        };
        assert_eq!((approval_id, envelope), (self.approval_id.clone(), Envelope::default()));
        decision
    }

    /// The message comes again, with the approval.
    async fn sent_as_approved(&self) {
        let (request, envelope) = self.relay.enveloped().await;
        assert!(matches!(request, Request::SendMessage(_)));
        assert_eq!(envelope, Envelope { agent_id: None, approval_id: Some(self.approval_id.clone()) });
    }

    /// Nothing more has reached the relay.
    async fn nothing_more(&mut self) {
        self.host.close();
        assert!(self.host.ended().await);
        assert_eq!(self.relay.next_if_any().await, None);
    }

    fn is_still_pending(&self, result: &Value) {
        assert_eq!(error_in(result), serde_json::to_value(self.pending()).unwrap());
    }
}

fn modern(capabilities: Value) -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": capabilities,
        "io.modelcontextprotocol/clientInfo": { "name": "claude-code", "version": "9" },
    })
}

#[rstest::rstest]
#[case(forms())]
#[case(json!({ "elicitation": {} }))]
#[case(json!({ "elicitation": { "form": {}, "url": {} } }))]
#[tokio::test]
async fn a_yes_lets_the_call_through(#[case] capabilities: Value) {
    let mut stage = Stage::legacy(capabilities).await;
    let result = stage.after("accept").await;
    assert_eq!(result["structuredContent"], sent());
    assert!(matches!(stage.relay.request().await, Request::SendMessage(_)));
    assert_eq!(stage.decided().await, Decision::Approve);
    stage.sent_as_approved().await;
}

#[tokio::test]
async fn a_no_is_told_to_the_relay_and_the_call_is_denied() {
    let mut stage = Stage::legacy(forms()).await;
    let result = stage.after("decline").await;
    assert_eq!(error_in(&result)["code"], "approval_denied");
    assert!(matches!(stage.relay.request().await, Request::SendMessage(_)));
    assert_eq!(stage.decided().await, Decision::Deny);
    stage.nothing_more().await;
}

#[tokio::test]
async fn a_question_that_is_closed_stays_open_at_the_relay() {
    let mut stage = Stage::legacy(forms()).await;
    let result = stage.after("cancel").await;
    stage.is_still_pending(&result);
    assert!(matches!(stage.relay.request().await, Request::SendMessage(_)));
    stage.nothing_more().await;
}

#[tokio::test]
async fn a_host_that_fails_to_ask_leaves_the_question_open() {
    let mut stage = Stage::legacy(forms()).await;
    let (_, question) = stage.asked().await;
    let error = json!({ "code": -32603, "message": "no window" });
    stage.host.write(&json!({ "jsonrpc": "2.0", "id": question, "error": error })).await;
    let answer = stage.host.read().await;
    stage.is_still_pending(&answer["result"]);
}

#[tokio::test]
async fn a_question_is_withdrawn_when_the_host_would_kill_the_call() {
    let mut stage = Stage::legacy(forms()).await;
    let (call, question) = stage.asked().await;
    tokio::time::pause();
    tokio::time::advance(std::time::Duration::from_secs(110)).await;
    let withdrawn = stage.host.read().await;
    let told = (&withdrawn["method"], &withdrawn["params"]["requestId"]);
    assert_eq!(told, (&json!("notifications/cancelled"), &question));
    let answer = stage.host.read().await;
    assert_eq!(answer["id"], call);
    stage.is_still_pending(&answer["result"]);
}

#[rstest::rstest]
#[case(json!({}))]
#[case(json!({ "elicitation": { "url": {} } }))]
#[tokio::test]
async fn a_host_that_cannot_ask_gets_the_failure_as_it_is(#[case] capabilities: Value) {
    let mut stage = Stage::legacy(capabilities).await;
    let result = stage.host.call("comms_send_message", message()).await;
    stage.is_still_pending(&result);
    assert!(matches!(stage.relay.request().await, Request::SendMessage(_)));
    stage.nothing_more().await;
}

#[rstest::rstest]
#[case("accept")]
#[case("decline")]
#[tokio::test]
async fn a_relay_that_takes_no_decision_from_here_leaves_the_question_open(#[case] action: &str) {
    let mut stage = Stage::legacy(forms()).await;
    let refusal = ApiError::new(ErrorCode::Forbidden, "not from an agent's host", "Use the admin pages.");
    stage.relay.script.then(Reaction::Refuse(refusal));
    let result = stage.after(action).await;
    stage.is_still_pending(&result);
    assert!(matches!(stage.relay.request().await, Request::SendMessage(_)));
    stage.decided().await;
    stage.nothing_more().await;
}

#[tokio::test]
async fn another_failure_asks_nothing() {
    let mut stage = Stage::legacy(forms()).await;
    stage.after("cancel").await;
    let error = ApiError::new(ErrorCode::RateLimited, "too fast", "wait");
    stage.relay.script.then(Reaction::Refuse(error));
    assert_eq!(stage.host.failing("comms_send_message", message()).await["code"], "rate_limited");
}

#[tokio::test]
async fn a_yes_that_does_not_suffice_is_not_asked_for_again() {
    let mut stage = Stage::legacy(forms()).await;
    stage.relay.script.then(Reaction::Reply(json!({})));
    stage.refuse_once();
    let result = stage.after("accept").await;
    stage.is_still_pending(&result);
}

#[tokio::test]
async fn a_yes_in_the_second_round_lets_the_call_through() {
    let mut stage = Stage::set().await;
    let state = stage.modern_round().await;
    let result = stage.second_round(state, message(), "accept").await;
    assert_eq!((&result["structuredContent"], &result["resultType"]), (&sent(), &json!("complete")));
    assert_eq!(stage.decided().await, Decision::Approve);
    stage.sent_as_approved().await;
}

#[tokio::test]
async fn a_no_in_the_second_round_is_told_to_the_relay_and_the_call_is_denied() {
    let mut stage = Stage::set().await;
    let state = stage.modern_round().await;
    let result = stage.second_round(state, message(), "decline").await;
    assert_eq!(error_in(&result)["code"], "approval_denied");
    assert_eq!(stage.decided().await, Decision::Deny);
    stage.nothing_more().await;
}

#[tokio::test]
async fn a_question_that_is_closed_in_the_second_round_stays_open_at_the_relay() {
    let mut stage = Stage::set().await;
    let state = stage.modern_round().await;
    let result = stage.second_round(state, message(), "cancel").await;
    stage.is_still_pending(&result);
    stage.nothing_more().await;
}

#[tokio::test]
async fn a_modern_host_that_cannot_ask_gets_the_failure_as_it_is() {
    let mut stage = Stage::set().await;
    let mut params = params();
    params["_meta"] = modern(json!({}));
    let result = stage.host.ask("tools/call", params).await;
    stage.is_still_pending(&result);
}

#[tokio::test]
async fn a_yes_for_other_words_does_nothing() {
    let mut stage = Stage::set().await;
    let state = stage.modern_round().await;
    let other = json!({ "to": "+15550101", "body": "other words" });
    let result = stage.second_round(state, other, "accept").await;
    assert_eq!(error_in(&result)["code"], "approval_denied");
    stage.nothing_more().await;
}

#[tokio::test]
async fn a_yes_for_another_tool_does_nothing() {
    let mut stage = Stage::set().await;
    let state = stage.modern_round().await;
    let params = json!({
        "name": "comms_make_call", "arguments": message(), "_meta": modern(forms()),
        "requestState": state, "inputResponses": { "approve": { "action": "accept" } },
    });
    let result = stage.host.ask("tools/call", params).await;
    assert_eq!(error_in(&result)["code"], "approval_denied");
    stage.nothing_more().await;
}

#[tokio::test]
async fn a_state_of_another_process_does_nothing() {
    let (mut elsewhere, mut stage) = (Stage::set().await, Stage::set().await);
    let state = elsewhere.modern_round().await;
    stage.modern_round().await;
    let result = stage.second_round(state, message(), "accept").await;
    assert_eq!(error_in(&result)["code"], "approval_denied");
    stage.nothing_more().await;
}

#[rstest::rstest]
#[case(json!({}))]
#[case(json!({ "other": { "action": "accept" } }))]
#[case(json!({ "approve": { "action": "perhaps" } }))]
#[tokio::test]
async fn an_answer_to_no_question_of_ours_leaves_it_open(#[case] answers: Value) {
    let mut stage = Stage::set().await;
    let state = stage.modern_round().await;
    let mut params = params();
    params["_meta"] = modern(forms());
    params["requestState"] = state;
    params["inputResponses"] = answers;
    let result = stage.host.ask("tools/call", params).await;
    stage.is_still_pending(&result);
    stage.nothing_more().await;
}
