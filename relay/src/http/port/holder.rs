//! Which process listens on a port, as far as this system tells us.
//!
//! Asked only when a listener cannot be opened. It must never fail: without `/proc`, or without the right to look
//! into another user's processes, the answer is that nobody knows.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::path::Path;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Holder {
    name: String,
    pid: u32,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (process {})", self.name, self.pid)
    }
}

/// The process that listens on this port.
pub(super) fn find(port: u16) -> Option<Holder> {
    let sockets: Vec<_> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .into_iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listening(&table, port))
        .collect();
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes.map(|entry| entry.path()).find_map(|process| holder(&process, &sockets))
}

/// The sockets that listen on the port, by the names that processes hold them under.
fn listening(table: &str, port: u16) -> Vec<String> {
    const LISTEN: &str = "0A";
    let inode = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        let (_, local_port) = local.rsplit_once(':')?;
        let is_wanted = *state == LISTEN && u16::from_str_radix(local_port, 16) == Ok(port);
        is_wanted.then(|| format!("socket:[{inode}]"))
    };
    table.lines().skip(1).filter_map(inode).collect()
}

fn holder(process: &Path, sockets: &[String]) -> Option<Holder> {
    let pid = process.file_name()?.to_str()?.parse().ok()?;
    let mut descriptors = fs::read_dir(process.join("fd")).ok()?.flatten();
    let is_held = descriptors.any(|descriptor| {
        fs::read_link(descriptor.path())
            .is_ok_and(|target| sockets.iter().any(|socket| target.as_os_str() == OsStr::new(socket)))
    });
    if !is_held {
        return None;
    }
    let name = fs::read_to_string(process.join("comm")).ok()?;
    Some(Holder { name: name.chars().filter(|letter| !letter.is_control()).collect(), pid })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0C1C 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0
   1: 0100007F:0C1C 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 20 4 30 10 -1
   2: 00000000:0C1D 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0 100 0 0 10 0
   3: nonsense
";

    #[test]
    fn only_listening_sockets_of_the_port_count() {
        assert_eq!(listening(TABLE, 3100), ["socket:[4711]"]);
    }

    #[test]
    fn nobody_holds_a_port_that_nobody_listens_on() {
        assert_eq!(listening(TABLE, 3102), [""; 0]);
    }
}
