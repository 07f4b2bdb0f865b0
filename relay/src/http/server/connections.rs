//! How many connections are open, in all and per address.
//!
//! Asked by the accept loop. A slot is given back when it is dropped, so a count must never be changed by hand.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ServerLimits;
use crate::http::client_address::counted_as;

pub(super) struct Connections {
    limits: Arc<ServerLimits>,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    in_all: usize,
    per_address: HashMap<IpAddr, usize>,
}

/// The place of one open connection.
pub(super) struct Slot {
    connections: Arc<Connections>,
    /// Who is counted, if the address is not exempt.
    client: Option<IpAddr>,
}

impl Connections {
    pub(super) fn new(limits: ServerLimits) -> Arc<Self> {
        Arc::new(Self { limits: Arc::new(limits), open: Mutex::default() })
    }

    /// A place for a connection from this address, or none if a cap is reached.
    pub(super) fn admit(self: &Arc<Self>, peer: IpAddr) -> Option<Slot> {
        let peer = peer.to_canonical();
        let speaks_for_many =
            peer.is_loopback() || self.limits.trusted_proxies.iter().any(|net| net.contains(peer));
        let client = (!speaks_for_many).then(|| counted_as(peer));
        let mut open = self.open();
        if open.in_all >= self.limits.max_connections {
            return None;
        }
        if let Some(client) = client {
            let count = open.per_address.entry(client).or_default();
            // A count of zero is admitted unless the cap is zero, so no empty entry stays behind.
            if *count >= self.limits.max_per_address.max(1) {
                return None;
            }
            *count += 1;
        }
        open.in_all += 1;
        Some(Slot { connections: Arc::clone(self), client })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    pub(super) fn limits(&self) -> &Arc<ServerLimits> {
        &self.connections.limits
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.connections.open();
        open.in_all -= 1;
        let Some(client) = self.client else { return };
        if let Some(count) = open.per_address.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                open.per_address.remove(&client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections() -> Arc<Connections> {
        let trusted_proxies = vec!["10.0.0.0/8".parse().expect("a block")];
        Connections::new(ServerLimits {
            max_connections: 5,
            max_per_address: 2,
            trusted_proxies,
            ..ServerLimits::default()
        })
    }

    /// How many of five connections from these addresses find a place.
    fn admitted(addresses: [&str; 5]) -> usize {
        let connections = connections();
        let slots = addresses.map(|address| connections.admit(address.parse().expect("an address")));
        slots.iter().flatten().count()
    }

    #[test]
    fn one_address_gets_its_share_only() {
        assert_eq!(admitted(["203.0.113.1"; 5]), 2);
    }

    #[test]
    fn other_addresses_are_not_charged_for_one() {
        assert_eq!(admitted(["203.0.113.1", "203.0.113.1", "203.0.113.1", "203.0.113.2", "203.0.113.3"]), 4);
    }

    #[test]
    fn a_version_six_network_counts_as_one_address() {
        assert_eq!(admitted(["2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8::4", "2001:db8::5"]), 2);
    }

    #[test]
    fn proxies_and_this_machine_are_not_counted_per_address() {
        assert_eq!(admitted(["127.0.0.1", "::1", "::ffff:127.0.0.1", "127.0.0.1", "127.0.0.1"]), 5);
        assert_eq!(admitted(["10.0.0.1"; 5]), 5);
    }

    #[test]
    fn nobody_is_admitted_over_the_cap_in_all() {
        let connections = connections();
        let local = "127.0.0.1".parse().expect("an address");
        let slots: Vec<_> = (0..5).map(|_| connections.admit(local)).collect();
        assert!(connections.admit(local).is_none());
        drop(slots);
        assert!(connections.admit(local).is_some());
    }

    #[test]
    fn a_closed_connection_leaves_nothing_behind() {
        let connections = connections();
        let client = "203.0.113.1".parse().expect("an address");
        drop((connections.admit(client), connections.admit(client)));
        let open = connections.open();
        assert_eq!((open.in_all, open.per_address.len()), (0, 0));
    }
}
