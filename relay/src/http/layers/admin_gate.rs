//! Who may use the admin listener at all, before any token is looked at: listed addresses, asking for it by one
//! of its own names.
//!
//! Asked by the inner layer. The name matters because a browser on this machine can be led here under a foreign
//! name (DNS rebinding), and would then let that site read the answers.

use std::net::IpAddr;

use axum::extract::Request;
use http::header::HOST;
use http::uri::Authority;

use crate::http::client_address::IpNet;

pub(super) struct AdminGate {
    allow: Vec<IpNet>,
    hosts: Vec<String>,
}

impl AdminGate {
    pub(super) fn new(allow: Vec<IpNet>, hosts: Vec<String>) -> Self {
        Self { allow, hosts }
    }

    pub(super) fn admits(&self, client: IpAddr, request: &Request) -> bool {
        self.is_listed(client) && self.is_named_by(request)
    }

    /// Without a list only this machine may.
    fn is_listed(&self, client: IpAddr) -> bool {
        match self.allow.as_slice() {
            [] => client.is_loopback(),
            nets => nets.iter().any(|net| net.contains(client)),
        }
    }

    /// Whether every name that the request uses for this listener is one of ours, and it uses one.
    fn is_named_by(&self, request: &Request) -> bool {
        let in_headers = request.headers().get_all(HOST).iter();
        let mut names = in_headers.map(|value| Authority::try_from(value.as_bytes()).ok()).peekable();
        let is_ours = |name: &Authority| self.is_ours(name.host());
        names.peek().is_some()
            && names.all(|name| name.as_ref().is_some_and(is_ours))
            && request.uri().authority().is_none_or(is_ours)
    }

    fn is_ours(&self, host: &str) -> bool {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost")
            || bare.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
            || self.hosts.iter().any(|ours| ours.eq_ignore_ascii_case(host))
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use rstest::rstest;

    use super::*;

    fn gate(allow: &[&str]) -> AdminGate {
        let allow = allow.iter().map(|net| net.parse().expect("a block")).collect();
        AdminGate::new(allow, vec!["comms.example".to_owned()])
    }

    fn request(uri: &str, hosts: &[&str]) -> Request {
        let builder = Request::builder().uri(uri);
        let builder = hosts.iter().fold(builder, |builder, host| builder.header(HOST, *host));
        builder.body(Body::empty()).expect("a request")
    }

    #[rstest]
    #[case::this_machine_by_default(&[], "127.0.0.1", true)]
    #[case::this_machine_in_version_six(&[], "::1", true)]
    #[case::a_stranger_by_default(&[], "203.0.113.1", false)]
    #[case::the_unknown_peer(&[], "0.0.0.0", false)]
    #[case::listed(&["10.0.0.0/8"], "10.1.2.3", true)]
    #[case::not_listed(&["10.0.0.0/8"], "203.0.113.1", false)]
    #[case::this_machine_when_others_are_listed(&["10.0.0.0/8"], "127.0.0.1", false)]
    fn only_listed_addresses_get_in(#[case] allow: &[&str], #[case] client: &str, #[case] admitted: bool) {
        let client = client.parse().expect("an address");
        assert_eq!(gate(allow).admits(client, &request("/admin", &["localhost"])), admitted);
    }

    #[rstest]
    #[case("/", &["localhost:3101"], true)]
    #[case("/", &["LOCALHOST"], true)]
    #[case("/", &["127.0.0.1:3101"], true)]
    #[case("/", &["[::1]:3101"], true)]
    #[case("/", &["comms.example:3101"], true)]
    #[case("/", &["evil.example"], false)]
    #[case("/", &["localhost.evil.example"], false)]
    #[case("/", &["localhost@evil.example"], false)]
    #[case("/", &["203.0.113.1"], false)]
    #[case("/", &["a b"], false)]
    #[case("/", &[""], false)]
    #[case("/", &[], false)]
    #[case("/", &["localhost", "evil.example"], false)]
    #[case("http://evil.example/", &["localhost"], false)]
    #[case("http://localhost/", &["localhost"], true)]
    fn a_foreign_name_is_refused(#[case] uri: &str, #[case] hosts: &[&str], #[case] admitted: bool) {
        let client = "127.0.0.1".parse().expect("an address");
        assert_eq!(gate(&[]).admits(client, &request(uri, hosts)), admitted);
    }
}
