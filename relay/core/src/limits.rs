//! What an agent may do in a time: which limits are in force, which values are sensible, and which one stands in
//! the way of an action.
//!
//! Called by the relay's policy service and by the account tools. The counting is the store's, in one conditional
//! statement; what is here only explains its no, and must never say yes in its place.

use std::fmt::Display;
use std::time::Duration;

use shared::model::{Limits, LimitsPatch, Micros, Tier, Timestamp};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// A value that no limit may have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
pub struct InvalidLimit {
    /// The limit's name in `comms_set_agent_limits`.
    pub field: &'static str,
    /// What is wrong with the value.
    pub problem: String,
}

/// How far an agent has used its limits up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// When the action happened that must be a minute old before there is room: counted back from the latest, the
    /// one that the limit a minute says. Absent if there were fewer.
    pub nth_in_minute: Option<Timestamp>,
    /// The same for the hour.
    pub nth_in_hour: Option<Timestamp>,
    /// Actions of this day.
    pub day_actions: i64,
    /// Spent and reserved of this day.
    pub day_spent: Micros,
    /// Spent and reserved of this month.
    pub month_spent: Micros,
    /// When the next day begins.
    pub day_end: Timestamp,
    /// When the next month begins.
    pub month_end: Timestamp,
}

/// A limit that can stand in the way of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LimitName {
    /// Actions in any 60 seconds.
    PerMinute,
    /// Actions in any 60 minutes.
    PerHour,
    /// Actions in a day.
    PerDay,
    /// Money in a day.
    SpendPerDay,
    /// Money in a month.
    SpendPerMonth,
    /// Calls in a day to one number.
    SameNumber,
}

/// A limit that stands in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// Which one.
    pub limit: LimitName,
    /// What it allows: a count, or an amount in USD.
    pub allowed: String,
    /// When the same action may pass; absent if waiting does not help.
    pub again_at: Option<Timestamp>,
}

impl LimitName {
    /// The name in `comms_set_agent_limits`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PerMinute => "maxActionsPerMinute",
            Self::PerHour => "maxActionsPerHour",
            Self::PerDay => "maxActionsPerDay",
            Self::SpendPerDay => "maxSpendPerDay",
            Self::SpendPerMonth => "maxSpendPerMonth",
            Self::SameNumber => "maxCallsPerDayToSameNumber",
        }
    }

    /// What it counts, and in which time.
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::PerMinute => ("actions", "a minute"),
            Self::PerHour => ("actions", "an hour"),
            Self::PerDay => ("actions", "a day"),
            Self::SpendPerDay => ("USD", "a day"),
            Self::SpendPerMonth => ("USD", "a month"),
            Self::SameNumber => ("calls", "a day to the same number"),
        }
    }
}

/// The limits that go with a tier. How long a call may last and how often one number may be called is not the
/// tier's to say.
#[must_use]
pub fn tier_limits(tier: Tier) -> LimitsPatch {
    let (per_minute, per_hour, per_day, usd_per_day, usd_per_month) = match tier {
        Tier::Free => (5, 20, 100, 1, 10),
        Tier::Starter => (10, 100, 500, 10, 100),
        Tier::Pro => (30, 1_000, 5_000, 100, 1_000),
        Tier::Enterprise => (100, 6_000, 50_000, 5_000, 50_000),
    };
    LimitsPatch {
        max_actions_per_minute: Some(per_minute),
        max_actions_per_hour: Some(per_hour),
        max_actions_per_day: Some(per_day),
        max_spend_per_day: Some(Micros(usd_per_day * 1_000_000)),
        max_spend_per_month: Some(Micros(usd_per_month * 1_000_000)),
        ..LimitsPatch::default()
    }
}

/// The limits of an agent: what was set for it, else its tier's, else the default.
#[must_use]
pub fn in_force(defaults: &Limits, tier: Option<Tier>, overrides: &LimitsPatch) -> Limits {
    let set = merge(&tier.map(tier_limits).unwrap_or_default(), overrides);
    Limits {
        max_actions_per_minute: set.max_actions_per_minute.unwrap_or(defaults.max_actions_per_minute),
        max_actions_per_hour: set.max_actions_per_hour.unwrap_or(defaults.max_actions_per_hour),
        max_actions_per_day: set.max_actions_per_day.unwrap_or(defaults.max_actions_per_day),
        max_spend_per_day: set.max_spend_per_day.unwrap_or(defaults.max_spend_per_day),
        max_spend_per_month: set.max_spend_per_month.unwrap_or(defaults.max_spend_per_month),
        max_call_duration_minutes: set
            .max_call_duration_minutes
            .unwrap_or(defaults.max_call_duration_minutes),
        max_calls_per_day_to_same_number: set
            .max_calls_per_day_to_same_number
            .unwrap_or(defaults.max_calls_per_day_to_same_number),
    }
}

