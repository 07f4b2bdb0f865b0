//! The SQLite driver: one writer thread with group commit, and a few connections for reading on the blocking
//! pool. Only [`crate::database`] calls it.

mod writer;

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use futures_util::future::BoxFuture;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, ErrorCode};
use tokio::sync::{Semaphore, mpsc, oneshot};

use self::writer::{Job, Writer};
use crate::database::Driver;
use crate::{Conn, Result, Row, StoreError, Value};

const MAX_READERS: u32 = 4;
/// Units of work that may wait for the writer; whoever comes then waits for a place.
const QUEUE: usize = 1024;
/// Before it, a checkpoint and a write at the same moment could corrupt a database in WAL mode
/// (<https://sqlite.org/wal.html#the_wal_reset_bug>).
const OLDEST_VERSION: i32 = 3_051_003;
const STATEMENT_CACHE: usize = 256;

/// SQLite reads `$1` as a parameter *named* `$1`: so one text serves both databases.
const NAMES: [&std::ffi::CStr; 40] = [
    c"$1", c"$2", c"$3", c"$4", c"$5", c"$6", c"$7", c"$8", c"$9", c"$10", c"$11", c"$12", c"$13", c"$14",
    c"$15", c"$16", c"$17", c"$18", c"$19", c"$20", c"$21", c"$22", c"$23", c"$24", c"$25", c"$26", c"$27",
    c"$28", c"$29", c"$30", c"$31", c"$32", c"$33", c"$34", c"$35", c"$36", c"$37", c"$38", c"$39", c"$40",
];

#[derive(Clone)]
pub(crate) struct Pool(Arc<Shared>);

struct Shared {
    path: PathBuf,
    queue: mpsc::Sender<Job>,
    writer: Mutex<Option<JoinHandle<()>>>,
    readers: Arc<Semaphore>,
    idle_readers: Mutex<Vec<Conn>>,
}

pub(crate) struct Connection {
    raw: rusqlite::Connection,
    /// An I/O error or damage was seen: nothing more is done over this connection.
    pub(super) suspect: bool,
}

impl Pool {
    pub(crate) async fn open(path: PathBuf) -> Result<Self> {
        let opening = path.clone();
        let conn = blocking(move || Connection::open_writer(&opening)).await??;
        let (queue, jobs) = mpsc::channel(QUEUE);
        let writer = Writer::new(path.clone(), conn, jobs);
        let thread =
            std::thread::Builder::new().name("sqlite-writer".to_owned()).spawn(move || writer.run())?;
        Ok(Self(Arc::new(Shared {
            path,
            queue,
            writer: Mutex::new(Some(thread)),
            readers: Arc::new(Semaphore::new(MAX_READERS as usize)),
            idle_readers: Mutex::default(),
        })))
    }

    pub(crate) async fn transaction<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let unit = Job::Unit(writer::unit(work, reply));
        self.0.queue.send(unit).await.map_err(|_| StoreError::closed())?;
        answer.await.map_err(|_| StoreError::closed())?
    }

    pub(crate) async fn read<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let readers = Arc::clone(&self.0.readers);
        let permit = readers.acquire_owned().await.map_err(|_| StoreError::closed())?;
        let shared = Arc::clone(&self.0);
        blocking(move || {
            let outcome = shared.read(work);
            drop(permit);
            outcome
        })
        .await?
    }

    pub(crate) async fn close(&self) {
        // The readers go first, so that the last connection, which checkpoints, is the writer's.
        let none_reads = self.0.readers.acquire_many(MAX_READERS).await;
        self.0.readers.close();
        drop(none_reads);
        unpoisoned(&self.0.idle_readers).clear();
        // A closed queue means that another caller was here before.
        _ = self.0.queue.send(Job::Stop).await;
        let thread = unpoisoned(&self.0.writer).take();
        if let Some(thread) = thread {
            _ = blocking(move || thread.join()).await;
        }
    }
}

impl Shared {
    fn read<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, E>>,
        E: From<StoreError>,
    {
        let idle = unpoisoned(&self.idle_readers).pop();
        let mut conn = idle.map_or_else(|| Connection::open_reader(&self.path), Ok)?;
        conn.sqlite().batch("BEGIN")?;
        let outcome = conn.run_at_once(work);
        if conn.sqlite().batch("ROLLBACK").is_ok() && !conn.sqlite().suspect {
            unpoisoned(&self.idle_readers).push(conn);
        }
        outcome
    }
}

