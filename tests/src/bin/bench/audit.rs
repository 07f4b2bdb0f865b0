//! The audit log: entries appended in shared transactions, and the whole chain verified from the database.

use std::time::Instant;

use anyhow::{Result, ensure};
use relay_core::audit::{Verifier, link};
use relay_store::{Conn, Database, FutureExt, audit_log};
use ring::digest::{Context, SHA256};
use rusqlite::{Connection, TransactionBehavior};
use shared::model::Timestamp;
use tests::process::Home;

use crate::ROUNDS;
use crate::report::{Figure, figure};
use crate::sample::median;

const TRANSACTIONS: usize = 200;
const ENTRIES_A_TRANSACTION: usize = 100;
const PAGE: i64 = 1000;
/// As long as an entry about a message is.
pub(crate) const ENTRY: &str = r#"{"at":"2026-11-22T06:43:54.123Z","actor":"provider:twilio","action":"message.received","subject":"0199a5b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b","detail":{"channel":"sms","contact":"known"}}"#;

/// Entries a second.
#[derive(Default)]
struct Rounds {
    appended: Vec<f64>,
    verified: Vec<f64>,
}

pub(crate) async fn measure() -> Result<()> {
    let (mut product, mut limit) = (Rounds::default(), Rounds::default());
    for _ in 0..ROUNDS {
        let home = Home::temp();
        let db = Database::open("sqlite:comms.db", home.path()).await?;
        product.appended.push(per_second(append(&db).await?));
        product.verified.push(per_second(verify(&db).await?));
        db.close().await;

        let mut connection = Connection::open(home.path().join("bare.db"))?;
        limit.appended.push(per_second(append_bare(&mut connection)?));
        limit.verified.push(per_second(verify_bare(&connection)?));
    }
    report(&product, &limit);
    Ok(())
}

fn per_second(start: Instant) -> f64 {
    (TRANSACTIONS * ENTRIES_A_TRANSACTION) as f64 / start.elapsed().as_secs_f64()
}

async fn append(db: &Database) -> Result<Instant> {
    let start = Instant::now();
    for _ in 0..TRANSACTIONS {
        db.transaction(|conn| append_some(conn).boxed()).await?;
    }
    Ok(start)
}

async fn append_some(conn: &mut Conn) -> relay_store::Result<()> {
    for _ in 0..ENTRIES_A_TRANSACTION {
        audit_log::append(conn, Timestamp::from_millis(0), ENTRY, link).await?;
    }
    Ok(())
}

async fn verify(db: &Database) -> Result<Instant> {
    let start = Instant::now();
    let (mut verifier, mut after) = (Verifier::new(), 0);
    let (seq, hash) = db.read(|conn| audit_log::head(conn).boxed()).await?;
    while after < seq {
        for row in db.read(move |conn| audit_log::page(conn, after, PAGE).boxed()).await? {
            verifier.check(row.seq, &row.entry, &row.hash)?;
            after = row.seq;
        }
    }
    verifier.finish(seq, &hash)?;
    Ok(start)
}

fn append_bare(connection: &mut Connection) -> Result<Instant> {
    connection.execute_batch(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
         CREATE TABLE entries(seq INTEGER PRIMARY KEY, entry TEXT, hash BLOB) STRICT;",
    )?;
    let start = Instant::now();
    let mut last = [0; 32];
    for _ in 0..TRANSACTIONS {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut insert = transaction.prepare_cached("INSERT INTO entries(entry, hash) VALUES(?1, ?2)")?;
        for _ in 0..ENTRIES_A_TRANSACTION {
            last = bare_link(&last, ENTRY)?;
            insert.execute((ENTRY, last))?;
        }
        drop(insert);
        transaction.commit()?;
    }
    Ok(start)
}

fn verify_bare(connection: &Connection) -> Result<Instant> {
    let start = Instant::now();
    let mut select = connection.prepare("SELECT entry, hash FROM entries ORDER BY seq")?;
    let mut rows = select.query(())?;
    let mut last = [0; 32];
    while let Some(row) = rows.next()? {
        last = bare_link(&last, row.get_ref(0)?.as_str()?)?;
        ensure!(row.get_ref(1)?.as_blob()? == last, "the bare chain broke");
    }
    Ok(start)
}

fn bare_link(last: &[u8; 32], entry: &str) -> Result<[u8; 32]> {
    let mut context = Context::new(&SHA256);
    context.update(last);
    context.update(entry.as_bytes());
    Ok(context.finish().as_ref().try_into()?)
}

fn report(product: &Rounds, limit: &Rounds) {
    let show = |name, product: &[f64], limit: &[f64]| {
        let (product, bare) = (median(product), Some(median(limit)));
        figure(&Figure { name, unit: "1/s", product, bare, aim: "ratio >= 0.5" });
    };
    show("audit entries appended, 100 a transaction", &product.appended, &limit.appended);
    show("audit entries verified", &product.verified, &limit.verified);
}
