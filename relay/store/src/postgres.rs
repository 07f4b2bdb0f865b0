//! The Postgres driver: a pool of clients, every unit of work on its caller's task. Only [`crate::database`]
//! calls it.

mod tls;

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use deadpool_postgres::{Manager, ManagerConfig, Object, RecyclingMethod, Runtime};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, TryStreamExt};
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use crate::database::Driver;
use crate::{Conn, Result, Row, StoreError, Value};

const MAX_CLIENTS: usize = 8;
const CONNECT: Duration = Duration::from_secs(5);
/// How long all clients may be busy before a caller is refused.
const WAIT: Duration = Duration::from_secs(10);
/// Longer than the server gives a statement: it runs out only if the server cannot be reached.
const ROUND_TRIP: Duration = Duration::from_secs(12);
const SERVER_OPTIONS: &str = "-c statement_timeout=10000 -c idle_in_transaction_session_timeout=30000";

#[derive(Clone)]
pub(crate) struct Pool(deadpool_postgres::Pool);

/// What a unit of work may do.
#[derive(Clone, Copy)]
pub(crate) enum Access {
    Write,
    /// All of it sees one state.
    Read,
}

/// A client inside a transaction.
pub(crate) struct Client {
    /// `None` once the transaction has ended well and the client is back in the pool.
    client: Option<Object>,
}

impl Pool {
    /// Connects to nothing yet.
    pub(crate) fn open(url: &str, base: &Path) -> Result<Self> {
        let tls::Target { mut config, connector } = tls::Target::parse(url, base)?;
        let options =
            config.get_options().map_or(SERVER_OPTIONS.to_owned(), |own| format!("{SERVER_OPTIONS} {own}"));
        config.options(options).connect_timeout(CONNECT).application_name("comms-relay");
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let pool = deadpool_postgres::Pool::builder(Manager::from_config(config, connector, recycling))
            .max_size(MAX_CLIENTS)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(WAIT))
            .create_timeout(Some(CONNECT))
            .recycle_timeout(Some(CONNECT))
            .build();
        Ok(Self(pool.map_err(|error| StoreError::Driver(error.into()))?))
    }

    /// Runs `work` in a transaction.
    pub(crate) async fn run<T, E, F>(&self, access: Access, work: F) -> Result<T, E>
    where
        F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, E>>,
        E: From<StoreError>,
    {
        let client = Client { client: Some(self.0.get().await.map_err(StoreError::from)?) };
        let mut conn = Conn::new(Driver::Postgres(client));
        conn.batch(access.begin()).await?;
        let outcome = match AssertUnwindSafe(async { work(&mut conn).await }).catch_unwind().await {
            Ok(outcome) => conn.judge(outcome),
            Err(_) => Err(StoreError::PANICKED.into()),
        };
        let ended = conn.batch(if outcome.is_ok() { "COMMIT" } else { "ROLLBACK" }).await;
        if ended.is_ok()
            && let Driver::Postgres(client) = &mut conn.driver
        {
            drop(client.client.take());
        }
        // What made `work` fail says more than why it could not be rolled back.
        outcome.and_then(|value| ended.map(|()| value).map_err(|error| E::from(access.lost(error))))
    }

    pub(crate) fn close(&self) {
        self.0.close();
    }
}

impl Access {
    const fn begin(self) -> &'static str {
        match self {
            Self::Write => "BEGIN ISOLATION LEVEL READ COMMITTED",
            Self::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        }
    }

    /// What a commit that has failed says of the work before it.
    fn lost(self, commit: StoreError) -> StoreError {
        match (self, commit) {
            // The server may have done it, and its answer got lost.
            (Self::Write, StoreError::Unavailable(cause)) => StoreError::CommitUnknown(cause),
            (Self::Write | Self::Read, refused) => refused,
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // A client with an open transaction never returns to the pool.
        if let Some(client) = self.client.take() {
            drop(Object::take(client));
        }
    }
}

