//! The `audit_log` and `audit_head` tables: a chain of entries, each hashed together with the one before. The
//! hashing belongs to the caller; nothing here changes or deletes an entry.

use shared::model::Timestamp;

use crate::database::Driver;
use crate::value::{from_row, params};
use crate::{Conn, Result};

/// A row of `audit_log`.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditRow {
    pub seq: i64,
    pub at: Timestamp,
    pub entry: String,
    pub hash: String,
}

from_row!(AuditRow { seq, at, entry, hash });

/// Appends an entry and gives its number. On Postgres, appends wait for one another until their transactions end.
pub async fn append(
    conn: &mut Conn,
    at: Timestamp,
    entry: &str,
    link: fn(seq: i64, prev_hash: &str, entry: &str) -> String,
) -> Result<i64> {
    let head = conn.get("UPDATE audit_head SET seq = seq + 1 WHERE id = 1 RETURNING seq, hash", &[]).await?;
    let seq: i64 = head.get("seq")?;
    let hash = link(seq, &head.get::<String>("hash")?, entry);
    let sql = "INSERT INTO audit_log (seq, at, entry, hash) VALUES ($1, $2, $3, $4)";
    conn.execute(sql, params![seq, at, entry, hash]).await?;
    conn.execute("UPDATE audit_head SET hash = $1 WHERE id = 1", params![hash]).await?;
    Ok(seq)
}

/// Takes the place in line that [`append`] takes, for a transaction that changes rows before it has something to
/// append: on Postgres two that hold a row each and wait for the other's would otherwise block one another.
pub async fn lock(conn: &mut Conn) -> Result<()> {
    match conn.driver {
        // There is one writer.
        Driver::Sqlite(_) => Ok(()),
        Driver::Postgres(_) => {
            conn.execute("UPDATE audit_head SET seq = seq WHERE id = 1", &[]).await.map(drop)
        }
    }
}

/// Number and hash of the last entry; 0 and zeros before the first.
pub async fn head(conn: &mut Conn) -> Result<(i64, String)> {
    let head = conn.get("SELECT seq, hash FROM audit_head WHERE id = 1", &[]).await?;
    Ok((head.get("seq")?, head.get("hash")?))
}

/// The entries that come after `after_seq`, in order.
pub async fn page(conn: &mut Conn, after_seq: i64, limit: i64) -> Result<Vec<AuditRow>> {
    conn.list("SELECT * FROM audit_log WHERE seq > $1 ORDER BY seq LIMIT $2", params![after_seq, limit]).await
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use rstest::rstest;
    use tokio::task::JoinSet;

    use super::*;
    use crate::testing::{at, open};
    use crate::{Backend, Database, StoreError};

    fn link(seq: i64, prev_hash: &str, entry: &str) -> String {
        format!("{seq}:{entry}:{:.8}", prev_hash)
    }

    async fn append_or_fail(db: Database, n: i64) -> Result<i64> {
        db.transaction(move |tx| {
            async move {
                let seq = append(tx, at(n), &format!("entry {n}"), link).await?;
                if n % 5 == 0 { Err(StoreError::Misuse("rolled back on purpose")) } else { Ok(seq) }
            }
            .boxed()
        })
        .await
    }

    #[rstest]
    #[tokio::test]
    async fn entries_follow_one_another(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
        let Some(db) = open(backend).await else { return };
        let zeros = "0".repeat(64);
        let (first, second) = (link(1, &zeros, "one"), link(2, &link(1, &zeros, "one"), "two"));
        let found = db
            .run(move |tx| {
                async move {
                    let before = head(tx).await?;
                    let numbers =
                        [append(tx, at(5), "one", link).await?, append(tx, at(6), "two", link).await?];
                    Ok((before, numbers, head(tx).await?, page(tx, 0, 1).await?, page(tx, 1, 9).await?))
                }
                .boxed()
            })
            .await;
        let row = |seq, millis, entry: &str, hash: &str| {
            vec![AuditRow { seq, at: at(millis), entry: entry.to_owned(), hash: hash.to_owned() }]
        };
        let pages = (row(1, 5, "one", &first), row(2, 6, "two", &second));
        assert_eq!(found, ((0, zeros), [1, 2], (2, second), pages.0, pages.1));
    }

    #[rstest]
    #[tokio::test(flavor = "multi_thread")]
    async fn the_chain_stays_whole_under_concurrent_appends_and_rollbacks(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let mut tasks: JoinSet<_> = (0..20).map(|n| append_or_fail(db.db.clone(), n)).collect();
        while tasks.join_next().await.transpose().unwrap().is_some() {}

        let (rows, last) =
            db.run(move |tx| async move { Ok((page(tx, 0, 100).await?, head(tx).await?)) }.boxed()).await;
        let mut hash = "0".repeat(64);
        let mut chain = Vec::new();
        for (row, seq) in rows.iter().zip(1..) {
            hash = link(seq, &hash, &row.entry);
            chain.push(AuditRow { seq, hash: hash.clone(), ..row.clone() });
        }
        assert_eq!((rows.len(), &rows, last), (16, &chain, (16, hash)));
    }
}
