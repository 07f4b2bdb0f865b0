//! The person who takes calls to numbers that nobody watches: polite, brief, and gone after a few turns.

use std::sync::Arc;
use std::time::Duration;

use shared::model::CallStatus;

use super::call::{Call, Command};

const PICKS_UP_AFTER: Duration = Duration::from_millis(300);
const THINKS_FOR: Duration = Duration::from_millis(300);

/// What the person says, one after the other: the first on picking up, then one for each thing they hear.
const LINES: [&str; 6] = [
    "Hello?",
    "Yes, speaking.",
    "All right, that sounds good.",
    "Could you say a little more about it?",
    "Okay, I understand.",
    "Thank you, that is all. Goodbye.",
];

/// Takes a call and talks until the other side hangs up or there is nothing more to say.
pub(super) async fn take(call: Arc<Call>) {
    let mut view = call.view.subscribe();
    if view.wait_for(|view| view.status != CallStatus::Queued).await.is_err() {
        return;
    }
    tokio::time::sleep(PICKS_UP_AFTER).await;
    if call.command(Command::PickUp).is_err() {
        return;
    }
    for (turn, line) in LINES.into_iter().enumerate() {
        let heard_enough = view.wait_for(|view| {
            let heard = view.heard.iter().filter(|utterance| !utterance.is_filler).count();
            view.status.is_final() || (view.status == CallStatus::InProgress && heard >= turn)
        });
        match heard_enough.await {
            Ok(view) if !view.status.is_final() => {}
            _ => return,
        }
        if turn > 0 {
            tokio::time::sleep(THINKS_FOR).await;
        }
        _ = call.command(Command::Say(line.to_owned()));
    }
    _ = call.command(Command::HangUp);
}
