//! Why a store call failed. Services tell [`StoreError::Conflict`] and [`StoreError::Unavailable`] apart; the
//! rest is a bug or a broken installation.

use std::sync::Arc;

use rusqlite::ErrorCode;
use tokio_postgres::error::SqlState;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why a store call failed. The source is never part of the text: a driver may quote values in it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A row with this key exists.
    #[error("a row with this key exists already")]
    Conflict(#[source] Source),
    /// Nothing was stored, or nobody knows; the same may succeed later.
    #[error("the database is unavailable")]
    Unavailable(#[source] Source),
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
        let Some(code) = error.code() else {
            // No answer of the server's: the connection broke, unless a parameter could not be sent at all.
            let sent = error.is_closed()
                || std::error::Error::source(&error).is_some_and(|e| e.is::<std::io::Error>());
            return if sent { Self::Unavailable(error.into()) } else { Self::Driver(error.into()) };
        };
        // https://www.postgresql.org/docs/current/errcodes-appendix.html: connection, transaction rollback,
        // resources, operator intervention, system.
        const PASSING: [&str; 5] = ["08", "40", "53", "57", "58"];
        if *code == SqlState::UNIQUE_VIOLATION {
            Self::Conflict(error.into())
        } else if *code == SqlState::READ_ONLY_SQL_TRANSACTION || PASSING.contains(&&code.code()[..2]) {
            Self::Unavailable(error.into())
        } else {
            Self::Driver(error.into())
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
