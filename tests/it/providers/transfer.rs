//! Calls that are put through to another telephone, over the simulated carrier.

use rstest::rstest;
use shared::ids::CallSid;
use shared::model::{CallStatus, PhoneNumber};

use super::peer::{Peer, ours, person};

const OTHER: &str = "+15558675311";

/// A person's call that is put through with these attributes of `<Dial>` and `<Number>`.
async fn transferred(peer: &Peer, dial: &str, number: &str, to: &str) -> CallSid {
    let say = "<Say>I am putting you through.</Say>";
    peer.document(&format!("{say}<Dial {dial}><Number {number}>{to}</Number></Dial><Say>They left.</Say>"));
    peer.carrier.call(&person(), &ours()).await.unwrap().call_sid
}

fn announced(more: &[&str]) -> Vec<String> {
    ["I am putting you through."].iter().chain(more).map(|&text| text.to_owned()).collect()
}

#[tokio::test]
async fn a_call_is_put_through_until_the_person_hangs_up() {
    let peer = Peer::start().await;
    let call = transferred(&peer, "", "", OTHER).await;
    let heard = announced(&["[rings at +15558675311]"]);
    assert_eq!(
        peer.carrier.heard(&call, 1, super::peer::PATIENCE).await.unwrap(),
        (heard, CallStatus::InProgress)
    );
    assert_eq!(peer.carrier.dialled(&call), [OTHER.parse::<PhoneNumber>().unwrap()]);
    peer.carrier.hang_up(&call).unwrap();
    assert_eq!(peer.heard_to_the_end(&call).await.1, CallStatus::Completed);
}

#[tokio::test]
async fn the_other_telephone_alone_hears_the_whisper() {
    let peer = Peer::start().await;
    let whisper = format!("url=\"{}\"", peer.url("/whisper"));
    peer.whisper("<Say>A caller who is waiting.</Say>");
    let call = transferred(&peer, "", &whisper, OTHER).await;
    let post = peer.posts("/whisper", 1).await.remove(0);
    let told = ["ParentCallSid", "To", "Direction"].map(|name| post.field(name));
    assert_eq!(told, [call.as_str(), OTHER, "outbound-dial"]);
    peer.carrier.hang_up(&call).unwrap();
    let heard = peer.heard_to_the_end(&call).await.0;
    let whispered = peer.carrier.whispered(&call);
    assert_eq!(
        (heard, whispered),
        (announced(&["[rings at +15558675311]"]), vec!["A caller who is waiting.".to_owned()])
    );
}

#[tokio::test]
async fn a_call_that_was_put_through_comes_back_after_its_limit() {
    let peer = Peer::start().await;
    let call = transferred(&peer, "timeLimit=\"0\"", "", OTHER).await;
    let heard = peer.heard_to_the_end(&call).await;
    assert_eq!(heard, (announced(&["[rings at +15558675311]", "They left."]), CallStatus::Completed));
}

#[rstest]
#[case::nobody_there("+15005550003", "", "no-answer")]
#[case::no_number("+15005550001", "", "failed")]
#[case::a_foreign_caller_id(OTHER, "callerId=\"+15558675399\"", "failed")]
#[case::a_whisper_that_hangs_up(OTHER, "", "completed")]
#[tokio::test]
async fn a_telephone_that_is_not_reached_is_told_to_the_action(
    #[case] to: &str,
    #[case] attribute: &str,
    #[case] status: &str,
) {
    let peer = Peer::start().await;
    let dial = format!("action=\"{}\" {attribute}", peer.url("/action"));
    peer.whisper("<Hangup/>");
    let call = transferred(&peer, &dial, &format!("url=\"{}\"", peer.url("/whisper")), to).await;
    assert_eq!(peer.posts("/action", 1).await[0].field("DialCallStatus"), status);
    assert_eq!(peer.heard_to_the_end(&call).await.1, CallStatus::Completed);
}

#[tokio::test]
async fn a_person_who_hangs_up_is_told_to_the_action() {
    let peer = Peer::start().await;
    let call = transferred(&peer, &format!("action=\"{}\"", peer.url("/action")), "", OTHER).await;
    peer.heard(&call, 2).await;
    peer.carrier.hang_up(&call).unwrap();
    let post = peer.posts("/action", 1).await.remove(0);
    assert_eq!((post.field("CallStatus"), post.field("DialCallStatus")), ("completed", "completed"));
}

#[tokio::test]
async fn a_live_call_that_is_put_through_leaves_the_socket() {
    let peer = Peer::start().await;
    peer.document(&peer.connect());
    let call = peer.carrier.call(&person(), &ours()).await.unwrap().call_sid;
    peer.frames(1).await;
    let twiml = format!("<Response><Dial><Number>{OTHER}</Number></Dial></Response>");
    peer.providers.voice.redirect(&call, &twiml).await.unwrap();
    peer.socket_closed().await;
    peer.heard(&call, 2).await;
    assert_eq!(peer.carrier.dialled(&call), [OTHER.parse::<PhoneNumber>().unwrap()]);
}

#[tokio::test]
async fn a_call_that_was_put_through_takes_other_instructions() {
    let peer = Peer::start().await;
    let call = transferred(&peer, "", "", OTHER).await;
    peer.heard(&call, 2).await;
    peer.providers.voice.redirect(&call, "<Response><Say>Goodbye.</Say></Response>").await.unwrap();
    let heard = peer.heard_to_the_end(&call).await;
    assert_eq!(heard, (announced(&["[rings at +15558675311]", "Goodbye."]), CallStatus::Completed));
}
