//! The simulated carrier's live calls, over a real WebSocket.

use relay_providers::OutboundCall;
use serde_json::json;
use shared::ids::CallSid;
use shared::model::CallStatus;

use super::peer::{ACCOUNT, Peer, ours, person};

/// A person's call that has reached the WebSocket.
async fn live_call(peer: &Peer) -> CallSid {
    peer.document(&peer.connect());
    let placed = peer.carrier.call(&person(), &ours()).await.unwrap();
    assert_eq!(placed.status, CallStatus::InProgress);
    peer.frames(1).await;
    placed.call_sid
}

#[tokio::test]
async fn the_first_frame_says_who_calls_whom() {
    let peer = Peer::start().await;
    let call = live_call(&peer).await;
    let setup = peer.frames(1).await.remove(0);
    let expected = json!({
        "type": "setup", "sessionId": setup["sessionId"], "accountSid": ACCOUNT, "parentCallSid": "",
        "callSid": call, "from": person(), "to": ours(), "forwardedFrom": "", "callType": "PSTN", "callerName": "",
        "direction": "inbound", "callStatus": "RINGING", "customParameters": { "session": "s1" },
    });
    assert_eq!(setup, expected);
}

#[tokio::test]
async fn a_conversation_is_heard_in_whole_utterances() {
    let peer = Peer::start().await;
    let call = live_call(&peer).await;
    peer.carrier.say(&call, "good day").unwrap();
    peer.heard(&call, 2).await;
    peer.carrier.say(&call, "keys").unwrap();
    assert_eq!(peer.heard(&call, 3).await, ["Welcome.", "You said good day.", "[keys 12#]"]);
}

#[tokio::test]
async fn what_the_person_does_arrives_as_frames() {
    let peer = Peer::start().await;
    let call = live_call(&peer).await;
    peer.carrier.say(&call, "hi").unwrap();
    peer.carrier.press(&call, "5#").unwrap();
    peer.carrier.interrupt(&call, "You sa").unwrap();
    let frames = peer.frames(5).await;
    let expected = [
        json!({ "type": "prompt", "voicePrompt": "hi", "lang": "en-US", "last": true }),
        json!({ "type": "dtmf", "digit": "5" }),
        json!({ "type": "dtmf", "digit": "#" }),
        json!({ "type": "interrupt", "utteranceUntilInterrupt": "You sa", "durationUntilInterruptMs": 360 }),
    ];
    assert_eq!(frames[1..], expected);
}

#[tokio::test]
async fn the_end_that_we_ask_for_hands_over_to_the_action() {
    let peer = Peer::start().await;
    let call = live_call(&peer).await;
    peer.document("<Say>Goodbye.</Say>");
    peer.carrier.say(&call, "goodbye").unwrap();
    let heard = peer.heard_to_the_end(&call).await;
    assert_eq!(heard, (vec!["Welcome.".to_owned(), "Goodbye.".to_owned()], CallStatus::Completed));
    let post = peer.posts("/action", 1).await.remove(0);
    let told = (post.field("SessionStatus"), post.field("HandoffData"), post.field("CallStatus"));
    assert_eq!(told, ("ended", "{\"reason\":\"done\"}", "in-progress"));
}

#[tokio::test]
async fn a_caller_who_hangs_up_completes_the_session() {
    let peer = Peer::start().await;
    let call = live_call(&peer).await;
    peer.carrier.hang_up(&call).unwrap();
    let post = peer.posts("/action", 1).await.remove(0);
    assert_eq!((post.field("SessionStatus"), post.field("CallStatus")), ("completed", "completed"));
    assert_eq!(peer.posts("/status", 1).await[0].field("CallStatus"), "completed");
}

#[tokio::test]
async fn a_lost_socket_fails_the_session_and_a_fresh_connect_goes_on() {
    let peer = Peer::start().await;
    let call = live_call(&peer).await;
    peer.document(&peer.connect());
    peer.carrier.say(&call, "drop").unwrap();
    let post = peer.posts("/action", 1).await.remove(0);
    assert_eq!((post.field("SessionStatus"), post.field("ErrorCode")), ("failed", "39001"));
    peer.heard(&call, 2).await;
    peer.carrier.say(&call, "still there").unwrap();
    assert_eq!(peer.heard(&call, 3).await, ["Welcome.", "Welcome.", "You said still there."]);
}

#[tokio::test]
async fn ten_frames_of_nonsense_close_the_socket() {
    let peer = Peer::start().await;
    let call = live_call(&peer).await;
    peer.carrier.say(&call, "nonsense").unwrap();
    let post = peer.posts("/action", 1).await.remove(0);
    assert_eq!((post.field("SessionStatus"), post.field("ErrorCode")), ("failed", "64105"));
}

#[tokio::test]
async fn a_socket_that_cannot_be_opened_fails_the_session() {
    let peer = Peer::start().await;
    peer.document(&peer.connect().replace("/ws", "/nowhere"));
    peer.carrier.call(&person(), &ours()).await.unwrap();
    let post = peer.posts("/action", 1).await.remove(0);
    assert_eq!((post.field("SessionStatus"), post.field("ErrorCode")), ("failed", "64102"));
}

#[tokio::test]
async fn a_live_call_takes_other_instructions() {
    let peer = Peer::start().await;
    let call = live_call(&peer).await;
    peer.providers.voice.redirect(&call, "<Response><Say>Please hold.</Say></Response>").await.unwrap();
    let heard = peer.heard_to_the_end(&call).await;
    assert_eq!(heard, (vec!["Welcome.".to_owned(), "Please hold.".to_owned()], CallStatus::Completed));
}

#[tokio::test]
async fn a_call_ends_at_its_limit() {
    let peer = Peer::start().await;
    peer.document(&peer.connect());
    let call = OutboundCall { time_limit_seconds: 0, ..peer.outbound() };
    let placed = peer.providers.voice.place(&call).await.unwrap();
    assert_eq!(peer.heard_to_the_end(&placed.call_sid).await.1, CallStatus::Completed);
}

#[tokio::test]
async fn the_scripted_person_talks_and_hangs_up() {
    let peer = Peer::start().await;
    peer.document(&peer.connect());
    let placed = peer.providers.voice.place(&peer.outbound()).await.unwrap();
    let (heard, status) = peer.heard_to_the_end(&placed.call_sid).await;
    assert_eq!((heard[0].as_str(), status), ("Welcome.", CallStatus::Completed));
    let prompts = peer.frames(7).await.iter().filter(|frame| frame["type"] == "prompt").count();
    assert_eq!(prompts, 6);
    assert_eq!(peer.posts("/action", 1).await[0].field("SessionStatus"), "completed");
}
