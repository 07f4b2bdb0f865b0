//! Writing down what was said, off the path between hearing and answering.
//!
//! Turns go through one bounded queue to one writer, many to a transaction. When the queue is full, calls wait for
//! it: nothing is dropped. While the database cannot be written, the writer tries the same turns again.

use std::time::Duration;

use futures_util::FutureExt;
use relay_store::{Database, call_turns};
use shared::ids::{MessageId, SessionId};
use shared::model::CallTurn;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::ServiceError;
use crate::observability::events;

const QUEUE: usize = 4_096;
const BATCH: usize = 256;
const PAUSE: Duration = Duration::from_secs(1);

/// Something to write down.
#[derive(Clone, Debug)]
pub(crate) enum Line {
    Turn {
        session: SessionId,
        position: i64,
        turn: CallTurn,
    },
    /// Of this turn only so much was heard.
    CutShort {
        turn: MessageId,
        heard_until: String,
    },
}

/// The sending end of the queue.
#[derive(Clone, Debug)]
pub struct Transcripts(mpsc::Sender<Line>);

/// The writer's end.
pub struct Pending(mpsc::Receiver<Line>);

impl Transcripts {
    /// The queue, and what its one writer takes from it.
    #[must_use]
    pub fn queue() -> (Self, Pending) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Self(sender), Pending(receiver))
    }

    /// Gives the line back if the queue is full.
    pub(crate) fn try_write(&self, line: Line) -> Option<Line> {
        match self.0.try_send(line) {
            Err(mpsc::error::TrySendError::Full(line)) => Some(line),
            // Closed only when the relay stops, after the last call has ended.
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => None,
        }
    }

    pub(crate) async fn write(&self, line: Line) {
        // Closed only when the relay stops, after the last call has ended.
        let _ = self.0.send(line).await;
    }
}

/// Writes until `stop`, then what is left.
pub(crate) async fn write_all(db: Database, mut pending: Pending, stop: CancellationToken) {
    let mut lines = Vec::with_capacity(BATCH);
    loop {
        tokio::select! {
            taken = pending.0.recv_many(&mut lines, BATCH) => if taken == 0 { return },
            () = stop.cancelled() => pending.0.close(),
        }
        while !lines.is_empty() {
            match write_batch(&db, lines.clone()).await {
                Ok(()) => lines.clear(),
                Err(problem) => {
                    events::failed_inside("write a transcript", &problem);
                    if stop.is_cancelled() {
                        return;
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

async fn write_batch(db: &Database, lines: Vec<Line>) -> Result<(), ServiceError> {
    db.transaction(move |tx| {
        async move {
            for line in &lines {
                match line {
                    Line::Turn { session, position, turn } => {
                        call_turns::insert(tx, session, *position, turn).await?;
                    }
                    Line::CutShort { turn, heard_until } => {
                        call_turns::set_heard_until(tx, turn, heard_until).await?;
                    }
                }
            }
            Ok(())
        }
        .boxed()
    })
    .await
}
