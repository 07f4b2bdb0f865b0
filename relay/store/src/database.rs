//! The seam: a database and a connection, two drivers behind each. Services call it and the table modules use
//! it; a rule of the domain never belongs here.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::postgres::Access;
use crate::value::params;
use crate::{FromValue, Result, Row, StoreError, Value, migrate, postgres, sqlite};

/// A handle on the database; clones share it.
#[derive(Clone)]
pub struct Database(Pool);

#[derive(Clone)]
enum Pool {
    Sqlite(sqlite::Pool),
    Postgres(postgres::Pool),
}

/// Which database it is. Only tests and the start-up's log line need to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    Sqlite,
    Postgres,
}

/// A connection inside a transaction, lent to a unit of work.
pub struct Conn {
    pub(crate) driver: Driver,
    /// A statement failed, so that nothing of this transaction may be kept.
    failed: bool,
}

pub(crate) enum Driver {
    Sqlite(sqlite::Connection),
    Postgres(postgres::Client),
}

impl Database {
    /// Opens `sqlite:PATH` (relative to `base`) or `postgres://…` and brings its schema up to date.
    pub async fn open(url: &str, base: &Path) -> Result<Self> {
        let pool = if let Some(path) = url.strip_prefix("sqlite:") {
            Pool::Sqlite(sqlite::Pool::open(base.join(path)).await?)
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            Pool::Postgres(postgres::Pool::open(url, base)?)
        } else {
            return Err(StoreError::Misuse("a database URL starts with `sqlite:` or `postgres://`"));
        };
        let database = Self(pool);
        migrate::run(&database, &migrate::embedded()).await?;
        Ok(database)
    }

    /// Which database it is.
    #[must_use]
    pub fn backend(&self) -> Backend {
        match self.0 {
            Pool::Sqlite(_) => Backend::Sqlite,
            Pool::Postgres(_) => Backend::Postgres,
        }
    }

    /// Commits if `work` gives `Ok`, rolls back if it gives `Err` or if any of its statements failed. `Ok` is
    /// returned only after the commit is synced.
    ///
    /// `work` awaits nothing but store functions: on SQLite it runs on the writer's thread, together with others
    /// that wait, and is given up if it awaits anything else. A caller that is dropped while it waits may find its
    /// work done or not.
    pub async fn transaction<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        match &self.0 {
            Pool::Sqlite(pool) => pool.transaction(work).await,
            Pool::Postgres(pool) => pool.run(Access::Write, work).await,
        }
    }

    /// Like [`Database::transaction`], for reading: all of `work` sees one state, and it cannot write.
    pub async fn read<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        match &self.0 {
            Pool::Sqlite(pool) => pool.read(work).await,
            Pool::Postgres(pool) => pool.run(Access::Read, work).await,
        }
    }

    /// Changes a row and changes it back, to see that writing works: SQLite writes nothing for an update that
    /// changes nothing.
    pub async fn check_writable(&self) -> Result<()> {
        const THERE: &str = "UPDATE audit_head SET seq = seq + 1 WHERE id = 1";
        const BACK: &str = "UPDATE audit_head SET seq = seq - 1 WHERE id = 1";
        self.transaction(|tx| {
            async move {
                tx.execute(THERE, &[]).await?;
                tx.execute(BACK, &[]).await.map(drop)
            }
            .boxed()
        })
        .await
    }

    /// Finishes what waits, then lets go of the database. Later calls are refused as unavailable.
    pub async fn close(&self) {
        match &self.0 {
            Pool::Sqlite(pool) => pool.close().await,
            Pool::Postgres(pool) => pool.close(),
        }
    }
}

impl Conn {
    pub(crate) fn new(driver: Driver) -> Self {
        Self { driver, failed: false }
    }

