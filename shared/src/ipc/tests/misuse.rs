//! Peers that break the protocol lose their connection; everybody else keeps theirs.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::ipc::transport::{FrameReader, FrameWriter, frames};
use crate::ipc::{ClientError, HandshakeError};
use crate::protocol::{ClientFrame, Envelope, RefusalReason, RelayFrame, Welcome};
use tokio::io::{ReadHalf, WriteHalf};

type Raw = (FrameReader<ReadHalf<DuplexStream>>, FrameWriter<WriteHalf<DuplexStream>>);

/// A client that writes frames by hand, after a proper greeting.
async fn greeted(buffer: usize) -> (Raw, Served) {
    let (ours, theirs) = tokio::io::duplex(buffer);
    let served = Served::start(theirs);
    let (mut reader, mut writer) = frames(ours);
    writer.send(&hello()).await.unwrap();
    reader.receive::<Welcome>().await.unwrap().unwrap();
    ((reader, writer), served)
}

fn call(id: u64, message: &str) -> ClientFrame {
    ClientFrame::Call { id, call: Box::new(ping(message).into()), envelope: Envelope::default() }
}

#[tokio::test]
async fn another_protocol_version_is_refused_with_the_side_to_upgrade() {
    let (ours, theirs) = tokio::io::duplex(4096);
    let mut relay = JoinSet::new();
    relay.spawn(async move { Connection::new(theirs).hello().await.err() });
    let error = Client::handshake(ours, &Hello { protocol: 99, ..hello() }).await.err().unwrap();
    let ClientError::Refused { reason: RefusalReason::ProtocolMismatch, message } = error else {
        panic!("{error:?}")
    };
    assert_eq!(message, "the client speaks protocol 99, the relay 2: upgrade the relay and start it again");
    let ended = soon(relay.join_next()).await.unwrap().unwrap();
    assert!(matches!(ended, Some(HandshakeError::ProtocolMismatch(99))));
}

#[tokio::test]
async fn a_refusal_reaches_the_client_in_its_own_words() {
    let (ours, theirs) = tokio::io::duplex(4096);
    let mut relay = JoinSet::new();
    relay.spawn(async move {
        let greeting = Connection::new(theirs).hello().await.unwrap();
        greeting.refuse(RefusalReason::BadToken, "the token is revoked".into()).await.unwrap();
    });
    let error = Client::handshake(ours, &hello()).await.err().unwrap();
    assert!(
        matches!(error, ClientError::Refused { reason: RefusalReason::BadToken, message } if message == "the token is revoked")
    );
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_does_not_answer_the_greeting_is_given_up() {
    let (ours, _theirs) = tokio::io::duplex(4096);
    let error = Client::handshake(ours, &hello()).await.err().unwrap();
    assert!(matches!(error, ClientError::Unreachable(error) if error.kind() == std::io::ErrorKind::TimedOut));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_greet_is_given_up() {
    let (_ours, theirs) = tokio::io::duplex(4096);
    assert!(matches!(Connection::new(theirs).hello().await, Err(HandshakeError::TimedOut)));
}

#[rstest::rstest]
#[case::four_gib(b"\xff\xff\xff\xff")]
#[case::one_byte_too_long(b"\x00\x80\x00\x01")]
#[case::no_json(b"\x00\x00\x00\x04\x80\x81\x00\xff")]
#[case::truncated_json(b"\x00\x00\x00\x06{\"id\":")]
#[case::empty(b"\x00\x00\x00\x00")]
#[case::unknown_method(
    b"\x00\x00\x00\x38{\"call\":{\"id\":1,\"call\":{\"method\":\"boom\",\"params\":null}}}"
)]
#[tokio::test]
async fn bytes_that_are_no_frame_close_only_that_connection(#[case] bytes: &[u8]) {
    let (bystander, _theirs) = connected().await;
    let (ours, theirs) = tokio::io::duplex(4096);
    let served = Served::start(theirs);
    let (mut read, mut write) = tokio::io::split(ours);
    write
        .write_all(
            b"\x00\x00\x00\x3c{\"protocol\":2,\"client\":{\"name\":\"raw\",\"version\":\"0.0.0.0.0\"}}",
        )
        .await
        .unwrap();
    write.write_all(bytes).await.unwrap();
    assert_eq!(served.end().await, SessionEnd::Malformed);
    let mut rest = Vec::new();
    soon(read.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(bystander.call(ping("hi")).await.unwrap().reply, pong("hi"));
}

#[tokio::test]
async fn an_id_in_flight_twice_closes_the_connection() {
    let ((_reader, mut writer), served) = greeted(4096).await;
    writer.send(&call(1, "wait")).await.unwrap();
    writer.send(&call(1, "wait")).await.unwrap();
    assert_eq!(served.end().await, SessionEnd::Malformed);
}

#[tokio::test]
async fn the_reply_to_a_cancelled_call_is_dropped() {
    let ((mut reader, mut writer), served) = greeted(4096).await;
    writer.send(&call(1, "wait")).await.unwrap();
    writer.send(&ClientFrame::Cancel { id: 1 }).await.unwrap();
    served.echo.told.reached(1).await;
    writer.send(&call(2, "hi")).await.unwrap();
    let frame = soon(reader.receive::<RelayFrame>()).await.unwrap().unwrap();
    assert!(matches!(frame, RelayFrame::Reply { id: 2, .. }));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_disconnected() {
    let ((_reader, mut writer), served) = greeted(1024).await;
    writer.send(&ClientFrame::Subscribe).await.unwrap();
    writer.send(&call(1, &"x".repeat(4096))).await.unwrap();
    assert_eq!(served.end().await, SessionEnd::TooSlow);
}

#[tokio::test]
async fn a_client_that_reads_slowly_is_told_how_many_events_it_missed() {
    let ((mut reader, mut writer), served) = greeted(64).await;
    writer.send(&ClientFrame::Subscribe).await.unwrap();
    writer.send(&call(1, "wait")).await.unwrap();
    served.echo.began.reached(1).await;
    for missed in 0..1000 {
        served.events.send(Event::Lagged { missed: 1_000_000 + missed }).unwrap();
        tokio::task::yield_now().await;
    }
    let missed = soon(async {
        loop {
            match reader.receive::<RelayFrame>().await.unwrap().unwrap() {
                RelayFrame::Event(Event::Lagged { missed }) if missed < 1_000_000 => return missed,
                RelayFrame::Event(_) | RelayFrame::Reply { .. } => (),
            }
        }
    });
    assert!((800..1000).contains(&missed.await));
}
