//! The writer's thread: group commit. Whoever waits shares one transaction and one sync, each inside a savepoint
//! of its own. Nobody hears of success before the commit is synced.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use super::Connection;
use crate::{Conn, Result, StoreError};

/// Units of work that share a commit at most.
const BATCH: usize = 512;

pub(super) enum Job {
    Unit(Unit),
    /// Finish what waits, take nothing more.
    Stop,
}

/// A unit of work without its types: runs on the connection, or hears why there is none.
pub(super) type Unit = Box<dyn FnOnce(Result<&mut Conn, Cause>) -> Done + Send>;

/// Why a transaction failed, for all who took part in it.
type Cause = Arc<StoreError>;

pub(super) struct Done {
    keep: bool,
    /// Tells the caller, once the fate of the transaction is known.
    tell: Box<dyn FnOnce(Result<(), Cause>)>,
}

pub(super) struct Writer {
    path: PathBuf,
    /// `None` after an I/O error, until a batch finds the database sound again.
    conn: Option<Conn>,
    jobs: mpsc::Receiver<Job>,
}

/// Packs `work` and the way back to its caller.
pub(super) fn unit<T, E, F>(work: F, reply: oneshot::Sender<Result<T, E>>) -> Unit
where
    F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    Box::new(move |conn| {
        let refused = |cause: Cause| E::from(StoreError::shared(&cause));
        let outcome = match conn {
            // Its caller has given up.
            Ok(_) if reply.is_closed() => Err(StoreError::closed().into()),
            Ok(conn) => conn.run_at_once(work),
            Err(cause) => Err(refused(cause)),
        };
        let keep = outcome.is_ok();
        // A refusal too counts only if the state that it was decided on came to be.
        let tell = move |committed: Result<(), Cause>| {
            _ = reply.send(committed.map_err(refused).and(outcome));
        };
        Done { keep, tell: Box::new(tell) }
    })
}

impl Writer {
    pub(super) fn new(path: PathBuf, conn: Conn, jobs: mpsc::Receiver<Job>) -> Self {
        Self { path, conn: Some(conn), jobs }
    }

    /// Ends when all handles are gone or one says [`Job::Stop`].
    pub(super) fn run(mut self) {
        let mut jobs = Vec::with_capacity(BATCH);
        while self.jobs.blocking_recv_many(&mut jobs, BATCH) > 0 {
            let mut units = Vec::with_capacity(jobs.len());
            for job in jobs.drain(..) {
                match job {
                    Job::Unit(unit) => units.push(unit),
                    Job::Stop => self.jobs.close(),
                }
            }
            self.serve(units.into_iter());
        }
        if let Some(conn) = &mut self.conn {
            // Closing checkpoints too, unless somebody else reads.
            _ = conn.sqlite().batch("PRAGMA wal_checkpoint(TRUNCATE)");
        }
    }

    /// Several transactions are needed only if SQLite gives one up half-way.
    fn serve(&mut self, mut units: std::vec::IntoIter<Unit>) {
        while units.len() > 0 {
            match self.begin() {
                Ok(()) => self.share_commit(&mut units),
                Err(error) => {
                    let cause = Arc::new(error);
                    units.by_ref().for_each(|unit| (unit(Err(Arc::clone(&cause))).tell)(Ok(())));
                }
            }
        }
    }

    fn begin(&mut self) -> Result<()> {
        let conn = match &mut self.conn {
            Some(conn) => conn,
            None => self.conn.insert(Connection::open_writer(&self.path)?),
        };
        conn.sqlite().execute("BEGIN IMMEDIATE", &[]).map(drop)
    }

    fn share_commit(&mut self, units: &mut std::vec::IntoIter<Unit>) {
        let Some(conn) = &mut self.conn else { return };
        let mut done = Vec::with_capacity(units.len());
        let ran = run(conn, units, &mut done);
        #[cfg(feature = "fault-ack-before-sync")]
        done.drain(..).for_each(|Done { tell, .. }| tell(Ok(())));
        let committed = ran.and_then(|()| conn.sqlite().execute("COMMIT", &[])).map_err(Arc::new);
        // After an I/O error nobody knows what the file holds: it is closed, and read again before it is trusted.
        let usable = conn.sqlite().is_autocommit() || conn.sqlite().batch("ROLLBACK").is_ok();
        if !usable || conn.sqlite().suspect {
            self.conn = None;
        }
        for Done { tell, .. } in done {
            tell(committed.as_ref().map(drop).map_err(Arc::clone));
        }
    }
}

/// Runs units until there are no more; an error says that the transaction is lost with all that ran in it.
fn run(conn: &mut Conn, units: &mut std::vec::IntoIter<Unit>, done: &mut Vec<Done>) -> Result<()> {
    for unit in units {
        conn.sqlite().execute("SAVEPOINT unit", &[])?;
        let outcome = unit(Ok(conn));
        let keep = outcome.keep;
        done.push(outcome);
        if conn.sqlite().is_autocommit() {
            // A full disk or an I/O error makes SQLite roll back everything, the neighbours' work too.
            return Err(StoreError::Unavailable("the transaction was given up".into()));
        }
        if !keep {
            conn.sqlite().execute("ROLLBACK TO unit", &[])?;
        }
        conn.sqlite().execute("RELEASE unit", &[])?;
    }
    Ok(())
}