/// What `new` sets, and what `old` had set beside it.
#[must_use]
pub fn merge(old: &LimitsPatch, new: &LimitsPatch) -> LimitsPatch {
    LimitsPatch {
        max_actions_per_minute: new.max_actions_per_minute.or(old.max_actions_per_minute),
        max_actions_per_hour: new.max_actions_per_hour.or(old.max_actions_per_hour),
        max_actions_per_day: new.max_actions_per_day.or(old.max_actions_per_day),
        max_spend_per_day: new.max_spend_per_day.or(old.max_spend_per_day),
        max_spend_per_month: new.max_spend_per_month.or(old.max_spend_per_month),
        max_call_duration_minutes: new.max_call_duration_minutes.or(old.max_call_duration_minutes),
        max_calls_per_day_to_same_number: new
            .max_calls_per_day_to_same_number
            .or(old.max_calls_per_day_to_same_number),
    }
}

/// Whether every value that is set is one that a limit may have.
pub fn check(patch: &LimitsPatch) -> Result<(), InvalidLimit> {
    const MOST: i64 = 1_000_000;
    const MOST_USD: Micros = Micros(MOST * 1_000_000);
    within("maxActionsPerMinute", patch.max_actions_per_minute, 0, MOST)?;
    within("maxActionsPerHour", patch.max_actions_per_hour, 0, MOST)?;
    within("maxActionsPerDay", patch.max_actions_per_day, 0, MOST)?;
    within("maxSpendPerDay", patch.max_spend_per_day, Micros(0), MOST_USD)?;
    within("maxSpendPerMonth", patch.max_spend_per_month, Micros(0), MOST_USD)?;
    // Twilio ends a call after at most four hours.
    within("maxCallDurationMinutes", patch.max_call_duration_minutes, 1, 240)?;
    within("maxCallsPerDayToSameNumber", patch.max_calls_per_day_to_same_number, 0, 100)
}

fn within<T: PartialOrd + Display>(
    field: &'static str,
    value: Option<T>,
    min: T,
    max: T,
) -> Result<(), InvalidLimit> {
    if value.is_none_or(|value| (&min..=&max).contains(&&value)) {
        return Ok(());
    }
    Err(InvalidLimit { field, problem: format!("must be from {min} to {max}") })
}

/// The first limit that forbids one more action at this charge, from the shortest time to the longest.
#[must_use]
pub fn explain(used: &Used, limits: &Limits, charge: Micros, now: Timestamp) -> Option<Exceeded> {
    let minute = used.nth_in_minute.map(|at| at.plus(MINUTE));
    let hour = used.nth_in_hour.map(|at| at.plus(HOUR));
    let day = (used.day_actions >= limits.max_actions_per_day).then_some(used.day_end);
    let spending = |limit, cap: Micros, spent: Micros, end| {
        let is_over = spent.0.saturating_add(charge.0) > cap.0;
        let again_at = (charge <= cap).then_some(end);
        is_over.then(|| Exceeded { limit, allowed: cap.to_string(), again_at })
    };
    let first_to_last = [
        counting(LimitName::PerMinute, limits.max_actions_per_minute, minute, now),
        counting(LimitName::PerHour, limits.max_actions_per_hour, hour, now),
        counting(LimitName::PerDay, limits.max_actions_per_day, day, now),
        spending(LimitName::SpendPerDay, limits.max_spend_per_day, used.day_spent, used.day_end),
        spending(LimitName::SpendPerMonth, limits.max_spend_per_month, used.month_spent, used.month_end),
    ];
    first_to_last.into_iter().flatten().next()
}

/// A limit of none is never lifted by waiting; any other one is, at `full_until`.
fn counting(
    limit: LimitName,
    allowed: i64,
    full_until: Option<Timestamp>,
    now: Timestamp,
) -> Option<Exceeded> {
    let again_at = full_until.filter(|at| allowed > 0 && *at > now);
    (allowed <= 0 || again_at.is_some()).then(|| Exceeded { limit, allowed: allowed.to_string(), again_at })
}

