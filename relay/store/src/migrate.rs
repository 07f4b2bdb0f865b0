//! Brings a database to the schema of this version: every file in `migrations/`, in order, once. Called when a
//! database is opened. Refuses a database that another version has made.

use futures_util::FutureExt;
use include_dir::{Dir, include_dir};
use ring::digest::{SHA256, digest};

use crate::value::{from_row, params};
use crate::{Conn, Database, Result, StoreError};

static FILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../migrations");

/// One file of `migrations/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Migration {
    /// The file's name without `.sql`.
    pub(crate) name: String,
    pub(crate) sql: String,
}

/// A row of `schema_migrations`.
struct Applied {
    name: String,
    checksum: String,
}

from_row!(Applied { name, checksum });

impl Migration {
    /// SHA-256 in hexadecimal.
    fn checksum(&self) -> String {
        digest(&SHA256, self.sql.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The migrations of this version, in order.
pub(crate) fn embedded() -> Vec<Migration> {
    let mut migrations: Vec<_> = FILES.files().filter_map(migration).collect();
    migrations.sort_by(|a, b| a.name.cmp(&b.name));
    migrations
}

/// Applies what is missing, each in a transaction of its own.
pub(crate) async fn run(database: &Database, migrations: &[Migration]) -> Result<()> {
    let known = migrations.to_vec();
    let missing = database.transaction(move |tx| async move { missing(tx, known).await }.boxed()).await?;
    for migration in missing {
        database.transaction(move |tx| async move { apply(tx, &migration).await }.boxed()).await?;
    }
    Ok(())
}

fn migration(file: &include_dir::File<'_>) -> Option<Migration> {
    let name = file.path().to_str()?.strip_suffix(".sql")?.to_owned();
    // A checkout on Windows may end its lines differently, which must not change the checksum.
    Some(Migration { name, sql: file.contents_utf8()?.replace("\r\n", "\n") })
}

async fn missing(tx: &mut Conn, known: Vec<Migration>) -> Result<Vec<Migration>> {
    let applied = applied(tx).await?;
    for row in &applied {
        match known.iter().find(|migration| migration.name == row.name) {
            None => {
                let text =
                    format!("this database was made by a later version: it has the migration {}", row.name);
                return Err(StoreError::Schema(text));
            }
            Some(migration) if migration.checksum() != row.checksum => {
                let text = format!("this database was made with another text of the migration {}", row.name);
                return Err(StoreError::Schema(text));
            }
            Some(_) => {}
        }
    }
    Ok(known.into_iter().filter(|migration| applied.iter().all(|row| row.name != migration.name)).collect())
}

async fn apply(tx: &mut Conn, migration: &Migration) -> Result<()> {
    // Another relay may have been faster.
    if applied(tx).await?.iter().any(|row| row.name == migration.name) {
        return Ok(());
    }
    tx.batch(&migration.sql).await?;
    let sql = "INSERT INTO schema_migrations (name, checksum) VALUES ($1, $2)";
    tx.execute(sql, params![migration.name, migration.checksum()]).await.map(drop)
}

/// Two relays may start at once: one of them waits here.
async fn applied(tx: &mut Conn) -> Result<Vec<Applied>> {
    tx.lock("schema_migrations").await?;
    tx.batch("CREATE TABLE IF NOT EXISTS schema_migrations (name TEXT PRIMARY KEY, checksum TEXT NOT NULL)")
        .await?;
    tx.list("SELECT name, checksum FROM schema_migrations", &[]).await
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::Backend;
    use crate::testing::open;

    fn made(name: &str, sql: &str) -> Migration {
        Migration { name: name.to_owned(), sql: sql.to_owned() }
    }

    fn refusal<T>(outcome: Result<T>) -> Option<String> {
        if let Err(StoreError::Schema(text)) = outcome { Some(text) } else { None }
    }

    #[test]
    fn the_embedded_migrations_are_the_ones_in_the_folder() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations");
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
            .map(|path| {
                made(
                    path.file_stem().unwrap().to_str().unwrap(),
                    &std::fs::read_to_string(&path).unwrap().replace("\r\n", "\n"),
                )
            })
            .collect();
        files.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(embedded(), files);
    }

    #[rstest]
    #[tokio::test]
    async fn opening_again_applies_nothing_twice(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        db.open_again().await.unwrap();
        let names = db.run(|tx| async move { applied(tx).await }.boxed()).await;
        assert_eq!(names.len(), embedded().len());
    }

    #[rstest]
    #[tokio::test(flavor = "multi_thread")]
    async fn two_relays_may_start_at_once(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
        let Some(db) = open(backend).await else { return };
        let later =
            [embedded(), vec![made("9000_later", "CREATE TABLE later (id TEXT PRIMARY KEY)")]].concat();
        let other = db.open_again().await.unwrap();
        let (one, two) = tokio::join!(run(&db.db, &later), run(&other, &later));
        assert_eq!((one.is_ok(), two.is_ok()), (true, true), "{one:?} {two:?}");
    }

    #[rstest]
    #[tokio::test]
    async fn a_changed_migration_is_refused(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
        let Some(db) = open(backend).await else { return };
        let mut changed = embedded();
        changed[0].sql.push_str("-- changed");
        let text = format!("this database was made with another text of the migration {}", changed[0].name);
        assert_eq!(refusal(run(&db.db, &changed).await), Some(text));
    }

    #[rstest]
    #[tokio::test]
    async fn a_database_of_a_later_version_is_refused(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let later =
            [embedded(), vec![made("9000_later", "CREATE TABLE later (id TEXT PRIMARY KEY)")]].concat();
        run(&db.db, &later).await.unwrap();
        let text = "this database was made by a later version: it has the migration 9000_later".to_owned();
        assert_eq!(refusal(db.open_again().await), Some(text));
    }

    #[rstest]
    #[tokio::test]
    async fn a_migration_that_fails_leaves_nothing(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let broken = "CREATE TABLE later (id TEXT PRIMARY KEY); INSERT INTO nowhere (id) VALUES (1)";
        let outcome = run(&db.db, &[embedded(), vec![made("9000_broken", broken)]].concat()).await;
        let mended =
            [embedded(), vec![made("9000_broken", "CREATE TABLE later (id TEXT PRIMARY KEY)")]].concat();
        assert_eq!((outcome.is_err(), run(&db.db, &mended).await.is_ok()), (true, true));
    }
}