impl Client {
    pub(crate) async fn query(&mut self, sql: &'static str, params: &[Value<'_>]) -> Result<Vec<Row>> {
        let client = self.client()?;
        within(async {
            let statement = client.prepare_cached(sql).await?;
            let columns: Arc<[Box<str>]> =
                statement.columns().iter().map(|column| column.name().into()).collect();
            let mut rows = pin!(client.query_raw(&statement, params).await?);
            let mut found = Vec::new();
            while let Some(row) = rows.try_next().await? {
                let values = (0..columns.len()).map(|at| read(&row, at)).collect::<Result<_>>()?;
                found.push(Row { columns: Arc::clone(&columns), values });
            }
            Ok(found)
        })
        .await
    }

    pub(crate) async fn execute(&mut self, sql: &'static str, params: &[Value<'_>]) -> Result<u64> {
        let client = self.client()?;
        within(async {
            let statement = client.prepare_cached(sql).await?;
            Ok(client.execute_raw(&statement, params).await?)
        })
        .await
    }

    pub(crate) async fn batch(&mut self, sql: &str) -> Result<()> {
        let client = self.client()?;
        within(async { Ok(client.batch_execute(sql).await?) }).await
    }

    fn client(&self) -> Result<&Object> {
        self.client.as_ref().ok_or_else(StoreError::closed)
    }
}

async fn within<T>(round_trip: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(ROUND_TRIP, round_trip)
        .await
        .map_err(|error| StoreError::Unavailable(error.into()))?
}

fn read(row: &tokio_postgres::Row, at: usize) -> Result<Value<'static>> {
    let column = &row.columns()[at];
    Ok(match *column.type_() {
        Type::BOOL => row.try_get::<_, Option<bool>>(at)?.map_or(Value::Null, Value::Bool),
        Type::INT8 => row.try_get::<_, Option<i64>>(at)?.map_or(Value::Null, Value::Integer),
        Type::TEXT => {
            row.try_get::<_, Option<String>>(at)?.map_or(Value::Null, |text| Value::Text(text.into()))
        }
        // For example SUM of a BIGINT, which is NUMERIC: write CAST(SUM(x) AS BIGINT).
        _ => {
            return Err(StoreError::Decode {
                column: column.name().to_owned(),
                wanted: "a shared column type",
            });
        }
    })
}

impl ToSql for Value<'_> {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Value::Null => Ok(IsNull::Yes),
            Value::Bool(truth) => truth.to_sql_checked(ty, out),
            Value::Integer(number) => number.to_sql_checked(ty, out),
            Value::Text(text) => text.to_sql_checked(ty, out),
        }
    }

    /// NULL fits every type; the other variants check by themselves.
    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use crate::testing::open;
    use crate::value::params;
    use crate::{Backend, Conn, Database, Result, StoreError};

    /// Ends the connection of a unit of work after its last statement, so that its commit gets no answer.
    async fn cut_off(tx: &mut Conn, other: Database) -> Result<()> {
        let pid: i64 = tx.number("SELECT CAST(pg_backend_pid() AS BIGINT) AS n", &[]).await?;
        other
            .transaction(move |tx| {
                let sql = "SELECT pg_terminate_backend(CAST(CAST($1 AS BIGINT) AS INT), 10000)";
                async move { tx.query(sql, params![pid]).await.map(drop) }.boxed()
            })
            .await
    }

    #[tokio::test]
    async fn a_commit_without_an_answer_may_have_been_done() {
        let Some(db) = open(Backend::Postgres).await else { return };
        let other = db.db.clone();
        let outcome = db.db.transaction(move |tx| cut_off(tx, other).boxed()).await;
        assert!(matches!(outcome, Err(StoreError::CommitUnknown(_))), "{outcome:?}");
    }

    #[tokio::test]
    async fn what_only_reads_has_done_nothing_in_any_case() {
        let Some(db) = open(Backend::Postgres).await else { return };
        let other = db.db.clone();
        let outcome = db.db.read(move |tx| cut_off(tx, other).boxed()).await;
        assert!(matches!(outcome, Err(StoreError::Unavailable(_))), "{outcome:?}");
    }
}
