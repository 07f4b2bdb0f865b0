//! When a failed attempt is made again.
//!
//! Called by whoever calls a provider. Whether an attempt *may* be repeated is not decided here.

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(15 * 60);
/// A provider that asks for more is asked again anyway; otherwise a wrong header could park a message for years.
const LONGEST_ASKED_FOR: Duration = Duration::from_secs(60 * 60);

/// How long to wait after the `attempt`-th failure (the first is 1): doubling from one second up to 15 minutes, and
/// never less than the provider asked for. `jitter` from 0 to 1 moves it by up to a fifth either way, so that
/// those who failed together do not come back together.
#[must_use]
pub fn delay(attempt: u32, retry_after: Option<Duration>, jitter: f64) -> Duration {
    let doubled = FIRST.saturating_mul(1 << attempt.saturating_sub(1).min(20)).min(LONGEST);
    let jittered = doubled.mul_f64(0.8 + 0.4 * jitter.clamp(0.0, 1.0));
    jittered.max(retry_after.unwrap_or_default().min(LONGEST_ASKED_FOR))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::first(1, None, 0.5, 1_000)]
    #[case::a_zeroth_is_a_first(0, None, 0.5, 1_000)]
    #[case::second(2, None, 0.5, 2_000)]
    #[case::earliest(3, None, 0.0, 3_200)]
    #[case::latest(3, None, 1.0, 4_800)]
    #[case::capped(u32::MAX, None, 0.5, 900_000)]
    #[case::asked_for_more(1, Some(30), 0.5, 30_000)]
    #[case::asked_for_less(6, Some(1), 0.5, 32_000)]
    #[case::asked_for_too_much(1, Some(1_000_000), 0.5, 3_600_000)]
    #[case::jitter_out_of_range(1, None, f64::INFINITY, 1_200)]
    fn the_pause_doubles_within_bounds(
        #[case] attempt: u32,
        #[case] asked_seconds: Option<u64>,
        #[case] jitter: f64,
        #[case] millis: u64,
    ) {
        let asked = asked_seconds.map(Duration::from_secs);
        assert_eq!(delay(attempt, asked, jitter), Duration::from_millis(millis));
    }
}
