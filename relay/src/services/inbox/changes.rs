//! Who waits for an inbox to change, and how much of it is unread.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use relay_store::messages;
use shared::ids::AgentId;
use shared::model::Unread;
use tokio::sync::watch;

use crate::app::App;
use crate::services::ServiceError;

/// Wakes waiting readers, and knows how much is unread without asking the database each time.
#[derive(Debug, Default)]
pub struct Inboxes(Mutex<HashMap<AgentId, Arc<Inbox>>>);

#[derive(Debug)]
pub(crate) struct Inbox {
    /// Counts changes; its value means nothing else.
    pub(crate) changes: watch::Sender<u64>,
    /// What is unread as of which change.
    counted: Mutex<Option<(u64, Unread)>>,
}

impl Inboxes {
    pub(crate) fn of(&self, agent: &AgentId) -> Arc<Inbox> {
        let mut inboxes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(inbox) = inboxes.get(agent) {
            return Arc::clone(inbox);
        }
        let inbox = Arc::new(Inbox { changes: watch::Sender::new(0), counted: Mutex::default() });
        inboxes.insert(agent.clone(), Arc::clone(&inbox));
        inbox
    }

    /// Something was committed that an agent's readers should see.
    pub(crate) fn changed(&self, agent: &AgentId) {
        self.of(agent).changes.send_modify(|count| *count += 1);
    }

    /// How much is unread; asks the database only after a change.
    pub(crate) async fn unread(&self, app: &App, agent: &AgentId) -> Result<Unread, ServiceError> {
        let inbox = self.of(agent);
        let change = *inbox.changes.borrow();
        let known = *inbox.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, unread)) = known.filter(|(at, _)| *at == change) {
            return Ok(unread);
        }
        let agent = agent.clone();
        let unread = app
            .db
            .read::<_, ServiceError, _>(move |conn| {
                async move { Ok(messages::count_unread(conn, &agent).await?) }.boxed()
            })
            .await?;
        *inbox.counted.lock().unwrap_or_else(PoisonError::into_inner) = Some((change, unread));
        Ok(unread)
    }
}
