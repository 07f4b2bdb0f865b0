//! SIGTERM: what is in flight is finished, callers are told, and nothing that was acknowledged is lost.

use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::StreamExt;
use shared::protocol::GetMessages;
use tests::process::{Home, RelayProcess};
use tests::relay::PERSON;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::carrier::{Carrier, LIVE};
use super::{Left, session, until};

/// A service manager's patience is longer.
const DRAIN: Duration = Duration::from_secs(10);

/// Asks the relay to end; it has to end well, and in time.
async fn stop(relay: RelayProcess) -> Result<()> {
    let status = timeout(DRAIN, relay.terminate()).await.context("it does not end in time")??;
    assert_eq!(status.code(), Some(0));
    Ok(())
}

#[tokio::test]
async fn a_stop_under_load_loses_nothing_that_was_acknowledged() -> Result<()> {
    let home = Home::temp();
    let relay = RelayProcess::start(&home, &LIVE).await?;
    let carrier = Carrier::of(&relay)?;
    let stopping = async {
        until("the load", || carrier.acked().len() >= 100).await?;
        stop(relay).await
    };
    let (stopped, ()) = tokio::join!(stopping, carrier.texts(u32::MAX));
    stopped?;
    let mut left = Left::by_relay_of(&home)?;
    // The answer to what was stored last may be lost on its way.
    left.texts.retain(|sid, count| carrier.acked().contains(sid) || *count != 1);
    assert_eq!(left, Left::once(carrier.acked()));
    Ok(())
}

#[tokio::test]
async fn a_live_call_is_told_that_the_relay_goes_away() -> Result<()> {
    let home = Home::temp();
    let relay = RelayProcess::start(&home, &LIVE).await?;
    let mut socket = Carrier::of(&relay)?.call("CA00000000000000000000000000000001", PERSON).await?;
    let greeting = socket.next().await.context("the relay closed the call")??;
    assert!(matches!(greeting, Message::Text(_)), "{greeting:?}");
    let closing = async {
        while let Some(Ok(message)) = socket.next().await {
            if let Message::Close(frame) = message {
                return frame.map(|frame| frame.code);
            }
        }
        None
    };
    let (closed, stopped) = tokio::join!(closing, stop(relay));
    stopped?;
    assert_eq!(closed, Some(CloseCode::Away));
    Ok(())
}

#[tokio::test]
async fn a_reader_who_waits_does_not_hold_up_a_stop() -> Result<()> {
    let home = Home::temp();
    let relay = RelayProcess::start(&home, &[]).await?;
    let session = session(&home).await?;
    let waiting = GetMessages { wait_seconds: Some(60), ..GetMessages::default() };
    let (_, stopped) = tokio::join!(session.call(waiting), stop(relay));
    stopped
}
