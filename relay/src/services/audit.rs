//! The audit log: every effect writes its entry in the transaction that makes it.

use std::collections::BTreeMap;

use futures_util::FutureExt;
use relay_core::audit::{Break, Entry, Verifier, link};
use relay_store::{Conn, Database, audit_log};
use shared::model::Timestamp;

use super::ServiceError;

/// Who did what to what: `agent:…`, `carrier`, `relay` or `operator`; a word of a closed set; an identifier.
pub(crate) struct Act<'a>(pub(crate) &'a str, pub(crate) &'static str, pub(crate) &'a str);

/// Appends an entry and gives its number, which is also the order of everything that the inbox holds.
///
/// `detail` holds identifiers and outcomes; never a body, an address or a secret.
pub(crate) async fn append(
    tx: &mut Conn,
    at: Timestamp,
    act: Act<'_>,
    detail: &[(&str, &str)],
) -> relay_store::Result<i64> {
    let Act(actor, action, subject) = act;
    let detail: BTreeMap<String, String> =
        detail.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let entry = Entry { at, actor: actor.to_owned(), action, subject: subject.to_owned(), detail };
    audit_log::append(tx, at, &entry.to_text(), link).await
}

/// Takes the place in line that [`append`] takes. First in a transaction that changes rows before it appends, where
/// others change the same rows after they have appended.
pub(crate) async fn lock(tx: &mut Conn) -> relay_store::Result<()> {
    audit_log::lock(tx).await
}

/// What [`verify`] finds.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every entry is as it was written.
    Whole { entries: u64, head: String },
    /// The chain is broken at this entry.
    Broken(Break),
}

/// Recomputes the whole chain.
pub async fn verify(db: &Database) -> Result<Verdict, ServiceError> {
    const PAGE: i64 = 1_000;
    let mut verifier = Verifier::new();
    let mut last = 0;
    // The head is read first: entries that come meanwhile lie behind it and are left for the next run.
    let (head_seq, head_hash) =
        db.read::<_, ServiceError, _>(|conn| async move { Ok(audit_log::head(conn).await?) }.boxed()).await?;
    while last < head_seq {
        let rows = db
            .read::<_, ServiceError, _>(move |conn| {
                async move { Ok(audit_log::page(conn, last, PAGE).await?) }.boxed()
            })
            .await?;
        let Some(end) = rows.last().map(|row| row.seq) else { break };
        for row in rows.into_iter().take_while(|row| row.seq <= head_seq) {
            if let Err(problem) = verifier.check(row.seq, &row.entry, &row.hash) {
                return Ok(Verdict::Broken(problem));
            }
        }
        last = end;
    }
    Ok(match verifier.finish(head_seq, &head_hash) {
        Ok(entries) => Verdict::Whole { entries, head: head_hash },
        Err(problem) => Verdict::Broken(problem),
    })
}