impl Conn {
    /// The SQLite connection of a `Conn` that this module made.
    pub(super) fn sqlite(&mut self) -> &mut Connection {
        match &mut self.driver {
            Driver::Sqlite(connection) => connection,
            Driver::Postgres(_) => unreachable!("this module makes SQLite connections only"),
        }
    }
}

impl Connection {
    /// Makes the file if there is none. Gives a connection only to a database that is sound.
    pub(super) fn open_writer(path: &Path) -> Result<Conn> {
        if rusqlite::version_number() < OLDEST_VERSION {
            return Err(StoreError::Schema("SQLite older than 3.51.3 can corrupt databases".to_owned()));
        }
        make_private(path)?;
        let raw = open(path)?;
        let verdict: String = raw.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if verdict != "ok" {
            return Err(StoreError::Schema("the database file is damaged: restore a backup".to_owned()));
        }
        let mode: String = raw.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
        if mode != "wal" {
            return Err(StoreError::Schema(
                "the database's file system does not allow a write-ahead log".to_owned(),
            ));
        }
        Ok(Conn::new(Driver::Sqlite(Self { raw, suspect: false })))
    }

    fn open_reader(path: &Path) -> Result<Conn> {
        let raw = open(path)?;
        // They look up single rows: a quarter of the usual cache serves them as well.
        raw.execute_batch("PRAGMA query_only = ON; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -512")?;
        Ok(Conn::new(Driver::Sqlite(Self { raw, suspect: false })))
    }

    pub(crate) fn query(&mut self, sql: &'static str, params: &[Value<'_>]) -> Result<Vec<Row>> {
        let rows = query(&self.raw, sql, params);
        self.watch(rows)
    }

    pub(crate) fn execute(&mut self, sql: &'static str, params: &[Value<'_>]) -> Result<u64> {
        let count =
            prepare(&self.raw, sql, params).and_then(|mut statement| Ok(statement.raw_execute()? as u64));
        self.watch(count)
    }

    pub(crate) fn batch(&mut self, sql: &str) -> Result<()> {
        let done = self.raw.execute_batch(sql).map_err(Failure::from);
        self.watch(done)
    }

    /// No transaction is open, be it that SQLite has given it up by itself.
    pub(super) fn is_autocommit(&self) -> bool {
        self.raw.is_autocommit()
    }

    fn watch<T>(&mut self, outcome: Result<T, Failure>) -> Result<T> {
        outcome.map_err(|failure| {
            self.suspect |= failure.makes_suspect();
            failure.into()
        })
    }
}

/// A statement's failure, while the driver's code can still be seen.
enum Failure {
    Sqlite(rusqlite::Error),
    Misuse(&'static str),
}

impl Failure {
    fn makes_suspect(&self) -> bool {
        let code = match self {
            Self::Sqlite(error) => error.sqlite_error_code(),
            Self::Misuse(_) => None,
        };
        matches!(
            code,
            Some(ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
        )
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Sqlite(error) => error.into(),
            Failure::Misuse(text) => Self::Misuse(text),
        }
    }
}

/// SQLite gives the files beside it, `-wal` and `-shm`, the same mode.
fn make_private(path: &Path) -> Result<()> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    drop(file);
    Ok(())
}

fn open(path: &Path) -> Result<rusqlite::Connection> {
    let raw = rusqlite::Connection::open(path)?;
    raw.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    raw.execute_batch(
        "PRAGMA busy_timeout = 5000; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA mmap_size = 0;
         PRAGMA temp_store = MEMORY; PRAGMA cache_size = -512",
    )?;
    Ok(raw)
}

fn query(raw: &rusqlite::Connection, sql: &str, params: &[Value<'_>]) -> Result<Vec<Row>, Failure> {
    let mut statement = prepare(raw, sql, params)?;
    let columns: Arc<[Box<str>]> = statement.column_names().map(Box::from).collect();
    let mut found = Vec::new();
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next()? {
        let values = (0..columns.len()).map(|at| read(row.get_ref(at)?)).collect::<Result<_, Failure>>()?;
        found.push(Row { columns: Arc::clone(&columns), values });
    }
    Ok(found)
}

fn prepare<'c>(
    raw: &'c rusqlite::Connection,
    sql: &str,
    params: &[Value<'_>],
) -> Result<CachedStatement<'c>, Failure> {
    let mut statement = raw.prepare_cached(sql)?;
    // SQLite would take a missing one for NULL.
    if params.len() != statement.parameter_count() || params.len() > NAMES.len() {
        return Err(Failure::Misuse("a statement has another number of parameters than were given"));
    }
    for (name, value) in NAMES.into_iter().zip(params) {
        statement.raw_bind_parameter(name, value)?;
    }
    Ok(statement)
}

