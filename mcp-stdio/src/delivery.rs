//! What was handed over with which answer. It counts as read only once the host has that answer.
//!
//! A tool notes the confirmation under its request's id; [`crate::transport`] redeems it after the answer was
//! written. If the process dies in between, the relay hands the same things over again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rmcp::model::RequestId;
use shared::protocol::{ConfirmRead, Envelope};
use tokio_util::task::TaskTracker;

use crate::relay::Relay;

/// Confirmations under way may delay the end of the process by this much.
const SETTLING: Duration = Duration::from_millis(40);

/// What is to be confirmed, and for whom it was read.
pub(crate) type Delivery = (ConfirmRead, Envelope);

#[derive(Clone)]
pub(crate) struct Deliveries {
    relay: Relay,
    noted: Arc<Mutex<HashMap<RequestId, Delivery>>>,
    confirming: TaskTracker,
}

impl Deliveries {
    pub(crate) fn new(relay: Relay) -> Self {
        Self { relay, noted: Arc::default(), confirming: TaskTracker::new() }
    }

    /// The answer to this request will carry things that are to be confirmed.
    pub(crate) fn note(&self, request: RequestId, delivery: Delivery) {
        self.with_noted(|noted| noted.insert(request, delivery));
    }

    /// What the answer to this request carries, if anything. Also forgets it: what was noted for a request that
    /// the host has cancelled must not be confirmed by a later one with the same id.
    pub(crate) fn take(&self, request: &RequestId) -> Option<Delivery> {
        self.with_noted(|noted| noted.remove(request))
    }

    /// The host has the answer.
    pub(crate) fn confirm(&self, (confirmation, envelope): Delivery) {
        let relay = self.relay.clone();
        self.confirming.spawn(async move { relay.confirm(confirmation, envelope).await });
    }

    /// Gives confirmations that are under way a moment to arrive.
    pub(crate) async fn settle(&self) {
        self.confirming.close();
        // What does not arrive is handed over again.
        let _ = tokio::time::timeout(SETTLING, self.confirming.wait()).await;
    }

    fn with_noted<T>(&self, change: impl FnOnce(&mut HashMap<RequestId, Delivery>) -> T) -> T {
        change(&mut self.noted.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
