//! Reading.

use serde::{Deserialize, Serialize};

use crate::ids::{CallSid, LeaseId, TurnId};
use crate::model::{Channel, Direction, Message, Missed, Timestamp, text_enum};

text_enum!(
    /// What a waiting reader waits for.
    Until {
        /// Something unread, be it there or yet to come.
        Next = "next",
    }
);

/// Behind `comms_get_messages`, where no live call is named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GetMessages {
    #[serde(default)]
    pub channel: Option<Channel>,
    #[serde(default)]
    pub direction: Option<Direction>,
    /// The other side's address.
    #[serde(default)]
    pub contact: Option<String>,
    /// What is unread, oldest first, or everything, newest first. Left out: the former, unless `since`, `before`,
    /// `cursor` or the direction outbound ask for the past.
    #[serde(default)]
    pub unread: Option<bool>,
    #[serde(default)]
    pub since: Option<Timestamp>,
    #[serde(default)]
    pub before: Option<Timestamp>,
    #[serde(default)]
    pub limit: Option<i64>,
    #[serde(default)]
    pub cursor: Option<String>,
    #[serde(default)]
    pub wait_seconds: Option<u64>,
    #[serde(default)]
    pub until: Option<Until>,
    #[serde(default)]
    pub mark_read: Option<bool>,
}

/// What [`GetMessages`] gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessagePage {
    pub messages: Vec<Message>,
    /// How many there are in all that fit the question.
    pub total: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    pub unread_remaining: i64,
    pub missed: Missed,
    /// Names the hand-over: to be confirmed with [`ConfirmRead`] once the host has the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<LeaseId>,
}

/// The host has got an answer: what was handed over with it is read.
///
/// Until this comes, what a lease holds is handed over again when the lease runs out or its session ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfirmRead {
    Messages { lease: LeaseId },
    Turns { call_sid: CallSid, until: TurnId },
}

/// Done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmed {}
