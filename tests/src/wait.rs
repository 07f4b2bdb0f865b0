//! Waiting for what can only be asked for. Where an event tells it, wait for the event.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::{interval, timeout};

const PATIENCE: Duration = Duration::from_secs(30);
const BETWEEN: Duration = Duration::from_millis(20);

/// Asks until there is an answer. `what` names it for the words of a failure.
pub async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let asking = async {
        let mut ticks = interval(BETWEEN);
        loop {
            ticks.tick().await;
            if let Some(answer) = ask().await? {
                return Ok(answer);
            }
        }
    };
    timeout(PATIENCE, asking).await.with_context(|| format!("never came: {what}"))?
}
