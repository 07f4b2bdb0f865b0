//! Opens the relay's listeners, and says what to do when that fails.
//!
//! Called once per listener at the start. It must never end in a bare "address in use": the first thing that a
//! new user meets is a port that something else holds.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

use self::holder::Holder;

mod holder;

/// Connections that the system completes before they are accepted.
const BACKLOG: u32 = 1024;

/// Why there is no listener. One line, for the operator.
#[derive(Debug, thiserror::Error)]
#[error("listen on {address} ({setting}): {reason} in {setting}")]
pub(crate) struct BindProblem {
    address: SocketAddr,
    setting: &'static str,
    reason: Reason,
    source: io::Error,
}

/// What is wrong and what to set instead.
#[derive(Debug, thiserror::Error)]
enum Reason {
    #[error("the port is held by {0}; stop that, or set another port")]
    HeldBy(Holder),
    #[error("another program holds the port; stop it, or set another port")]
    Held,
    #[error("this user may not open the port; set one above 1023")]
    NotPermitted,
    #[error("this machine does not have the address; set one that it has")]
    NotOurs,
    #[error("the system refused it; set another address")]
    Refused,
}

/// Opens a listener for the address that stands in `setting`, such as `public.listen`. Needs a runtime.
pub(crate) fn bind(address: SocketAddr, setting: &'static str) -> Result<TcpListener, BindProblem> {
    listen(address).map_err(|source| {
        let reason = match source.kind() {
            io::ErrorKind::AddrInUse => holder::find(address.port()).map_or(Reason::Held, Reason::HeldBy),
            io::ErrorKind::PermissionDenied => Reason::NotPermitted,
            io::ErrorKind::AddrNotAvailable => Reason::NotOurs,
            _ => Reason::Refused,
        };
        BindProblem { address, setting, reason, source }
    })
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restarted relay must not wait for its old connections to fade. Windows means something else by it.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_held_port_names_its_holder_and_the_setting() {
        let first = bind(ANY_PORT, "public.listen").expect("a free port");
        let address = first.local_addr().expect("an address");
        let problem = bind(address, "public.listen").expect_err("the port is held");
        let name = std::fs::read_to_string("/proc/self/comm").expect("our own name");
        let (name, pid) = (name.trim(), std::process::id());
        assert_eq!(
            problem.to_string(),
            format!(
                "listen on {address} (public.listen): the port is held by {name} (process {pid}); stop that, or \
                 set another port in public.listen"
            )
        );
    }

    #[tokio::test]
    async fn an_address_of_another_machine_is_told_apart() {
        let elsewhere = "192.0.2.1:0".parse().expect("an address");
        let problem = bind(elsewhere, "admin.listen").expect_err("not our address");
        assert_eq!(
            problem.to_string(),
            "listen on 192.0.2.1:0 (admin.listen): this machine does not have the address; set one that it has \
             in admin.listen"
        );
    }

    #[tokio::test]
    async fn the_system_s_own_error_stays_the_source() {
        let elsewhere = "192.0.2.1:0".parse().expect("an address");
        let problem = bind(elsewhere, "admin.listen").expect_err("not our address");
        let source = problem.source().and_then(|source| source.downcast_ref::<io::Error>());
        assert_eq!(source.map(io::Error::kind), Some(io::ErrorKind::AddrNotAvailable));
    }

    #[tokio::test]
    async fn port_zero_is_any_free_port() {
        let listener = bind(ANY_PORT, "public.listen").expect("a free port");
        assert_ne!(listener.local_addr().expect("an address").port(), 0);
    }
}
