//! Whose request it is: the peer's address, or what a trusted proxy in front of the relay says.
//!
//! Called by the outermost layer for every request. It must never believe `X-Forwarded-For` from a peer that
//! is not listed: who may write that header may be anybody.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// The address that a request is judged by, in the extensions of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientAddress(pub(crate) IpAddr);

/// A block of addresses, written `10.0.0.0/8`, `fd00::/8`, or as a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IpNet {
    network: IpAddr,
    prefix: u8,
}

/// The text names no block of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an address or a block of addresses such as 10.0.0.0/8")]
pub(crate) struct InvalidIpNet;

impl IpNet {
    /// Whether the address lies in the block. An IPv4 address counts as itself also when it is written as IPv6.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.network.is_ipv4() && masked(address, self.prefix) == self.network
    }
}

impl FromStr for IpNet {
    type Err = InvalidIpNet;

    fn from_str(text: &str) -> Result<Self, InvalidIpNet> {
        let (address, prefix) =
            text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let written: IpAddr = address.parse().map_err(|_| InvalidIpNet)?;
        let prefix: u8 = match prefix {
            None => width(written),
            // A sign would parse as well.
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().map_err(|_| InvalidIpNet)?
            }
            Some(_) => return Err(InvalidIpNet),
        };
        let network = written.to_canonical();
        // IPv4 addresses that are written as IPv6 have 96 bits in front.
        let prefix = prefix.checked_sub(width(written) - width(network));
        let prefix = prefix.filter(|prefix| *prefix <= width(network)).ok_or(InvalidIpNet)?;
        Ok(Self { network: masked(network, prefix), prefix })
    }
}

impl fmt::Display for IpNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

/// Decides whose request it is. `forwarded_for` holds every `X-Forwarded-For` value in the order received.
///
/// Each proxy appends the address that it saw, so only the right end was written by somebody trusted: the
/// walk goes leftwards past trusted proxies and ends at the first address that is none, or before garbage.
pub(crate) fn client_address(peer: IpAddr, forwarded_for: &[&str], trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|net| net.contains(address));
    let mut client = peer.to_canonical();
    let mut hops = forwarded_for.iter().rev().flat_map(|value| value.rsplit(','));
    while is_trusted(client) {
        match hops.next().and_then(parse_hop) {
            Some(address) => client = address,
            None => break,
        }
    }
    client
}

/// What one client is counted as: an IPv6 customer holds a whole /64 and can change the rest at will.
pub(crate) fn counted_as(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        address @ IpAddr::V4(_) => address,
        address @ IpAddr::V6(_) => masked(address, 64),
    }
}

/// Some proxies write the port as well.
fn parse_hop(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let address = text.parse().or_else(|_| text.parse::<SocketAddr>().map(|with_port| with_port.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    let host_bits = u32::from(width(address).saturating_sub(prefix));
    match address {
        IpAddr::V4(v4) => IpAddr::V4((v4.to_bits() & u32::MAX.checked_shl(host_bits).unwrap_or(0)).into()),
        IpAddr::V6(v6) => {
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & u128::MAX.checked_shl(host_bits).unwrap_or(0)))
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[rstest]
    #[case("10.0.0.0/8", "10.255.0.1", true)]
    #[case("10.0.0.0/8", "11.0.0.1", false)]
    #[case("10.1.2.3/8", "10.9.9.9", true)]
    #[case("192.0.2.7", "192.0.2.7", true)]
    #[case("192.0.2.7", "192.0.2.8", false)]
    #[case("0.0.0.0/0", "203.0.113.1", true)]
    #[case("0.0.0.0/0", "2001:db8::1", false)]
    #[case("::/0", "203.0.113.1", false)]
    #[case("::1", "::1", true)]
    #[case("2001:db8::/32", "2001:db8:ffff::1", true)]
    #[case("2001:db8::/32", "2001:db9::1", false)]
    #[case("10.0.0.0/8", "::ffff:10.0.0.1", true)]
    #[case("::ffff:10.0.0.0/104", "10.0.0.1", true)]
    #[case("::ffff:10.0.0.1", "10.0.0.2", false)]
    fn a_block_contains_its_addresses_only(#[case] net: &str, #[case] address: &str, #[case] inside: bool) {
        assert_eq!(net.parse::<IpNet>().map(|net| net.contains(ip(address))), Ok(inside));
    }

    #[rstest]
    fn garbage_is_no_block(
        #[values(
            "",
            "/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "::/129",
            "10.0.0",
            "::ffff:0:0/95",
            "a"
        )]
        text: &str,
    ) {
        assert_eq!(text.parse::<IpNet>(), Err(InvalidIpNet));
    }

    #[test]
    fn a_block_is_shown_as_it_is_understood() {
        assert_eq!("10.1.2.3/8".parse::<IpNet>().map(|net| net.to_string()), Ok("10.0.0.0/8".to_owned()));
    }

    #[rstest]
    #[case::without_a_header("10.0.0.1", &[], "10.0.0.1")]
    #[case::from_an_unlisted_peer("203.0.113.9", &["198.51.100.1"], "203.0.113.9")]
    #[case::from_a_proxy("10.0.0.1", &["198.51.100.1"], "198.51.100.1")]
    #[case::forged_by_the_client("10.0.0.1", &["1.1.1.1, 198.51.100.1"], "198.51.100.1")]
    #[case::through_two_proxies("10.0.0.1", &["1.1.1.1, 198.51.100.1, 10.0.0.2"], "198.51.100.1")]
    #[case::in_two_headers("10.0.0.1", &["1.1.1.1", "198.51.100.1,10.0.0.2"], "198.51.100.1")]
    #[case::only_proxies("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3")]
    #[case::garbage("10.0.0.1", &["198.51.100.1, unknown"], "10.0.0.1")]
    #[case::garbage_behind_a_proxy("10.0.0.1", &["198.51.100.1, , 10.0.0.2"], "10.0.0.2")]
    #[case::garbage_left_of_the_client("10.0.0.1", &["<script>, 198.51.100.1"], "198.51.100.1")]
    #[case::with_ports("10.0.0.1", &["198.51.100.1:4711"], "198.51.100.1")]
    #[case::version_six_with_a_port("10.0.0.1", &["[2001:db8::1]:4711"], "2001:db8::1")]
    #[case::mapped("::ffff:10.0.0.1", &["::ffff:198.51.100.1"], "198.51.100.1")]
    fn only_a_listed_proxy_says_who_the_client_is(
        #[case] peer: &str,
        #[case] forwarded_for: &[&str],
        #[case] client: &str,
    ) {
        let trusted = ["10.0.0.0/8".parse().expect("a block")];
        assert_eq!(client_address(ip(peer), forwarded_for, &trusted), ip(client));
    }

    #[rstest]
    #[case("203.0.113.9", "203.0.113.9")]
    #[case("::ffff:203.0.113.9", "203.0.113.9")]
    #[case("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::")]
    fn a_version_six_client_is_its_network(#[case] address: &str, #[case] counted: &str) {
        assert_eq!(counted_as(ip(address)), ip(counted));
    }
}
