//! Calls, cancellation and events between a client and a session that behave.

use tokio::task::JoinSet;

use super::*;
use crate::ipc::{ClientError, Told};
use crate::model::Unread;

#[tokio::test]
async fn a_reply_comes_with_what_is_unread() {
    let (client, _served) = connected().await;
    let unread = Some(Unread { messages: 2, voicemails: 1, calls: 0 });
    assert_eq!(client.call(ping("hi")).await.unwrap(), Told { reply: pong("hi"), unread });
}

#[tokio::test]
async fn the_client_knows_who_it_is_and_whom_it_talks_to() {
    let (client, _served) = connected().await;
    assert_eq!((client.agent_id(), client.relay()), (&AgentId::default_agent(), &relay()));
}

#[tokio::test]
async fn fifty_calls_at_once_get_their_own_replies() {
    let (client, _served) = connected().await;
    let mut calls = JoinSet::new();
    for n in 0..50 {
        let client = client.clone();
        calls.spawn(
            async move { (n.to_string(), client.call(ping(&n.to_string())).await.unwrap().reply.echo) },
        );
    }
    let replies = soon(calls.join_all()).await;
    assert_eq!(replies.len(), 50);
    assert!(replies.iter().all(|(asked, echoed)| asked == echoed));
}

#[tokio::test]
async fn a_refusal_arrives_as_it_was_given() {
    let (client, _served) = connected().await;
    let error = client.call(ping("fail")).await.unwrap_err();
    assert!(matches!(error, ClientError::Api(error) if error == refusal()));
}

#[tokio::test]
async fn a_call_that_panics_costs_only_itself() {
    let (client, _served) = connected().await;
    let error = client.call(ping("panic")).await.unwrap_err();
    assert!(matches!(error, ClientError::Api(error) if error.code == ErrorCode::Internal));
    assert_eq!(client.call(ping("hi")).await.unwrap().reply, pong("hi"));
}

#[tokio::test]
async fn a_reply_too_large_for_a_frame_costs_only_itself() {
    let (client, _served) = connected().await;
    let error = client.call(ping("huge")).await.unwrap_err();
    assert!(matches!(error, ClientError::Api(error) if error.message == "the answer is too large"));
    assert_eq!(client.call(ping("hi")).await.unwrap().reply, pong("hi"));
}

#[tokio::test]
async fn a_request_too_large_for_a_frame_is_never_sent() {
    let (client, _served) = connected().await;
    let error = client.call(ping(&"x".repeat(9 << 20))).await.unwrap_err();
    assert!(matches!(error, ClientError::Api(error) if error.code == ErrorCode::InvalidInput));
}

#[tokio::test]
async fn dropping_a_call_tells_the_relay() {
    let (client, served) = connected().await;
    tokio::select! {
        _ = client.call(ping("wait")) => panic!("nobody has answered"),
        () = served.echo.began.reached(1) => (),
    }
    served.echo.told.reached(1).await;
    assert_eq!(client.call(ping("hi")).await.unwrap().reply, pong("hi"));
}

#[tokio::test]
async fn the_65th_call_in_flight_is_refused() {
    let (client, served) = connected().await;
    let mut waiting = JoinSet::new();
    for _ in 0..64 {
        let client = client.clone();
        waiting.spawn(async move { client.call(ping("wait")).await });
    }
    served.echo.began.reached(64).await;
    let error = client.call(ping("hi")).await.unwrap_err();
    assert!(
        matches!(error, ClientError::Api(error) if error.code == ErrorCode::RateLimited && error.retryable)
    );
}

#[tokio::test]
async fn a_client_that_goes_ends_its_waits_and_its_session() {
    let (client, served) = connected().await;
    let mut waiting = JoinSet::new();
    waiting.spawn(async move { client.call(ping("wait")).await });
    served.echo.began.reached(1).await;
    waiting.shutdown().await;
    served.echo.told.reached(1).await;
    assert_eq!(served.end().await, SessionEnd::ClientLeft);
}

#[tokio::test]
async fn a_relay_that_stops_still_answers_the_calls_it_has() {
    let (client, served) = connected().await;
    let mut waiting = JoinSet::new();
    let caller = client.clone();
    waiting.spawn(async move { caller.call(ping("wait")).await.unwrap().reply });
    served.echo.began.reached(1).await;
    served.stop.cancel();
    assert_eq!(soon(waiting.join_next()).await.unwrap().unwrap(), pong("wait"));
    assert_eq!(served.end().await, SessionEnd::Stopped);
    soon(client.closed()).await;
    assert!(matches!(client.call(ping("hi")).await, Err(ClientError::Unreachable(_))));
}

#[tokio::test]
async fn a_call_that_the_relay_leaves_unanswered_is_closed() {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let served = Served::start(theirs);
    let client = Client::handshake(ours, &hello()).await.unwrap();
    let mut waiting = JoinSet::new();
    waiting.spawn(async move { client.call(ping("wait")).await });
    served.echo.began.reached(1).await;
    drop(served);
    assert!(matches!(soon(waiting.join_next()).await, Some(Ok(Err(ClientError::Closed)))));
}

#[tokio::test]
async fn events_come_only_after_subscribing() {
    let (client, served) = connected().await;
    served.events.send(news(1)).unwrap();
    let mut events = client.subscribe().await.unwrap();
    client.call(ping("the subscription has arrived")).await.unwrap();
    served.events.send(news(2)).unwrap();
    assert_eq!(soon(events.next()).await, Some(news(2)));
}

#[tokio::test]
async fn events_end_with_the_connection() {
    let (client, served) = connected().await;
    let mut events = client.subscribe().await.unwrap();
    served.stop.cancel();
    assert_eq!(soon(events.next()).await, None);
    assert!(matches!(client.subscribe().await, Err(ClientError::Closed)));
}

#[tokio::test]
async fn a_subscriber_that_reads_slowly_is_told_how_much_it_missed() {
    let (client, served) = connected().await;
    let mut events = client.subscribe().await.unwrap();
    let mut passed = client.subscribe().await.unwrap();
    client.call(ping("the subscription has arrived")).await.unwrap();
    for n in 0..300 {
        served.events.send(news(n)).unwrap();
        assert_eq!(soon(passed.next()).await, Some(news(n)));
    }
    assert_eq!(soon(events.next()).await, Some(Event::Lagged { missed: 44 }));
    assert_eq!(soon(events.next()).await, Some(news(44)));
}

fn news(messages: i64) -> Event {
    Event::InboxChanged { unread: Unread { messages, ..Unread::default() } }
}
