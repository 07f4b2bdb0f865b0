//! An axum route that parses a form, checks its HMAC-SHA1, and answers after one synced insert; whoever waits
//! shares the sync.

use std::thread;

use anyhow::Result;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::serve::ListenerExt;
use data_encoding::BASE64;
use ring::hmac;
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use crate::twilio::{self, PUBLIC_URL};

const PATH: &str = "/webhooks/default/sms";
/// Jobs that may wait, and that share a sync.
const QUEUE: usize = 1024;
const BATCH: usize = 512;

#[derive(Clone)]
struct App {
    key: hmac::Key,
    queue: mpsc::Sender<Job>,
}

struct Job {
    fields: [String; 4],
    done: oneshot::Sender<bool>,
}

pub(crate) async fn serve(database: &str) -> Result<()> {
    let connection = Connection::open(database)?;
    connection.execute_batch(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
         CREATE TABLE inbound(id INTEGER PRIMARY KEY, sid TEXT UNIQUE, sender TEXT, recipient TEXT, body TEXT) STRICT;",
    )?;
    let (queue, jobs) = mpsc::channel(QUEUE);
    thread::spawn(move || write(connection, jobs));
    let router = Router::new().route(PATH, post(receive)).with_state(App { key: twilio::key(), queue });
    // A socket that refuses the option is slower, not wrong.
    let listener = super::listen().await?.tap_io(|stream| drop(stream.set_nodelay(true)));
    Ok(axum::serve(listener, router).await?)
}

async fn receive(
    State(app): State<App>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<&'static str, StatusCode> {
    let form = verified(&app.key, &headers, &body).ok_or(StatusCode::FORBIDDEN)?;
    let field = |wanted: &str| {
        form.iter().find(|(name, _)| name == wanted).map_or_else(String::new, |(_, value)| value.clone())
    };
    let (done, stored) = oneshot::channel();
    let job = Job { fields: ["MessageSid", "From", "To", "Body"].map(field), done };
    app.queue.send(job).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    match stored.await {
        Ok(true) => Ok("<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response></Response>"),
        Ok(false) | Err(_) => Err(StatusCode::SERVICE_UNAVAILABLE),
    }
}

fn verified(key: &hmac::Key, headers: &HeaderMap, body: &[u8]) -> Option<Vec<(String, String)>> {
    let signature = BASE64.decode(headers.get("x-twilio-signature")?.as_bytes()).ok()?;
    let mut form: Vec<(String, String)> = form_urlencoded::parse(body).into_owned().collect();
    let signed = twilio::string_to_sign(&format!("{PUBLIC_URL}{PATH}"), &mut form);
    hmac::verify(key, signed.as_bytes(), &signature).ok()?;
    Some(form)
}

fn write(mut connection: Connection, mut jobs: mpsc::Receiver<Job>) {
    let mut batch = Vec::with_capacity(BATCH);
    while jobs.blocking_recv_many(&mut batch, BATCH) > 0 {
        let stored = store(&mut connection, &batch).is_ok();
        for job in batch.drain(..) {
            // Nobody waits any more: the load has ended.
            let _ = job.done.send(stored);
        }
    }
}

fn store(connection: &mut Connection, batch: &[Job]) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut insert = transaction
        .prepare_cached("INSERT INTO inbound(sid, sender, recipient, body) VALUES(?1, ?2, ?3, ?4)")?;
    for job in batch {
        insert.execute(job.fields.each_ref())?;
    }
    drop(insert);
    transaction.commit()
}
