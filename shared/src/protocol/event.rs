//! What the relay tells without being asked, to clients that subscribed.

use serde::{Deserialize, Serialize};

use crate::ids::CallSid;
use crate::model::{CallStatus, Unread};

/// News for the session's agent. A client that reads too slowly gets [`Event::Lagged`] in place of what it missed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    InboxChanged { unread: Unread },
    CallChanged { call_sid: CallSid, status: CallStatus },
    Lagged { missed: u64 },
}