    /// All rows of a statement.
    pub async fn query(&mut self, sql: &'static str, params: &[Value<'_>]) -> Result<Vec<Row>> {
        let rows = match &mut self.driver {
            Driver::Sqlite(connection) => connection.query(sql, params),
            Driver::Postgres(client) => client.query(sql, params).await,
        };
        self.failed |= rows.is_err();
        rows
    }

    /// The first row of a statement.
    pub async fn query_opt(&mut self, sql: &'static str, params: &[Value<'_>]) -> Result<Option<Row>> {
        Ok(self.query(sql, params).await?.into_iter().next())
    }

    /// How many rows a statement without `RETURNING` touched.
    pub async fn execute(&mut self, sql: &'static str, params: &[Value<'_>]) -> Result<u64> {
        let count = match &mut self.driver {
            Driver::Sqlite(connection) => connection.execute(sql, params),
            Driver::Postgres(client) => client.execute(sql, params).await,
        };
        self.failed |= count.is_err();
        count
    }

    /// All rows, each as a `T`.
    pub(crate) async fn list<T>(&mut self, sql: &'static str, params: &[Value<'_>]) -> Result<Vec<T>>
    where
        T: TryFrom<Row, Error = StoreError>,
    {
        self.query(sql, params).await?.into_iter().map(T::try_from).collect()
    }

    /// The first row as a `T`.
    pub(crate) async fn find<T>(&mut self, sql: &'static str, params: &[Value<'_>]) -> Result<Option<T>>
    where
        T: TryFrom<Row, Error = StoreError>,
    {
        self.query_opt(sql, params).await?.map(T::try_from).transpose()
    }

    /// The row that a statement gives in any case.
    pub(crate) async fn get(&mut self, sql: &'static str, params: &[Value<'_>]) -> Result<Row> {
        let row = self.query_opt(sql, params).await?;
        row.ok_or_else(|| StoreError::Schema("a row that the schema brings along is missing".to_owned()))
    }

    /// The column `n` of the row that an aggregate gives.
    pub(crate) async fn number<T: FromValue>(
        &mut self,
        sql: &'static str,
        params: &[Value<'_>],
    ) -> Result<T> {
        self.get(sql, params).await?.get("n")
    }

    /// Lets only one transaction at a time go on among those that lock `key`, until it ends.
    pub(crate) async fn lock(&mut self, key: &str) -> Result<()> {
        match self.driver {
            // There is one writer.
            Driver::Sqlite(_) => Ok(()),
            Driver::Postgres(_) => {
                let sql = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))";
                self.execute(sql, params![key]).await.map(drop)
            }
        }
    }

    /// Several statements without parameters.
    pub(crate) async fn batch(&mut self, sql: &str) -> Result<()> {
        let done = match &mut self.driver {
            Driver::Sqlite(connection) => connection.batch(sql),
            Driver::Postgres(client) => client.batch(sql).await,
        };
        self.failed |= done.is_err();
        done
    }

    /// Postgres would turn the commit after a failed statement into a rollback without a word, and SQLite would
    /// keep the half that worked. Neither may look like a success.
    pub(crate) fn judge<T, E: From<StoreError>>(&mut self, outcome: Result<T, E>) -> Result<T, E> {
        let failed = std::mem::take(&mut self.failed);
        match outcome {
            Ok(_) if failed => {
                Err(StoreError::Misuse("a unit of work went on after a failed statement").into())
            }
            outcome => outcome,
        }
    }

    /// Runs `work` where every statement is ready at once, which is the case on SQLite.
    pub(crate) fn run_at_once<T, E, F>(&mut self, work: F) -> Result<T, E>
    where
        F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, E>>,
        E: From<StoreError>,
    {
        let outcome = match catch_unwind(AssertUnwindSafe(|| work(self).now_or_never())) {
            Ok(Some(outcome)) => outcome,
            Ok(None) => {
                Err(StoreError::Misuse("a unit of work awaited something else than the store").into())
            }
            Err(_) => Err(StoreError::PANICKED.into()),
        };
        self.judge(outcome)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use tokio::task::JoinSet;

    use super::*;
    use crate::contacts::{self, ContactKey};
    use crate::testing::{agent, at, is_misuse, is_unavailable, open};
    use crate::{audit_log, webhook_events};
    use shared::model::Channel;

    fn key() -> ContactKey {
        ContactKey { agent_id: agent(), channel: Channel::Sms, address: "+14155550123".to_owned() }
    }

    async fn count_one(db: Database) -> Result<i64> {
        db.transaction(|tx| {
            async move { Ok(contacts::record_inbound(tx, &key(), None, at(1)).await?.inbound_count) }.boxed()
        })
        .await
    }

    async fn counted(db: &Database) -> i64 {
        let found: Result<_> = db.read(|tx| async move { contacts::find(tx, &key()).await }.boxed()).await;
        found.unwrap().map_or(0, |contact| contact.inbound_count)
    }

    #[rstest]
    #[tokio::test(flavor = "multi_thread")]
    async fn concurrent_counters_add_up(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
        let Some(db) = open(backend).await else { return };
        let twenty = |db: Database| async move {
            for _ in 0..20 {
                count_one(db.clone()).await.unwrap();
            }
        };
        let tasks: JoinSet<_> = (0..64).map(|_| twenty(db.db.clone())).collect();
        tasks.join_all().await;
        assert_eq!(counted(&db.db).await, 64 * 20);
    }

    async fn fail_after_counting(db: Database) -> Result<()> {
        db.transaction(|tx| {
            async move {
                contacts::record_inbound(tx, &key(), None, at(1)).await?;
                Err(StoreError::Misuse("failed on purpose"))
            }
            .boxed()
        })
        .await
    }

    async fn panic_after_counting(db: Database) -> Result<()> {
        db.transaction(|tx| {
            async move {
                contacts::record_inbound(tx, &key(), None, at(1)).await?;
                panic!("on purpose")
            }
            .boxed()
        })
        .await
    }

    #[rstest]
    #[tokio::test(flavor = "multi_thread")]
    async fn work_that_fails_or_panics_leaves_its_neighbours_alone(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let mut tasks = JoinSet::new();
        for n in 0..60 {
            let db = db.db.clone();
            match n % 3 {
                0 => tasks.spawn(async move { count_one(db).await.is_ok() }),
                1 => tasks.spawn(async move { is_misuse(&fail_after_counting(db).await) }),
                _ => tasks.spawn(async move { is_misuse(&panic_after_counting(db).await) }),
            };
        }
        let as_expected = tasks.join_all().await;
        assert_eq!((as_expected, counted(&db.db).await), (vec![true; 60], 20));
    }

    #[rstest]
    #[tokio::test(flavor = "multi_thread")]
    async fn callers_that_go_away_leave_a_whole_database(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        fn link(seq: i64, prev_hash: &str, _: &str) -> String {
            format!("{seq}-{}", prev_hash.len())
        }
        let Some(db) = open(backend).await else { return };
        let append = |db: Database| async move {
            db.transaction::<_, StoreError, _>(|tx| {
                async move { audit_log::append(tx, at(1), "entry", link).await }.boxed()
            })
            .await
        };
        for n in 0..40 {
            if n % 2 == 0 {
                // Polled once, then dropped with the work queued or half done.
                _ = append(db.db.clone()).now_or_never();
            } else {
                append(db.db.clone()).await.unwrap();
            }
        }
        let (rows, (seq, _)) = db
            .run(|tx| {
                async move { Ok((audit_log::page(tx, 0, 100).await?, audit_log::head(tx).await?)) }.boxed()
            })
            .await;
        let numbers: Vec<_> = rows.iter().map(|row| row.seq).collect();
        assert_eq!(numbers, (1..=seq).collect::<Vec<_>>());
        assert!((20..=40).contains(&seq), "{seq}");
    }

    #[rstest]
    #[tokio::test]
    async fn nothing_is_kept_of_work_that_went_on_after_a_failed_statement(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let outcome: Result<()> = db
            .db
            .transaction(|tx| {
                async move {
                    contacts::record_inbound(tx, &key(), None, at(1)).await?;
                    _ = tx.execute("INSERT INTO audit_head (id, seq, hash) VALUES (1, 1, '')", &[]).await;
                    Ok(())
                }
                .boxed()
            })
            .await;
        assert_eq!((is_misuse(&outcome), counted(&db.db).await), (true, 0));
    }

    #[rstest]
    #[tokio::test]
    async fn a_statement_gets_as_many_parameters_as_it_names(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let sql = "SELECT seq FROM audit_log WHERE seq > $2 AND seq < $1";
        let mut outcomes = Vec::new();
        for count in 1..=3 {
            let params = vec![Value::Integer(1); count];
            let outcome: Result<_> =
                db.db.transaction(move |tx| async move { tx.query(sql, &params).await }.boxed()).await;
            outcomes.push(outcome.map(|rows| rows.len()).ok());
        }
        assert_eq!(outcomes, [None, Some(0), None]);
    }

    #[rstest]
    #[tokio::test]
    async fn parameters_are_bound_by_number_wherever_they_stand(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let sql = "SELECT CAST($2 AS TEXT) AS a, CAST($1 AS BIGINT) AS b, CAST($2 AS TEXT) AS c, CAST($3 AS BOOLEAN) AS d";
        let row = db
            .run(move |tx| async move { tx.get(sql, params![7_i64, "x", None::<String>]).await }.boxed())
            .await;
        let expected = [Value::Text("x".into()), Value::Integer(7), Value::Text("x".into()), Value::Null];
        assert_eq!(row.values, expected);
    }

    #[rstest]
    #[tokio::test]
    async fn a_read_cannot_write(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
        let Some(db) = open(backend).await else { return };
        let write: Result<_> = db
            .db
            .read(|tx| async move { webhook_events::record(tx, "twilio", "e1", at(1)).await }.boxed())
            .await;
        let first_time =
            db.run(|tx| async move { webhook_events::record(tx, "twilio", "e1", at(1)).await }.boxed()).await;
        assert_eq!((write.is_err(), first_time), (true, true));
    }

    #[rstest]
    #[tokio::test]
    async fn a_read_sees_one_state_from_beginning_to_end(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let (seen, wait_for_seen) = std::sync::mpsc::channel();
        let (written, wait_for_written) = std::sync::mpsc::channel();
        let reader = db.db.clone();
        let read = tokio::task::spawn_blocking(move || {
            let read = reader.read::<_, StoreError, _>(move |tx| {
                async move {
                    let before = contacts::find(tx, &key()).await?;
                    seen.send(()).unwrap();
                    wait_for_written.recv().unwrap();
                    Ok((before, contacts::find(tx, &key()).await?))
                }
                .boxed()
            });
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap()
                .block_on(read)
                .unwrap()
        });
        tokio::task::spawn_blocking(move || wait_for_seen.recv().unwrap()).await.unwrap();
        count_one(db.db.clone()).await.unwrap();
        written.send(()).unwrap();
        assert_eq!(read.await.unwrap(), (None, None));
    }

    #[rstest]
    #[tokio::test]
    async fn a_sound_database_is_writable_until_it_is_closed(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let before = db.db.check_writable().await;
        db.db.close().await;
        db.db.close().await;
        let after = db.db.check_writable().await;
        assert_eq!((before.is_ok(), is_unavailable(&after)), (true, true));
    }

    #[rstest]
    #[case("mysql://localhost/comms")]
    #[case("relay.db")]
    #[case("postgres://localhost/comms?sslmode=allow")]
    #[tokio::test]
    async fn a_url_that_leads_nowhere_is_refused(#[case] url: &str) {
        let dir = tempfile::tempdir().unwrap();
        assert!(is_misuse(&Database::open(url, dir.path()).await));
    }
}
