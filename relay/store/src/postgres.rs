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

    /// Runs `work` in a transaction that `begin` opens.
    pub(crate) async fn run<T, E, F>(&self, begin: &'static str, work: F) -> Result<T, E>
    where
        F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, E>>,
        E: From<StoreError>,
    {
        let client = Client { client: Some(self.0.get().await.map_err(StoreError::from)?) };
        let mut conn = Conn::new(Driver::Postgres(client));
        conn.batch(begin).await?;
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
        outcome.and_then(|value| ended.map(|()| value).map_err(E::from))
    }

    pub(crate) fn close(&self) {
        self.0.close();
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
