//! The wire form of every frame, byte for byte: what an older program of the same protocol version sends.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::*;
use crate::model::CallStatus;
use crate::protocol::{ClientFrame, Envelope, Outcome, RefusalReason, RelayFrame, Welcome};

/// The frame has this form, and this form is the frame.
#[track_caller]
fn pinned<T: Serialize + DeserializeOwned>(frame: &T, form: &str) {
    assert_eq!(serde_json::to_string(frame).unwrap(), form);
    let back: T = serde_json::from_str(form).unwrap();
    assert_eq!(serde_json::to_string(&back).unwrap(), form);
}

#[test]
fn hello() {
    let host = Some(PeerProgram { name: "claude-code".into(), version: "2.1".into() });
    pinned(
        &Hello { host, token: Some("cat_x".into()), ..super::hello() },
        r#"{"protocol":2,"client":{"name":"comms-mcp","version":"1.2.3"},"host":{"name":"claude-code","version":"2.1"},"token":"cat_x"}"#,
    );
}

#[test]
fn a_hello_without_host_and_token() {
    let form = r#"{"protocol":2,"client":{"name":"comms-mcp","version":"1.2.3"}}"#;
    let hello: Hello = serde_json::from_str(form).unwrap();
    assert!(hello.host.is_none() && hello.token.is_none());
}

#[test]
fn accepted() {
    pinned(
        &Welcome::Accepted { protocol: 2, relay: relay(), agent_id: AgentId::default_agent() },
        r#"{"accepted":{"protocol":2,"relay":{"name":"comms-relay","version":"1.2.3"},"agent_id":"default"}}"#,
    );
}

#[rstest::rstest]
#[case(RefusalReason::ProtocolMismatch, "protocol_mismatch")]
#[case(RefusalReason::BadToken, "bad_token")]
#[case(RefusalReason::TooManyConnections, "too_many_connections")]
fn refused(#[case] reason: RefusalReason, #[case] word: &str) {
    let form = format!(r#"{{"refused":{{"reason":"{word}","message":"no"}}}}"#);
    pinned(&Welcome::Refused { reason, message: "no".into() }, &form);
}

#[test]
fn call() {
    pinned(
        &ClientFrame::Call { id: 3, call: Box::new(ping("hi").into()), envelope: Envelope::default() },
        r#"{"call":{"id":3,"call":{"method":"ping","params":{"message":"hi"}}}}"#,
    );
}

#[test]
fn a_call_for_another_agent_with_an_approval() {
    let agent_id = Some("sales".parse().unwrap());
    let approval_id = Some("0199b3d2-0000-7000-8000-000000000000".parse().unwrap());
    pinned(
        &ClientFrame::Call {
            id: 3,
            call: Box::new(ping("hi").into()),
            envelope: Envelope { agent_id, approval_id },
        },
        r#"{"call":{"id":3,"call":{"method":"ping","params":{"message":"hi"}},"envelope":{"agent_id":"sales","approval_id":"0199b3d2-0000-7000-8000-000000000000"}}}"#,
    );
}

#[test]
fn cancel() {
    pinned(&ClientFrame::Cancel { id: 3 }, r#"{"cancel":{"id":3}}"#);
}

#[test]
fn subscribe() {
    pinned(&ClientFrame::Subscribe, r#""subscribe""#);
}

#[test]
fn a_reply() {
    let value = RawValue::from_string(r#"{"status":"ok"}"#.into()).unwrap();
    let unread = Some(Unread { messages: 1, voicemails: 2, calls: 3 });
    pinned(
        &RelayFrame::Reply { id: 3, result: Outcome::Ok(value), unread },
        r#"{"reply":{"id":3,"result":{"ok":{"status":"ok"}},"unread":{"messages":1,"voicemails":2,"calls":3}}}"#,
    );
}

#[test]
fn an_error() {
    let error = ApiError::new(ErrorCode::RateLimited, "too fast", "wait").retryable(Some(7));
    pinned(
        &RelayFrame::Reply { id: 3, result: Outcome::Error(error), unread: None },
        r#"{"reply":{"id":3,"result":{"error":{"code":"rate_limited","message":"too fast","hint":"wait","retryable":true,"retryAfterSeconds":7}}}}"#,
    );
}

#[test]
fn inbox_changed() {
    pinned(
        &RelayFrame::Event(Event::InboxChanged { unread: Unread::default() }),
        r#"{"event":{"inbox_changed":{"unread":{"messages":0,"voicemails":0,"calls":0}}}}"#,
    );
}

#[test]
fn call_changed() {
    pinned(
        &RelayFrame::Event(Event::CallChanged {
            call_sid: "CA1".parse().unwrap(),
            status: CallStatus::NoAnswer,
        }),
        r#"{"event":{"call_changed":{"call_sid":"CA1","status":"no-answer"}}}"#,
    );
}

#[test]
fn lagged() {
    pinned(&RelayFrame::Event(Event::Lagged { missed: 5 }), r#"{"event":{"lagged":{"missed":5}}}"#);
}
