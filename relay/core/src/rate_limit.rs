//! Rate limits by the generic cell rate algorithm: one number of state per key, no windows that reset.
//!
//! Called by the HTTP listeners and by the policy for agents. The state lives with the caller; the time is a
//! monotonic one from any fixed origin.

use std::time::Duration;

/// So many in such a time, of which so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// How many may pass in [`Quota::per`]; none if zero.
    pub count: u32,
    /// The time in which they may pass.
    pub per: Duration,
    /// How many may come at once after a pause; zero counts as one.
    pub burst: u32,
}

/// What is remembered of a key: when its allowance will be whole again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct State(Duration);

/// Whether it may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may, and has been counted.
    Allow,
    /// It may not, and has not been counted.
    Deny {
        /// After this it would pass, if nothing else does before.
        retry_after: Duration,
    },
}

impl State {
    /// The state says no more than its absence would, so it can be forgotten.
    #[must_use]
    pub fn is_idle(self, now: Duration) -> bool {
        self.0 <= now
    }
}

/// Decides about one more, and gives the state to remember.
#[must_use]
pub fn check(quota: &Quota, state: Option<State>, now: Duration) -> (State, Decision) {
    let whole_at = state.map_or(now, |State(at)| at.max(now));
    let Some(interval) = quota.per.checked_div(quota.count) else {
        return (State(whole_at), Decision::Deny { retry_after: quota.per });
    };
    let tolerance = interval.saturating_mul(quota.burst.saturating_sub(1));
    let early = (whole_at - now).saturating_sub(tolerance);
    if early.is_zero() {
        (State(whole_at.saturating_add(interval)), Decision::Allow)
    } else {
        (State(whole_at), Decision::Deny { retry_after: early })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEN_A_MINUTE: Quota = Quota { count: 10, per: Duration::from_secs(60), burst: 3 };

    fn allowed_at(quota: &Quota, moments: impl IntoIterator<Item = Duration>) -> Vec<Duration> {
        let mut state = None;
        let mut allowed = Vec::new();
        for now in moments {
            let (next, decision) = check(quota, state, now);
            state = Some(next);
            if decision == Decision::Allow {
                allowed.push(now);
            }
        }
        allowed
    }

    #[test]
    fn a_burst_passes_and_the_rest_is_told_when_to_come_back() {
        let mut state = None;
        let mut decide = |seconds| {
            let (next, decision) = check(&TEN_A_MINUTE, state, Duration::from_secs(seconds));
            state = Some(next);
            decision
        };
        let decisions: Vec<_> = [100, 100, 100, 100, 104, 106, 106].into_iter().map(&mut decide).collect();
        let deny = |seconds| Decision::Deny { retry_after: Duration::from_secs(seconds) };
        assert_eq!(
            decisions,
            [Decision::Allow, Decision::Allow, Decision::Allow, deny(6), deny(2), Decision::Allow, deny(6)]
        );
    }

    #[test]
    fn a_quota_of_none_lets_nothing_pass() {
        let none = Quota { count: 0, ..TEN_A_MINUTE };
        let (_, decision) = check(&none, None, Duration::ZERO);
        assert_eq!(decision, Decision::Deny { retry_after: TEN_A_MINUTE.per });
    }

    #[test]
    fn a_key_is_idle_once_its_allowance_is_whole() {
        let (state, _) = check(&TEN_A_MINUTE, None, Duration::from_secs(1));
        assert!(!state.is_idle(Duration::from_secs(6)));
        assert!(state.is_idle(Duration::from_secs(7)));
    }

    proptest! {
        #[test]
        fn no_window_ever_sees_more_than_its_share_and_a_burst(
            gaps in prop::collection::vec(0u64..5_000, 1..200),
            count in 1u32..50,
            burst in 1u32..20,
        ) {
            let quota = Quota { count, per: Duration::from_secs(60), burst };
            let mut now = Duration::ZERO;
            let moments = gaps.iter().map(|gap| { now += Duration::from_millis(*gap); now });
            let allowed = allowed_at(&quota, moments);
            for (index, start) in allowed.iter().enumerate() {
                let within = allowed[index..].iter().take_while(|at| **at - *start < quota.per).count();
                prop_assert!(within <= (count + burst) as usize);
            }
        }

        #[test]
        fn whoever_waits_as_told_may_pass(burst in 1u32..20, count in 1u32..50, at in 0u64..100_000) {
            let quota = Quota { count, per: Duration::from_secs(60), burst };
            let now = Duration::from_millis(at);
            let mut state = None;
            let retry_after = loop {
                let (next, decision) = check(&quota, state, now);
                state = Some(next);
                if let Decision::Deny { retry_after } = decision { break retry_after; }
            };
            prop_assert_eq!(check(&quota, state, now + retry_after).1, Decision::Allow);
        }
    }
}
