//! Why a store call failed. Services tell [`StoreError::Conflict`], [`StoreError::Unavailable`] and
//! [`StoreError::CommitUnknown`] apart; the rest is a bug or a broken installation.

use std::sync::Arc;

use rusqlite::ErrorCode;
use tokio_postgres::error::{DbError, SqlState};

type Source = Box<dyn std::error::Error + Send + Sync>;

/// What Postgres has refused, by code and names alone: its own words may quote what is in a row.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refused(String);

impl From<&DbError> for Refused {
    fn from(error: &DbError) -> Self {
        let names =
            [("table", error.table()), ("constraint", error.constraint()), ("column", error.column())];
        let names = names.into_iter().filter_map(|(kind, name)| Some(format!(", {kind} {}", name?)));
        Self(format!("SQLSTATE {}{}", error.code().code(), names.collect::<String>()))
    }
}

/// Why a store call failed. The source is never part of the text: a driver may quote values in it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A row with this key exists.
    #[error("a row with this key exists already")]
    Conflict(#[source] Source),
    /// Nothing was stored, as far as can be seen; the same may succeed later.
    #[error("the database is unavailable")]
    Unavailable(#[source] Source),
    /// The answer to a commit was lost: all of it was stored, or nothing.
    #[error("it is not known whether the database has stored it")]
    CommitUnknown(#[source] Source),
    /// A column holds something else than the code wants of it.
    #[error("column `{column}` cannot be read as {wanted}")]
    Decode { column: String, wanted: &'static str },
    /// The database is not one that this version can work with.
    #[error("{0}")]
    Schema(String),
    /// The caller broke a rule of this crate.
    #[error("{0}")]
    Misuse(&'static str),
    /// The database refused the statement.
    #[error("the database refused a statement")]
    Driver(#[source] Source),
}

impl StoreError {
    pub(crate) const PANICKED: Self = Self::Misuse("a unit of work panicked");

    /// For everyone whose work was lost by one failure.
    pub(crate) fn shared(cause: &Arc<Self>) -> Self {
        Self::Unavailable(Box::new(Arc::clone(cause)))
    }

    pub(crate) fn closed() -> Self {
        Self::Unavailable("it has been closed".into())
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ffi::{SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE};
        let Some(failure) = error.sqlite_error().copied() else { return Self::Driver(error.into()) };
        match (failure.code, failure.extended_code) {
            (_, SQLITE_CONSTRAINT_PRIMARYKEY | SQLITE_CONSTRAINT_UNIQUE) => Self::Conflict(error.into()),
            (
                ErrorCode::CannotOpen
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseCorrupt
                | ErrorCode::DatabaseLocked
                | ErrorCode::DiskFull
                | ErrorCode::NotADatabase
                | ErrorCode::OutOfMemory
                | ErrorCode::ReadOnly
                | ErrorCode::SystemIoFailure,
                _,
            ) => Self::Unavailable(error.into()),
            _ => Self::Driver(error.into()),
        }
    }
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(refused) = error.as_db_error() else {
            // No answer of the server's: the connection broke, unless a parameter could not be sent at all.
            let sent = error.is_closed()
                || std::error::Error::source(&error).is_some_and(|e| e.is::<std::io::Error>());
            return if sent { Self::Unavailable(error.into()) } else { Self::Driver(error.into()) };
        };
        // https://www.postgresql.org/docs/current/errcodes-appendix.html: connection, transaction rollback,
        // resources, operator intervention, system.
        const PASSING: [&str; 5] = ["08", "40", "53", "57", "58"];
        let (code, source) = (refused.code(), Refused::from(refused));
        if *code == SqlState::UNIQUE_VIOLATION {
            Self::Conflict(source.into())
        } else if *code == SqlState::READ_ONLY_SQL_TRANSACTION || PASSING.contains(&&code.code()[..2]) {
            Self::Unavailable(source.into())
        } else {
            Self::Driver(source.into())
        }
    }
}

impl From<deadpool_postgres::PoolError> for StoreError {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        Self::Unavailable(error.into())
    }
}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> Self {
        Self::Unavailable(error.into())
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use futures_util::FutureExt;
    use rstest::rstest;

    use crate::testing::open;
    use crate::value::params;
    use crate::{Backend, StoreError};

    const VALUE: &str = "+12025550147 said hello";

    /// Everything that a log line would say of it.
    fn chain(error: StoreError) -> String {
        let mut text = format!("{error:?}: {error}");
        let mut cause = error.source();
        while let Some(inner) = cause {
            text = format!("{text}: {inner:?}: {inner}");
            cause = inner.source();
        }
        text
    }

    #[rstest]
    #[case::conflict("INSERT INTO words (word, n) VALUES ($1, 1)")]
    #[case::check("UPDATE words SET n = 3 WHERE word = $1")]
    #[case::not_null("UPDATE words SET n = NULL WHERE word = $1")]
    #[case::no_number("UPDATE words SET n = CAST(word AS BIGINT) WHERE word = $1")]
    #[tokio::test]
    async fn what_postgres_refuses_is_told_without_a_value(#[case] sql: &'static str) {
        let Some(db) = open(Backend::Postgres).await else { return };
        db.run(|tx| {
            async move {
                tx.batch("CREATE TABLE words (word TEXT PRIMARY KEY, n BIGINT NOT NULL CHECK (n < 3))")
                    .await?;
                tx.execute("INSERT INTO words (word, n) VALUES ($1, 1)", params![VALUE]).await
            }
            .boxed()
        })
        .await;
        let refused: Result<u64, StoreError> =
            db.db.transaction(move |tx| async move { tx.execute(sql, params![VALUE]).await }.boxed()).await;
        let told = chain(refused.unwrap_err());
        assert!(told.contains("SQLSTATE 2") && !told.contains("2025550147"), "{told}");
    }

    #[tokio::test]
    async fn a_conflict_is_told_with_its_names() {
        let Some(db) = open(Backend::Postgres).await else { return };
        let twice: Result<(), StoreError> = db
            .db
            .transaction(|tx| {
                async move {
                    tx.batch("CREATE TABLE words (word TEXT PRIMARY KEY)").await?;
                    tx.batch("INSERT INTO words VALUES ('hello'), ('hello')").await
                }
                .boxed()
            })
            .await;
        let Err(StoreError::Conflict(source)) = twice else { panic!("{twice:?}") };
        assert_eq!(source.to_string(), "SQLSTATE 23505, table words, constraint words_pkey");
    }
}