fn read(value: ValueRef<'_>) -> Result<Value<'static>, Failure> {
    Ok(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned().into()),
        ValueRef::Real(_) | ValueRef::Blob(_) => return Err(Failure::Misuse("a column has no shared type")),
    })
}

impl rusqlite::ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Value::Null => rusqlite::types::Null.into(),
            Value::Bool(truth) => (*truth).into(),
            Value::Integer(number) => (*number).into(),
            Value::Text(text) => text.as_ref().into(),
        })
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| StoreError::Unavailable(error.into()))
}

/// What these locks guard is whole between any two statements, so a panic elsewhere does not matter.
fn unpoisoned<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::testing::{TestDatabase, is_misuse, is_unavailable, open};
    use crate::value::params;
    use crate::{Backend, Database};

    async fn fresh() -> TestDatabase {
        let db = open(Backend::Sqlite).await.unwrap();
        let sql = "CREATE TABLE notes (id BIGINT PRIMARY KEY, body TEXT,
                                       after BIGINT REFERENCES notes (id) DEFERRABLE INITIALLY DEFERRED)";
        db.run(move |tx| async move { tx.batch(sql).await }.boxed()).await;
        db
    }

    async fn note(db: &Database, id: i64, body: String) -> Result<()> {
        let sql = "INSERT INTO notes (id, body) VALUES ($1, $2)";
        db.transaction(move |tx| async move { tx.execute(sql, params![id, body]).await.map(drop) }.boxed())
            .await
    }

    async fn notes(db: &Database) -> Vec<i64> {
        let sql = "SELECT id FROM notes ORDER BY id";
        let rows: Result<_> = db.read(move |tx| async move { tx.query(sql, &[]).await }.boxed()).await;
        rows.unwrap().iter().map(|row| row.get("id").unwrap()).collect()
    }

    /// Keeps the writer busy until it is told otherwise, so that what comes meanwhile shares a commit. The future
    /// is that of the work that holds it, which would be left out if nobody waited for it.
    async fn hold(db: &Database) -> (std::sync::mpsc::Sender<()>, BoxFuture<'_, Result<()>>) {
        let (release, held) = std::sync::mpsc::channel();
        let (begin, begun) = oneshot::channel();
        let holding = db.transaction(move |_| {
            async move {
                begin.send(()).unwrap();
                held.recv().unwrap();
                Ok(())
            }
            .boxed()
        });
        let holding = queued(holding);
        // Else the writer might take some of what comes after into the same commit.
        begun.await.unwrap();
        (release, holding)
    }

    /// Polled once, so that it waits for the writer.
    fn queued<'f, T>(work: impl Future<Output = Result<T>> + Send + 'f) -> BoxFuture<'f, Result<T>> {
        let mut work = work.boxed();
        assert!(work.as_mut().now_or_never().is_none());
        work
    }

    #[tokio::test]
    async fn the_writer_syncs_every_commit() {
        let db = fresh().await;
        let row = db.run(|tx| async move { tx.get("PRAGMA synchronous", &[]).await }.boxed()).await;
        assert_eq!(row.get::<i64>("synchronous").unwrap(), 2);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn the_files_are_their_owner_s_only() {
        use std::os::unix::fs::PermissionsExt;
        let db = fresh().await;
        let modes = ["relay.db", "relay.db-wal", "relay.db-shm"]
            .map(|name| std::fs::metadata(db.dir.path().join(name)).unwrap().permissions().mode() & 0o777);
        assert_eq!(modes, [0o600; 3]);
    }

    #[tokio::test]
    async fn work_that_awaits_something_else_is_given_up() {
        let db = fresh().await;
        let outcome: Result<()> = db
            .db
            .transaction(|tx| {
                async move {
                    tx.execute("INSERT INTO notes (id) VALUES (1)", &[]).await?;
                    tokio::task::yield_now().await;
                    std::future::pending().await
                }
                .boxed()
            })
            .await;
        assert_eq!((is_misuse(&outcome), notes(&db.db).await), (true, vec![]));
    }

    #[tokio::test]
    async fn work_whose_caller_gave_up_before_its_turn_is_left_out() {
        let db = fresh().await;
        let (release, _holding) = hold(&db.db).await;
        drop(queued(note(&db.db, 1, String::new())));
        release.send(()).unwrap();
        note(&db.db, 2, String::new()).await.unwrap();
        assert_eq!(notes(&db.db).await, [2]);
    }

    #[tokio::test]
    async fn a_commit_that_fails_fails_everyone_who_shares_it() {
        let db = fresh().await;
        let (release, _holding) = hold(&db.db).await;
        let orphan = "INSERT INTO notes (id, after) VALUES (2, 99)";
        let good = queued(note(&db.db, 1, String::new()));
        let bad = queued(db.db.transaction(move |tx| async move { tx.execute(orphan, &[]).await }.boxed()));
        release.send(()).unwrap();
        let outcomes = (is_unavailable(&good.await), is_unavailable(&bad.await));
        let afterwards = note(&db.db, 3, String::new()).await.is_ok();
        assert_eq!((outcomes, afterwards, notes(&db.db).await), ((true, true), true, vec![3]));
    }

    #[tokio::test]
    async fn a_full_disk_fails_what_shares_the_transaction_and_heals() {
        let db = fresh().await;
        db.run(|tx| async move { tx.query("PRAGMA max_page_count = 100", &[]).await.map(drop) }.boxed())
            .await;
        let (release, _holding) = hold(&db.db).await;
        let before = queued(note(&db.db, 1, String::new()));
        let filling = queued(note(&db.db, 2, "x".repeat(1_000_000)));
        let after = queued(note(&db.db, 3, String::new()));
        release.send(()).unwrap();
        let outcomes = [before.await, filling.await, after.await].map(|outcome| is_unavailable(&outcome));
        assert_eq!((outcomes, notes(&db.db).await), ([true, true, false], vec![3]));
        db.run(|tx| async move { tx.query("PRAGMA max_page_count = 100000", &[]).await.map(drop) }.boxed())
            .await;
        note(&db.db, 4, "x".repeat(1_000_000)).await.unwrap();
    }

    #[tokio::test]
    async fn after_an_io_error_nothing_is_written_until_the_file_is_sound() {
        let db = fresh().await;
        note(&db.db, 1, String::new()).await.unwrap();
        // What an I/O error does; none can be had from a healthy disk.
        db.run(|tx| {
            tx.sqlite().suspect = true;
            async move { Ok(()) }.boxed()
        })
        .await;
        let path = db.dir.path().join("relay.db");
        let sound = std::fs::read(&path).unwrap();
        std::fs::write(&path, vec![7; sound.len()]).unwrap();
        let refused = note(&db.db, 2, String::new()).await;
        std::fs::write(&path, sound).unwrap();
        note(&db.db, 3, String::new()).await.unwrap();
        assert_eq!((is_unavailable(&refused), notes(&db.db).await), (true, vec![1, 3]));
    }

    #[tokio::test]
    async fn closing_finishes_what_waits() {
        let db = fresh().await;
        let (release, _holding) = hold(&db.db).await;
        let waiting = queued(note(&db.db, 1, String::new()));
        let mut closing = Box::pin(db.db.close());
        assert!(closing.as_mut().now_or_never().is_none());
        release.send(()).unwrap();
        closing.await;
        let again = db.open_again().await.unwrap();
        assert_eq!((waiting.await.is_ok(), notes(&again).await), (true, vec![1]));
    }

    #[tokio::test]
    async fn a_file_that_is_no_database_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("relay.db");
        std::fs::write(&path, "something else".repeat(100)).unwrap();
        let opened = Database::open("sqlite:relay.db", dir.path()).await;
        assert_eq!(
            (is_unavailable(&opened), std::fs::read(&path).unwrap()),
            (true, "something else".repeat(100).into())
        );
    }

    #[tokio::test]
    async fn a_damaged_database_is_refused() {
        let db = fresh().await;
        for id in 0..50 {
            note(&db.db, id, "x".repeat(2000)).await.unwrap();
        }
        db.db.close().await;
        let path = db.dir.path().join("relay.db");
        let mut bytes = std::fs::read(&path).unwrap();
        let pages = bytes.len() / 4096;
        bytes[(pages - 5) * 4096..].fill(7);
        std::fs::write(&path, bytes).unwrap();
        assert!(matches!(db.open_again().await, Err(StoreError::Schema(_) | StoreError::Unavailable(_))));
    }
}
