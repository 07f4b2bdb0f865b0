//! Databases for tests: a file in a folder of its own, or a schema of its own in the Postgres that
//! `TEST_POSTGRES_URL` names.

use std::path::Path;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use shared::ids::{AgentId, MessageId};
use shared::model::Timestamp;
use tempfile::TempDir;

use crate::{Backend, Conn, Database, Result, StoreError, postgres};

pub(crate) struct TestDatabase {
    pub(crate) db: Database,
    pub(crate) url: String,
    pub(crate) dir: TempDir,
}

impl TestDatabase {
    /// Runs a unit of work that is meant to succeed.
    pub(crate) async fn run<T, F>(&self, work: F) -> T
    where
        F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T>> + Send + 'static,
        T: Send + 'static,
    {
        self.db.transaction(work).await.unwrap()
    }

    /// Another handle on the same database, as a second start of the relay would open it.
    pub(crate) async fn open_again(&self) -> Result<Database> {
        Database::open(&self.url, self.dir.path()).await
    }
}

/// A fresh database. `None`, said aloud, if there is no Postgres to make one in.
pub(crate) async fn open(backend: Backend) -> Option<TestDatabase> {
    let dir = tempfile::tempdir().unwrap();
    let url = match backend {
        Backend::Sqlite => "sqlite:relay.db".to_owned(),
        Backend::Postgres => fresh_schema(dir.path()).await?,
    };
    let db = Database::open(&url, dir.path()).await.unwrap();
    Some(TestDatabase { db, url, dir })
}

async fn fresh_schema(base: &Path) -> Option<String> {
    let Some(server) = setting("TEST_POSTGRES_URL") else {
        assert!(setting("CI").is_none(), "TEST_POSTGRES_URL is not set");
        println!("skipped: TEST_POSTGRES_URL is not set");
        return None;
    };
    let schema = format!("t{}", MessageId::generate().as_str().replace('-', ""));
    let sql = format!("CREATE SCHEMA {schema}");
    let pool = postgres::Pool::open(&server, base).unwrap();
    let made: Result<()> =
        pool.run(postgres::Access::Write, move |tx| async move { tx.batch(&sql).await }.boxed()).await;
    made.unwrap();
    let separator = if server.contains('?') { '&' } else { '?' };
    Some(format!("{server}{separator}options=-csearch_path%3D{schema}"))
}

#[expect(clippy::disallowed_methods, reason = "a test database is named by the environment")]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

pub(crate) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

pub(crate) fn agent() -> AgentId {
    AgentId::default_agent()
}

pub(crate) fn is_misuse<T>(outcome: &Result<T>) -> bool {
    matches!(outcome, Err(StoreError::Misuse(_)))
}

pub(crate) fn is_unavailable<T>(outcome: &Result<T>) -> bool {
    matches!(outcome, Err(StoreError::Unavailable(_)))
}
