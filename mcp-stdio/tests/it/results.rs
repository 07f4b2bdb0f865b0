//! What a tool gives: the structured content, its text, and failures.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use shared::model::Unread;
use shared::protocol::{ApiError, ErrorCode, MakeCall, Request, SendMessage};

use crate::connected;
use crate::fake_relay::{Reaction, heard, placed, pong, sent};

#[tokio::test]
async fn a_result_is_structured_and_repeated_as_text() {
    let (mut host, _relay, _home) = connected().await;
    let result = host.call("comms_ping", json!({ "message": "hi" })).await;
    assert_eq!((&result["structuredContent"], &result["isError"]), (&pong("hi"), &json!(false)));
    let text: Value = serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap();
    assert_eq!(text, pong("hi"));
}

#[rstest::rstest]
#[case("comms_ping", json!({ "message": "hi" }), pong("hi"))]
#[case("comms_send_message", json!({ "to": "+15550101", "body": "b" }), sent())]
#[case("comms_send_message", json!({ "callSid": "CA1", "body": "b" }), heard(&[]))]
#[case("comms_make_call", json!({ "to": "+15550101" }), placed())]
#[tokio::test]
async fn every_result_tells_what_is_unread(
    #[case] tool: &str,
    #[case] arguments: Value,
    #[case] reply: Value,
) {
    let (mut host, relay, _home) = connected().await;
    relay.script.then(Reaction::ReplyWith(reply.clone(), Unread { messages: 3, voicemails: 1, calls: 0 }));
    let result = host.call(tool, arguments).await;
    let mut expected = reply;
    expected["unread"] = json!({ "messages": 3, "voicemails": 1, "calls": 0 });
    assert_eq!(result["structuredContent"], expected);
}

#[tokio::test]
async fn a_failure_is_text_only() {
    let (mut host, relay, _home) = connected().await;
    let error = ApiError::new(ErrorCode::RateLimited, "too fast", "wait").retryable(Some(7));
    relay.script.then(Reaction::Refuse(error));
    let result = host.call("comms_ping", json!({ "message": "hi" })).await;
    let text = r#"{"error":{"code":"rate_limited","hint":"wait","message":"too fast","retryAfterSeconds":7,"retryable":true}}"#;
    assert_eq!(result, json!({ "content": [{ "type": "text", "text": text }], "isError": true }));
}

#[rstest::rstest]
#[case("comms_ping", json!({ "message": "hi", "loud": true }), "unknown argument `loud`")]
#[case("comms_make_call", json!({}), "the argument `to` is missing")]
#[case("comms_send_message", json!({ "body": 5, "to": "+15550101" }), "`body` must be a string")]
#[case("comms_get_messages", json!({ "since": "+15550101" }), "`since` must be of the form in the schema")]
#[case("comms_get_messages", json!({ "callSid": "CA1", "limit": 3 }), "`limit` does not go with callSid")]
#[tokio::test]
async fn a_wrong_argument_is_a_failure_that_names_it(
    #[case] tool: &str,
    #[case] arguments: Value,
    #[case] message: &str,
) {
    let (mut host, _relay, _home) = connected().await;
    let error = host.failing(tool, arguments).await;
    assert_eq!((&error["code"], &error["message"]), (&json!("invalid_input"), &json!(message)));
}

#[tokio::test]
async fn a_message_reaches_the_relay_as_it_was_given() {
    let (mut host, relay, _home) = connected().await;
    host.call("comms_send_message", json!({ "to": "+15550101", "body": "hi", "idempotencyKey": "k" })).await;
    let expected = SendMessage {
        to: "+15550101".into(),
        body: "hi".into(),
        channel: shared::model::Channel::Sms,
        subject: None,
        html: None,
        media_urls: Vec::new(),
        attachments: Vec::new(),
        template_id: None,
        template_vars: BTreeMap::new(),
        reply_to: None,
        idempotency_key: Some("k".into()),
        schedule_at: None,
    };
    assert_eq!(relay.request().await, Request::SendMessage(expected));
}

#[tokio::test]
async fn a_call_reaches_the_relay_as_it_was_given() {
    let (mut host, relay, _home) = connected().await;
    host.call("comms_make_call", json!({ "to": "+15550101", "greeting": "Hi.", "responder": "agent" })).await;
    let Request::MakeCall(MakeCall { to, greeting, responder, .. }) = relay.request().await else {
        panic!("no call was placed")
    };
    let expected = ("+15550101".to_owned(), Some("Hi.".to_owned()), Some(shared::model::Responder::Agent));
    assert_eq!((to, greeting, responder), expected);
}
