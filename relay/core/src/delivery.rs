//! The order of what becomes of a message or a call that goes out.
//!
//! Called wherever a status is written: by the sender, by the provider's callbacks, by the reconciler. Callbacks
//! are repeated and come out of order, so a status only moves forward, and whatever order the same reports come
//! in, they end in the same status. For that the order is a chain (each report lifts the status to at least its
//! own rank):
//!
//! `intended < sending < unknown < accepted < sent < failed < undelivered < delivered < read`
//!
//! A report of the provider settles `unknown`. A failure is later than being handed on, and news that the other
//! side has it is later still: a carrier that first says "undelivered" and then "delivered" has delivered.

use shared::model::{CallStatus, MessageStatus};

/// The chain, lowest first. `received` is the one status of what comes in and takes no part.
const MESSAGE_ORDER: [MessageStatus; 9] = [
    MessageStatus::Intended,
    MessageStatus::Sending,
    MessageStatus::Unknown,
    MessageStatus::Accepted,
    MessageStatus::Sent,
    MessageStatus::Failed,
    MessageStatus::Undelivered,
    MessageStatus::Delivered,
    MessageStatus::Read,
];

/// The chain of a call. The ends exclude one another in life; their order only makes late contradictions
/// converge, and puts the one that costs money last.
const CALL_ORDER: [CallStatus; 8] = [
    CallStatus::Queued,
    CallStatus::Ringing,
    CallStatus::InProgress,
    CallStatus::Canceled,
    CallStatus::NoAnswer,
    CallStatus::Busy,
    CallStatus::Failed,
    CallStatus::Completed,
];

/// The statuses from which `to` may be entered.
#[must_use]
pub fn may_follow(to: MessageStatus) -> &'static [MessageStatus] {
    below(&MESSAGE_ORDER, to)
}

/// The status after a report: the later of the two. What was received stays received.
#[must_use]
pub fn advance(current: MessageStatus, reported: MessageStatus) -> MessageStatus {
    if may_follow(reported).contains(&current) { reported } else { current }
}

/// The statuses from which a call may enter `to`.
#[must_use]
pub fn call_may_follow(to: CallStatus) -> &'static [CallStatus] {
    below(&CALL_ORDER, to)
}

/// The status of a call after a report: the later of the two.
#[must_use]
pub fn call_advance(current: CallStatus, reported: CallStatus) -> CallStatus {
    if call_may_follow(reported).contains(&current) { reported } else { current }
}

/// Twilio's word for the status of a message that goes out, if it is one.
#[must_use]
pub fn from_twilio(status: &str) -> Option<MessageStatus> {
    match status {
        "queued" | "accepted" | "scheduled" => Some(MessageStatus::Accepted),
        // "partially_delivered" is one of several recipients; the whole is still under way.
        "sending" | "sent" | "partially_delivered" => Some(MessageStatus::Sent),
        "delivered" => Some(MessageStatus::Delivered),
        "read" => Some(MessageStatus::Read),
        "undelivered" => Some(MessageStatus::Undelivered),
        "failed" | "canceled" => Some(MessageStatus::Failed),
        _ => None,
    }
}

/// Twilio's word for the status of a call, if it is one; `initiated` is what callbacks call a queued one.
#[must_use]
pub fn call_from_twilio(status: &str) -> Option<CallStatus> {
    match status {
        "initiated" => Some(CallStatus::Queued),
        "answered" => Some(CallStatus::InProgress),
        other => other.parse().ok(),
    }
}

fn below<T: PartialEq>(order: &'static [T], status: T) -> &'static [T] {
    let rank = order.iter().position(|known| *known == status).unwrap_or(0);
    &order[..rank]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::first_report(MessageStatus::Sending, MessageStatus::Accepted, MessageStatus::Accepted)]
    #[case::late_report(MessageStatus::Delivered, MessageStatus::Sent, MessageStatus::Delivered)]
    #[case::repeated(MessageStatus::Sent, MessageStatus::Sent, MessageStatus::Sent)]
    #[case::lost_answer(MessageStatus::Sending, MessageStatus::Unknown, MessageStatus::Unknown)]
    #[case::unknown_is_settled(MessageStatus::Unknown, MessageStatus::Failed, MessageStatus::Failed)]
    #[case::known_stays_known(MessageStatus::Accepted, MessageStatus::Unknown, MessageStatus::Accepted)]
    #[case::never_back_to_sending(MessageStatus::Unknown, MessageStatus::Sending, MessageStatus::Unknown)]
    #[case::delivered_after_all(
        MessageStatus::Undelivered,
        MessageStatus::Delivered,
        MessageStatus::Delivered
    )]
    #[case::failure_stays(MessageStatus::Failed, MessageStatus::Sent, MessageStatus::Failed)]
    #[case::inbound_takes_no_part(MessageStatus::Received, MessageStatus::Read, MessageStatus::Received)]
    #[case::nothing_becomes_inbound(MessageStatus::Read, MessageStatus::Received, MessageStatus::Read)]
    fn a_status_only_moves_forward(
        #[case] current: MessageStatus,
        #[case] reported: MessageStatus,
        #[case] expected: MessageStatus,
    ) {
        assert_eq!(advance(current, reported), expected);
    }

    #[test]
    fn accepted_follows_what_we_did_ourselves() {
        assert_eq!(
            may_follow(MessageStatus::Accepted),
            [MessageStatus::Intended, MessageStatus::Sending, MessageStatus::Unknown]
        );
    }

    #[rstest]
    #[case("initiated", Some(CallStatus::Queued))]
    #[case("in-progress", Some(CallStatus::InProgress))]
    #[case("no-answer", Some(CallStatus::NoAnswer))]
    #[case("'; DROP TABLE", None)]
    fn words_for_calls_are_understood(#[case] word: &str, #[case] expected: Option<CallStatus>) {
        assert_eq!(call_from_twilio(word), expected);
    }

    #[rstest]
    #[case("queued", Some(MessageStatus::Accepted))]
    #[case("sending", Some(MessageStatus::Sent))]
    #[case("canceled", Some(MessageStatus::Failed))]
    #[case("received", None)]
    #[case("Delivered", None)]
    fn words_for_messages_are_understood(#[case] word: &str, #[case] expected: Option<MessageStatus>) {
        assert_eq!(from_twilio(word), expected);
    }

    fn reports() -> impl Strategy<Value = (Vec<MessageStatus>, Vec<MessageStatus>)> {
        prop::collection::vec(prop::sample::select(MessageStatus::ALL), 1..12).prop_flat_map(|once| {
            let doubled: Vec<_> = once.iter().chain(&once).copied().collect();
            (Just(once), Just(doubled).prop_shuffle())
        })
    }

    proptest! {
        #[test]
        fn every_order_of_the_same_reports_ends_alike((once, shuffled) in reports()) {
            let settle = |reports: &[MessageStatus]| reports.iter().copied().fold(MessageStatus::Intended, advance);
            prop_assert_eq!(settle(&once), settle(&shuffled));
        }

        #[test]
        fn every_order_of_the_same_call_reports_ends_alike(
            reports in prop::collection::vec(prop::sample::select(CallStatus::ALL), 1..12).prop_shuffle(),
        ) {
            let settle = |reports: &mut dyn Iterator<Item = CallStatus>| reports.fold(CallStatus::Queued, call_advance);
            let (there, back) = (settle(&mut reports.iter().copied()), settle(&mut reports.iter().rev().copied()));
            prop_assert_eq!(there, back);
        }
    }
}
