//! How many requests a client, and all clients together, may make.
//!
//! Asked by the outer layers for every request, and told by the webhooks about every refused signature. It must
//! never answer for a webhook that is genuine: who floods an agent's address cannot stop its provider.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use relay_core::rate_limit::{Decision, Quota, State, check};
use tokio::time::Instant;

use super::client_address::counted_as;

/// Half of the clients that are remembered.
const CLIENTS_PER_GENERATION: usize = 5_000;

/// How many requests are served.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RateSettings {
    /// Of one client; health has as many of its own.
    pub(crate) per_client: Quota,
    /// Of all clients, health and webhooks not counted.
    pub(crate) all_clients: Quota,
    /// Webhooks of one client with a wrong signature, before its wrong ones are answered 429.
    pub(crate) failed_webhooks: Quota,
}

impl Default for RateSettings {
    fn default() -> Self {
        Self { per_client: per_minute(120), all_clients: per_minute(1_200), failed_webhooks: per_minute(60) }
    }
}

/// So many a minute, half of them at once.
pub(crate) fn per_minute(count: u32) -> Quota {
    Quota { count, per: Duration::from_secs(60), burst: count.div_ceil(2) }
}

/// In the extensions of a webhook's request: its client failed too often. A valid signature is served all the
/// same; an invalid one is answered with [`too_many_requests`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OverLimit {
    pub(crate) retry_after: Duration,
}

/// 429, with the time after which to try again.
pub(crate) fn too_many_requests(retry_after: Duration) -> Response {
    let seconds = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
    (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, seconds.max(1).to_string())]).into_response()
}

/// Which allowance a request uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Purpose {
    Health,
    Webhook,
    Other,
}

impl Purpose {
    /// Judged by the route, not by the path asked for: a path that leads nowhere is no webhook.
    pub(crate) fn of(route: Option<&str>) -> Self {
        match route.and_then(|route| route.strip_prefix('/')?.split('/').next()) {
            Some("health") => Self::Health,
            Some("webhooks") => Self::Webhook,
            Some(_) | None => Self::Other,
        }
    }
}

/// The allowances of one listener's clients; cheap to clone. In the extensions of a webhook's request.
#[derive(Clone, Debug)]
pub(crate) struct RateLimits(Arc<Limits>);

#[derive(Debug)]
struct Limits {
    settings: RateSettings,
    origin: Instant,
    used: Mutex<Used>,
}

impl RateLimits {
    pub(crate) fn new(settings: RateSettings) -> Self {
        let used = Used::new(CLIENTS_PER_GENERATION);
        Self(Arc::new(Limits { settings, origin: Instant::now(), used: Mutex::new(used) }))
    }

    /// Counts a request, or says when to come back. A webhook is not counted: its client is over the limit if
    /// too many of its signatures were wrong.
    pub(crate) fn admit(&self, purpose: Purpose, client: IpAddr) -> Decision {
        let now = self.0.origin.elapsed();
        self.used().admit(&self.0.settings, (purpose, counted_as(client)), now)
    }

