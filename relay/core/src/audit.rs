//! The audit log's hash chain: what an entry says, how it is tied to the one before, and how the whole is checked.
//!
//! Called by the store when it appends and by whoever verifies or exports. It holds no order of its own: the
//! sequence numbers are the order, never the time. What it must never do is join fields ambiguously: every part
//! that is hashed has a fixed width or stands behind its length.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use ring::digest::{Context, SHA256};
use serde::Serialize;
use shared::model::Timestamp;

/// The hash before the first entry.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

const DOMAIN: &[u8] = b"agentos-comms-audit-v1\0";

/// One thing that was done or refused. It carries no body of a message and no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// Who: `agent:default`, `admin:…`, `provider:…`, `relay`.
    pub actor: String,
    /// What, such as `message.sent`: one of a closed set, so written in the code.
    pub action: &'static str,
    /// To what: an identifier.
    pub subject: String,
    /// What else is worth keeping.
    pub detail: BTreeMap<String, String>,
}

impl Entry {
    /// The entry as it is stored and hashed: JSON with its fields in a fixed order and the details sorted.
    #[must_use]
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("texts with text keys always serialise")
    }
}

/// The hash of the entry with this number, which holds everything before it in place: SHA-256 over the domain, the
/// number (8 bytes, big-endian), the previous hash (64 hexadecimal digits), the entry's length (8 bytes,
/// big-endian) and the entry.
#[must_use]
pub fn link(seq: i64, prev_hash: &str, entry: &str) -> String {
    let mut context = Context::new(&SHA256);
    context.update(DOMAIN);
    context.update(&seq.to_be_bytes());
    context.update(prev_hash.as_bytes());
    context.update(&(entry.len() as u64).to_be_bytes());
    context.update(entry.as_bytes());
    HEXLOWER.encode(context.finish().as_ref())
}

/// Where the chain does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("entry {seq} {problem}")]
pub struct Break {
    /// The first entry that does not fit.
    pub seq: i64,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Its number does not follow the one before.
    #[error("is missing or out of order")]
    Order,
    /// It, or something before it, is not what was hashed.
    #[error("does not match its hash")]
    Hash,
    /// The log ends elsewhere than its head says.
    #[error("is not the head of the log")]
    Head,
}

/// Checks a chain entry by entry, holding one hash.
#[derive(Clone, Debug)]
pub struct Verifier {
    seq: i64,
    hash: String,
}

impl Default for Verifier {
    fn default() -> Self {
        Self::new()
    }
}

impl Verifier {
    /// Before the first entry.
    #[must_use]
    pub fn new() -> Self {
        Self { seq: 0, hash: GENESIS.to_owned() }
    }

    /// Takes the next entry. After a break the rest proves nothing.
    pub fn check(&mut self, seq: i64, entry: &str, hash: &str) -> Result<(), Break> {
        let expected = self.seq + 1;
        if seq != expected {
            return Err(Break { seq: expected, problem: Problem::Order });
        }
        if link(seq, &self.hash, entry) != hash {
            return Err(Break { seq, problem: Problem::Hash });
        }
        self.seq = seq;
        hash.clone_into(&mut self.hash);
        Ok(())
    }