/// What is told to whoever wanted to act, and what it can do about it.
#[must_use]
pub fn sentence(exceeded: &Exceeded, now: Timestamp) -> (String, String) {
    let (what, time) = exceeded.limit.words();
    let allowed = &exceeded.allowed;
    let what = if allowed == "1" { what.trim_end_matches('s') } else { what };
    let verb = match (exceeded.limit, exceeded.again_at) {
        (LimitName::SpendPerDay | LimitName::SpendPerMonth, None) => "is less than this costs",
        (LimitName::SpendPerDay | LimitName::SpendPerMonth, Some(_)) => "leaves too little for this",
        (
            LimitName::PerMinute | LimitName::PerHour | LimitName::PerDay | LimitName::SameNumber,
            None | Some(_),
        ) => "is reached",
    };
    let advice = exceeded.again_at.map_or("Waiting does not help.".to_owned(), |at| wait(at, now));
    (
        format!("The limit of {allowed} {what} {time} {verb}; nothing was sent."),
        format!("{advice} The person who runs the relay can raise it with comms_set_agent_limits."),
    )
}

/// A short wait as a span, a long one as the moment at which it ends: each is easier to act on.
fn wait(until: Timestamp, now: Timestamp) -> String {
    let seconds = until.since(now).as_millis().div_ceil(1_000).max(1);
    match seconds {
        1 => "Wait 1 second and call again.".to_owned(),
        2..=120 => format!("Wait {seconds} seconds and call again."),
        121..=7_200 => format!("Wait {} minutes and call again.", seconds.div_ceil(60)),
        _ => format!("Call again at {until}."),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    const DEFAULTS: Limits = Limits {
        max_actions_per_minute: 10,
        max_actions_per_hour: 100,
        max_actions_per_day: 500,
        max_spend_per_day: Micros(10_000_000),
        max_spend_per_month: Micros(100_000_000),
        max_call_duration_minutes: 10,
        max_calls_per_day_to_same_number: 2,
    };
    const UNSET: LimitsPatch = LimitsPatch {
        max_actions_per_minute: None,
        max_actions_per_hour: None,
        max_actions_per_day: None,
        max_spend_per_day: None,
        max_spend_per_month: None,
        max_call_duration_minutes: None,
        max_calls_per_day_to_same_number: None,
    };
    const ALL_SET: LimitsPatch = LimitsPatch {
        max_actions_per_minute: Some(1),
        max_actions_per_hour: Some(2),
        max_actions_per_day: Some(3),
        max_spend_per_day: Some(Micros(4)),
        max_spend_per_month: Some(Micros(5)),
        max_call_duration_minutes: Some(6),
        max_calls_per_day_to_same_number: Some(7),
    };

    fn limits(actions: (i64, i64, i64), usd: (i64, i64)) -> Limits {
        Limits {
            max_actions_per_minute: actions.0,
            max_actions_per_hour: actions.1,
            max_actions_per_day: actions.2,
            max_spend_per_day: Micros(usd.0 * 1_000_000),
            max_spend_per_month: Micros(usd.1 * 1_000_000),
            ..DEFAULTS
        }
    }

    #[rstest]
    #[case::no_tier(None, DEFAULTS)]
    #[case::free(Some(Tier::Free), limits((5, 20, 100), (1, 10)))]
    #[case::starter(Some(Tier::Starter), limits((10, 100, 500), (10, 100)))]
    #[case::pro(Some(Tier::Pro), limits((30, 1_000, 5_000), (100, 1_000)))]
    #[case::enterprise(Some(Tier::Enterprise), limits((100, 6_000, 50_000), (5_000, 50_000)))]
    fn a_tier_sets_the_limits_that_go_with_it(#[case] tier: Option<Tier>, #[case] expected: Limits) {
        assert_eq!(in_force(&DEFAULTS, tier, &UNSET), expected);
    }

    #[rstest]
    #[case::without_a_tier(None, DEFAULTS)]
    #[case::within_a_tier(Some(Tier::Free), limits((5, 20, 100), (1, 10)))]
    fn what_is_set_for_an_agent_wins(#[case] tier: Option<Tier>, #[case] otherwise: Limits) {
        let set = LimitsPatch {
            max_actions_per_minute: Some(0),
            max_calls_per_day_to_same_number: Some(9),
            ..UNSET
        };
        let expected = Limits { max_actions_per_minute: 0, max_calls_per_day_to_same_number: 9, ..otherwise };
        assert_eq!(in_force(&DEFAULTS, tier, &set), expected);
    }

    #[test]
    fn every_limit_can_be_set() {
        let expected = Limits {
            max_actions_per_minute: 1,
            max_actions_per_hour: 2,
            max_actions_per_day: 3,
            max_spend_per_day: Micros(4),
            max_spend_per_month: Micros(5),
            max_call_duration_minutes: 6,
            max_calls_per_day_to_same_number: 7,
        };
        assert_eq!(in_force(&DEFAULTS, Some(Tier::Pro), &ALL_SET), expected);
    }

    #[rstest]
    #[case::nothing_new(ALL_SET, UNSET, ALL_SET)]
    #[case::nothing_old(UNSET, ALL_SET, ALL_SET)]
    #[case::the_new_wins(
        ALL_SET,
        LimitsPatch { max_spend_per_day: Some(Micros(9)), ..UNSET },
        LimitsPatch { max_spend_per_day: Some(Micros(9)), ..ALL_SET }
    )]
    fn a_change_leaves_the_rest(
        #[case] old: LimitsPatch,
        #[case] new: LimitsPatch,
        #[case] expected: LimitsPatch,
    ) {
        assert_eq!(merge(&old, &new), expected);
    }

    #[rstest]
    #[case::nothing(UNSET)]
    #[case::the_least(LimitsPatch {
        max_actions_per_minute: Some(0),
        max_actions_per_hour: Some(0),
        max_actions_per_day: Some(0),
        max_spend_per_day: Some(Micros(0)),
        max_spend_per_month: Some(Micros(0)),
        max_call_duration_minutes: Some(1),
        max_calls_per_day_to_same_number: Some(0),
    })]
    #[case::the_most(LimitsPatch {
        max_actions_per_minute: Some(1_000_000),
        max_actions_per_hour: Some(1_000_000),
        max_actions_per_day: Some(1_000_000),
        max_spend_per_day: Some(Micros(1_000_000_000_000)),
        max_spend_per_month: Some(Micros(1_000_000_000_000)),
        max_call_duration_minutes: Some(240),
        max_calls_per_day_to_same_number: Some(100),
    })]
    fn sensible_limits_pass(#[case] patch: LimitsPatch) {
        assert_eq!(check(&patch), Ok(()));
    }

    #[rstest]
    #[case(LimitsPatch { max_actions_per_minute: Some(-1), ..UNSET }, "maxActionsPerMinute must be from 0 to 1000000")]
    #[case(LimitsPatch { max_actions_per_minute: Some(1_000_001), ..UNSET }, "maxActionsPerMinute must be from 0 to 1000000")]
    #[case(LimitsPatch { max_actions_per_hour: Some(-1), ..UNSET }, "maxActionsPerHour must be from 0 to 1000000")]
    #[case(LimitsPatch { max_actions_per_day: Some(i64::MAX), ..UNSET }, "maxActionsPerDay must be from 0 to 1000000")]
    #[case(LimitsPatch { max_spend_per_day: Some(Micros(-1)), ..UNSET }, "maxSpendPerDay must be from 0.00 to 1000000.00")]
    #[case(
        LimitsPatch { max_spend_per_month: Some(Micros(1_000_000_000_001)), ..UNSET },
        "maxSpendPerMonth must be from 0.00 to 1000000.00"
    )]
    #[case(LimitsPatch { max_call_duration_minutes: Some(0), ..UNSET }, "maxCallDurationMinutes must be from 1 to 240")]
    #[case(LimitsPatch { max_call_duration_minutes: Some(241), ..UNSET }, "maxCallDurationMinutes must be from 1 to 240")]
    #[case(
        LimitsPatch { max_calls_per_day_to_same_number: Some(101), ..UNSET },
        "maxCallsPerDayToSameNumber must be from 0 to 100"
    )]
    fn other_limits_are_refused_by_name(#[case] patch: LimitsPatch, #[case] problem: &str) {
        assert_eq!(check(&patch).map_err(|invalid| invalid.to_string()), Err(problem.to_owned()));
    }

    const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);
    const DAY_END: Timestamp = Timestamp::from_millis(1_795_040_000_000);
    const MONTH_END: Timestamp = Timestamp::from_millis(1_796_000_000_000);
    const FRESH: Used = Used {
        nth_in_minute: None,
        nth_in_hour: None,
        day_actions: 0,
        day_spent: Micros(0),
        month_spent: Micros(0),
        day_end: DAY_END,
        month_end: MONTH_END,
    };

    fn ago(millis: u64) -> Option<Timestamp> {
        Some(NOW.minus(Duration::from_millis(millis)))
    }

    fn after(millis: u64) -> Option<Timestamp> {
        Some(NOW.plus(Duration::from_millis(millis)))
    }

    #[rstest]
    #[case::fresh(FRESH, 0, None)]
    #[case::minute(Used { nth_in_minute: ago(18_000), ..FRESH }, 0, Some((LimitName::PerMinute, "10", after(42_000))))]
    #[case::minute_at_the_last(Used { nth_in_minute: ago(59_999), ..FRESH }, 0, Some((LimitName::PerMinute, "10", after(1))))]
    #[case::minute_is_over(Used { nth_in_minute: ago(60_000), ..FRESH }, 0, None)]
    #[case::hour(Used { nth_in_hour: ago(60_000), ..FRESH }, 0, Some((LimitName::PerHour, "100", after(3_540_000))))]
    #[case::hour_is_over(Used { nth_in_hour: ago(3_600_000), ..FRESH }, 0, None)]
    #[case::day(Used { day_actions: 500, ..FRESH }, 0, Some((LimitName::PerDay, "500", Some(DAY_END))))]
    #[case::last_of_the_day(Used { day_actions: 499, ..FRESH }, 0, None)]
    #[case::last_cent_of_the_day(Used { day_spent: Micros(9_990_000), ..FRESH }, 10_000, None)]
    #[case::a_millionth_over_the_day(
        Used { day_spent: Micros(9_990_000), ..FRESH },
        10_001,
        Some((LimitName::SpendPerDay, "10.00", Some(DAY_END)))
    )]
    #[case::dearer_than_a_day(FRESH, 10_000_001, Some((LimitName::SpendPerDay, "10.00", None)))]
    #[case::a_millionth_over_the_month(
        Used { month_spent: Micros(100_000_000), ..FRESH },
        1,
        Some((LimitName::SpendPerMonth, "100.00", Some(MONTH_END)))
    )]
    #[case::last_cent_of_the_month(Used { month_spent: Micros(99_990_000), ..FRESH }, 10_000, None)]
    #[case::more_than_can_be_said(
        Used { day_spent: Micros(i64::MAX), ..FRESH },
        i64::MAX,
        Some((LimitName::SpendPerDay, "10.00", None))
    )]
    #[case::the_shortest_first(
        Used { nth_in_minute: ago(1_000), nth_in_hour: ago(1_000), day_actions: 500, ..FRESH },
        0,
        Some((LimitName::PerMinute, "10", after(59_000)))
    )]
    #[case::the_hour_before_the_day(
        Used { nth_in_hour: ago(1_000), day_actions: 500, day_spent: Micros(10_000_000), ..FRESH },
        1,
        Some((LimitName::PerHour, "100", after(3_599_000)))
    )]
    #[case::the_day_before_the_money(
        Used { day_actions: 500, day_spent: Micros(10_000_000), month_spent: Micros(100_000_000), ..FRESH },
        1,
        Some((LimitName::PerDay, "500", Some(DAY_END)))
    )]
    #[case::the_day_before_the_month(
        Used { day_spent: Micros(10_000_000), month_spent: Micros(100_000_000), ..FRESH },
        1,
        Some((LimitName::SpendPerDay, "10.00", Some(DAY_END)))
    )]
    fn the_first_limit_in_the_way_is_named(
        #[case] used: Used,
        #[case] charge: i64,
        #[case] expected: Option<(LimitName, &str, Option<Timestamp>)>,
    ) {
        let expected = expected.map(|(limit, allowed, again_at)| Exceeded {
            limit,
            allowed: allowed.to_owned(),
            again_at,
        });
        assert_eq!(explain(&used, &DEFAULTS, Micros(charge), NOW), expected);
    }

    #[rstest]
    #[case::minute(Limits { max_actions_per_minute: 0, ..DEFAULTS }, LimitName::PerMinute)]
    #[case::hour(Limits { max_actions_per_hour: 0, ..DEFAULTS }, LimitName::PerHour)]
    #[case::day(Limits { max_actions_per_day: 0, ..DEFAULTS }, LimitName::PerDay)]
    fn waiting_never_helps_where_nothing_is_allowed(#[case] limits: Limits, #[case] limit: LimitName) {
        let expected = Exceeded { limit, allowed: "0".to_owned(), again_at: None };
        assert_eq!(explain(&FRESH, &limits, Micros(0), NOW), Some(expected));
    }

    const ASK: &str = "The person who runs the relay can raise it with comms_set_agent_limits.";

    #[rstest]
    #[case(
        LimitName::PerMinute,
        "10",
        after(42_000),
        "The limit of 10 actions a minute is reached; nothing was sent.",
        "Wait 42 seconds and call again."
    )]
    #[case(
        LimitName::PerMinute,
        "1",
        after(1),
        "The limit of 1 action a minute is reached; nothing was sent.",
        "Wait 1 second and call again."
    )]
    #[case(
        LimitName::PerMinute,
        "10",
        after(0),
        "The limit of 10 actions a minute is reached; nothing was sent.",
        "Wait 1 second and call again."
    )]
    #[case(
        LimitName::PerHour,
        "100",
        after(120_001),
        "The limit of 100 actions an hour is reached; nothing was sent.",
        "Wait 3 minutes and call again."
    )]
    #[case(
        LimitName::PerDay,
        "500",
        Some(DAY_END),
        "The limit of 500 actions a day is reached; nothing was sent.",
        "Call again at 2026-11-18T22:13:20.000Z."
    )]
    #[case(
        LimitName::SpendPerDay,
        "10.00",
        Some(DAY_END),
        "The limit of 10.00 USD a day leaves too little for this; nothing was sent.",
        "Call again at 2026-11-18T22:13:20.000Z."
    )]
    #[case(
        LimitName::SpendPerMonth,
        "1.00",
        None,
        "The limit of 1.00 USD a month is less than this costs; nothing was sent.",
        "Waiting does not help."
    )]
    #[case(
        LimitName::SameNumber,
        "2",
        Some(DAY_END),
        "The limit of 2 calls a day to the same number is reached; nothing was sent.",
        "Call again at 2026-11-18T22:13:20.000Z."
    )]
    #[case(
        LimitName::PerDay,
        "0",
        None,
        "The limit of 0 actions a day is reached; nothing was sent.",
        "Waiting does not help."
    )]
    fn an_agent_is_told_what_it_can_do(
        #[case] limit: LimitName,
        #[case] allowed: &str,
        #[case] again_at: Option<Timestamp>,
        #[case] message: &str,
        #[case] advice: &str,
    ) {
        let exceeded = Exceeded { limit, allowed: allowed.to_owned(), again_at };
        assert_eq!(sentence(&exceeded, NOW), (message.to_owned(), format!("{advice} {ASK}")));
    }

    /// A limit's name is one that `comms_set_agent_limits` takes.
    #[rstest]
    #[case(LimitName::PerMinute)]
    #[case(LimitName::PerHour)]
    #[case(LimitName::PerDay)]
    #[case(LimitName::SpendPerDay)]
    #[case(LimitName::SpendPerMonth)]
    #[case(LimitName::SameNumber)]
    fn a_limit_is_named_as_it_is_set(#[case] limit: LimitName) {
        let json = serde_json::to_value(ALL_SET).unwrap();
        assert!(json.get(limit.as_str()).is_some(), "{json}");
    }

    proptest! {
        #[test]
        fn whoever_waits_as_told_is_past_that_limit(
            minute_ago in prop::option::of(0u64..120_000),
            hour_ago in prop::option::of(0u64..7_200_000),
        ) {
            let used = Used {
                nth_in_minute: minute_ago.and_then(ago),
                nth_in_hour: hour_ago.and_then(ago),
                ..FRESH
            };
            if let Some(exceeded) = explain(&used, &DEFAULTS, Micros(0), NOW) {
                let later = explain(&used, &DEFAULTS, Micros(0), exceeded.again_at.unwrap());
                prop_assert_ne!(later.map(|exceeded| exceeded.limit), Some(exceeded.limit));
            }
        }
    }
}