    /// Counts a webhook whose signature is not valid.
    pub(crate) fn charge(&self, client: IpAddr) {
        let now = self.0.origin.elapsed();
        self.used().charge(&self.0.settings, counted_as(client), now);
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.0.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Used {
    by_client: Recent<(Purpose, IpAddr), State>,
    by_all: Option<State>,
}

impl Used {
    fn new(clients: usize) -> Self {
        Self { by_client: Recent::new(clients), by_all: None }
    }

    fn admit(&mut self, settings: &RateSettings, key: (Purpose, IpAddr), now: Duration) -> Decision {
        match key.0 {
            Purpose::Webhook => check(&settings.failed_webhooks, self.by_client.get(&key), now).1,
            Purpose::Health => self.count_client(&settings.per_client, key, now),
            Purpose::Other => match self.count_client(&settings.per_client, key, now) {
                Decision::Allow => {
                    let (state, decision) = check(&settings.all_clients, self.by_all, now);
                    self.by_all = Some(state);
                    decision
                }
                // A flooding client does not use up what all clients share.
                denied @ Decision::Deny { .. } => denied,
            },
        }
    }

    fn charge(&mut self, settings: &RateSettings, client: IpAddr, now: Duration) {
        self.count_client(&settings.failed_webhooks, (Purpose::Webhook, client), now);
    }

    fn count_client(&mut self, quota: &Quota, key: (Purpose, IpAddr), now: Duration) -> Decision {
        let (state, decision) = check(quota, self.by_client.get(&key), now);
        self.by_client.insert(key, state);
        decision
    }
}

/// A map that forgets what was not used for longest: when the young generation is full, the old one is dropped
/// and the young one grows old. Nothing is ever searched through, however many strangers come by.
#[derive(Debug)]
struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    generation: usize,
}

impl<K: Eq + Hash, V: Copy> Recent<K, V> {
    fn new(generation: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), generation }
    }

    fn get(&self, key: &K) -> Option<V> {
        self.young.get(key).or_else(|| self.old.get(key)).copied()
    }

    fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= self.generation && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use rstest::rstest;

    use super::*;

    const START: Duration = Duration::from_secs(1_000);

    fn settings() -> RateSettings {
        RateSettings {
            per_client: Quota { count: 60, per: Duration::from_secs(60), burst: 2 },
            all_clients: Quota { count: 60, per: Duration::from_secs(60), burst: 3 },
            failed_webhooks: Quota { count: 60, per: Duration::from_secs(60), burst: 1 },
        }
    }

    fn client(number: u32) -> IpAddr {
        Ipv4Addr::from(0x0a00_0000 + number).into()
    }

    /// Who of these is admitted, all at the same moment.
    fn admitted(used: &mut Used, requests: &[(Purpose, u32)]) -> Vec<bool> {
        let decide = |(purpose, number): &(Purpose, u32)| {
            used.admit(&settings(), (*purpose, client(*number)), START) == Decision::Allow
        };
        requests.iter().map(decide).collect()
    }

    #[test]
    fn a_flooding_client_leaves_the_others_their_share() {
        let (flood, other) = ((Purpose::Other, 1), (Purpose::Other, 2));
        assert_eq!(
            admitted(&mut Used::new(10), &[flood, flood, flood, flood, flood, other]),
            [true, true, false, false, false, true]
        );
    }

    #[test]
    fn all_clients_together_have_a_limit() {
        let requests = [1, 2, 3, 4].map(|number| (Purpose::Other, number));
        assert_eq!(admitted(&mut Used::new(10), &requests), [true, true, true, false]);
    }

    #[test]
    fn health_is_answered_whatever_else_is_over_its_limit() {
        let flood = [1, 1, 1, 2, 2].map(|number| (Purpose::Other, number));
        let health = (Purpose::Health, 1);
        let mut used = Used::new(10);
        admitted(&mut used, &flood);
        assert_eq!(admitted(&mut used, &[health, health, health]), [true, true, false]);
    }

    #[test]
    fn webhooks_are_not_counted() {
        assert_eq!(admitted(&mut Used::new(10), &[(Purpose::Webhook, 1); 100]), [true; 100]);
    }

    #[test]
    fn a_client_with_wrong_signatures_is_over_the_limit_and_no_other_is() {
        let mut used = Used::new(10);
        used.charge(&settings(), client(1), START);
        assert_eq!(admitted(&mut used, &[(Purpose::Webhook, 1), (Purpose::Webhook, 2)]), [false, true]);
    }

    #[test]
    fn an_allowance_comes_back_with_time() {
        let mut used = Used::new(10);
        admitted(&mut used, &[(Purpose::Other, 1); 3]);
        let later = START + Duration::from_secs(1);
        assert_eq!(used.admit(&settings(), (Purpose::Other, client(1)), later), Decision::Allow);
    }

    #[test]
    fn strangers_never_fill_the_memory() {
        let mut used = Used::new(100);
        for number in 0..1_000 {
            used.charge(&settings(), client(number), START);
        }
        assert_eq!((used.by_client.young.len(), used.by_client.old.len()), (100, 100));
    }

    #[test]
    fn a_client_in_use_is_not_forgotten_for_strangers() {
        let mut used = Used::new(100);
        let mut last = Decision::Allow;
        for number in 0..1_000 {
            admitted(&mut used, &[(Purpose::Health, number + 10)]);
            last = used.admit(&settings(), (Purpose::Health, client(1)), START);
        }
        assert_eq!(last, Decision::Deny { retry_after: Duration::from_secs(1) });
    }

    #[rstest]
    #[case(Some("/health"), Purpose::Health)]
    #[case(Some("/health/ready"), Purpose::Health)]
    #[case(Some("/healthy"), Purpose::Other)]
    #[case(Some("/webhooks/{agent}/sms"), Purpose::Webhook)]
    #[case(Some("/media/webhooks"), Purpose::Other)]
    #[case(Some("/"), Purpose::Other)]
    #[case(None, Purpose::Other)]
    fn the_route_says_which_allowance_is_used(#[case] route: Option<&str>, #[case] purpose: Purpose) {
        assert_eq!(Purpose::of(route), purpose);
    }

    #[rstest]
    #[case(Duration::from_millis(1), "1")]
    #[case(Duration::from_millis(1_001), "2")]
    #[case(Duration::from_secs(3), "3")]
    #[case(Duration::ZERO, "1")]
    fn retry_after_is_never_too_early(#[case] retry_after: Duration, #[case] header: &str) {
        let response = too_many_requests(retry_after);
        assert_eq!(response.headers()[header::RETRY_AFTER], header);
    }
}