    /// Compares the end with the head that is kept apart, and gives the number of entries: a log that was cut
    /// short is consistent in itself.
    pub fn finish(self, head_seq: i64, head_hash: &str) -> Result<u64, Break> {
        if self.seq == head_seq && self.hash == head_hash {
            Ok(self.seq.unsigned_abs())
        } else {
            Err(Break { seq: self.seq.min(head_seq) + 1, problem: Problem::Head })
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Row = (i64, String, String);

    fn chain(entries: &[String]) -> Vec<Row> {
        let mut prev = GENESIS.to_owned();
        let rows = (1..).zip(entries).map(|(seq, entry)| {
            prev = link(seq, &prev, entry);
            (seq, entry.clone(), prev.clone())
        });
        rows.collect()
    }

    fn head(rows: &[Row]) -> (i64, String) {
        rows.last().map_or((0, GENESIS.to_owned()), |(seq, _, hash)| (*seq, hash.clone()))
    }

    fn verify(rows: &[Row], head: &(i64, String)) -> Result<u64, Break> {
        let mut verifier = Verifier::new();
        for (seq, entry, hash) in rows {
            verifier.check(*seq, entry, hash)?;
        }
        verifier.finish(head.0, &head.1)
    }

    #[test]
    fn an_entry_is_written_in_one_way_only() {
        let entry = Entry {
            at: Timestamp::from_millis(1_795_000_000_123),
            actor: "agent:default".to_owned(),
            action: "message.sent",
            subject: "a|b\"c".to_owned(),
            detail: [("z", "1"), ("a", "2")].map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        };
        assert_eq!(
            entry.to_text(),
            r#"{"at":"2026-11-18T11:06:40.123Z","actor":"agent:default","action":"message.sent","subject":"a|b\"c","detail":{"a":"2","z":"1"}}"#
        );
    }

    /// Computed with another implementation (Python's hashlib), so that the format cannot drift.
    #[test]
    fn a_link_is_the_documented_hash() {
        assert_eq!(
            link(1, GENESIS, "{}"),
            "8476db781694e8837676e7a6592e4e4fec0abc71e96e974eef362dd86831b7fe"
        );
    }

    #[test]
    fn an_empty_log_verifies() {
        assert_eq!(Verifier::new().finish(0, GENESIS), Ok(0));
    }

    #[test]
    fn a_cut_tail_is_found_by_the_head() {
        let rows = chain(&["a", "b", "c"].map(str::to_owned));
        let problem = Err(Break { seq: 3, problem: Problem::Head });
        assert_eq!(verify(&rows[..2], &head(&rows)), problem);
    }

    #[derive(Clone, Debug)]
    enum Tampering {
        Edit(usize),
        Rehash(usize),
        Swap(usize, usize),
        SwapAndRenumber(usize, usize),
        Insert(usize),
        Delete(usize),
        DeleteAndRenumber(usize),
        Cut(usize),
    }

    fn tampering() -> impl Strategy<Value = Tampering> {
        let i = || any::<prop::sample::Index>().prop_map(|index| index.index(20));
        prop_oneof![
            i().prop_map(Tampering::Edit),
            i().prop_map(Tampering::Rehash),
            (i(), i()).prop_map(|(a, b)| Tampering::Swap(a, b)),
            (i(), i()).prop_map(|(a, b)| Tampering::SwapAndRenumber(a, b)),
            i().prop_map(Tampering::Insert),
            i().prop_map(Tampering::Delete),
            i().prop_map(Tampering::DeleteAndRenumber),
            i().prop_map(Tampering::Cut),
        ]
    }

    fn tamper(rows: &mut Vec<Row>, how: &Tampering) {
        let renumber = |rows: &mut Vec<Row>| (1..).zip(rows).for_each(|(seq, row)| row.0 = seq);
        match *how {
            Tampering::Edit(at) => rows[at].1.push(' '),
            // The forger knows the algorithm and makes this entry fit, but not those after it.
            Tampering::Rehash(at) => {
                rows[at].1.push(' ');
                let prev = if at == 0 { GENESIS.to_owned() } else { rows[at - 1].2.clone() };
                rows[at].2 = link(rows[at].0, &prev, &rows[at].1);
            }
            Tampering::Swap(a, b) => rows.swap(a, b),
            Tampering::SwapAndRenumber(a, b) => {
                rows.swap(a, b);
                renumber(rows);
            }
            Tampering::Insert(at) => {
                let twin = rows[at].clone();
                rows.insert(at, twin);
                renumber(rows);
            }
            Tampering::Delete(at) => drop(rows.remove(at)),
            Tampering::DeleteAndRenumber(at) => {
                rows.remove(at);
                renumber(rows);
            }
            Tampering::Cut(at) => rows.truncate(at),
        }
    }

    proptest! {
        #[test]
        fn an_untouched_log_verifies(entries in prop::collection::vec(".*", 0..30)) {
            let rows = chain(&entries);
            prop_assert_eq!(verify(&rows, &head(&rows)), Ok(rows.len() as u64));
        }

        #[test]
        fn any_tampering_is_found(entries in prop::collection::vec(".*", 20), how in tampering()) {
            let rows = chain(&entries);
            let mut touched = rows.clone();
            tamper(&mut touched, &how);
            prop_assume!(touched != rows);
            let found = verify(&touched, &head(&rows));
            let first = rows.iter().zip(&touched).position(|(a, b)| a != b).unwrap_or(touched.len().min(rows.len()));
            // A forged hash shows at the entry after it, or at the head.
            let seq = found.expect_err("tampered with").seq;
            prop_assert!((1..=2).contains(&(seq - first as i64)), "{how:?}: {seq} {first}");
        }
    }
}
