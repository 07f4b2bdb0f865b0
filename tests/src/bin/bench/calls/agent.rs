//! An agent that holds many calls: it listens, and answers every turn at once.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use shared::ids::CallSid;
use shared::ipc::Client;
use shared::protocol::{ConfirmRead, Hello, ListenToCall, PROTOCOL_VERSION, PeerProgram, Speak};
use tokio::task::JoinSet;

/// A connection carries at most 64 requests at a time, and an agent has two under way.
const CALLS_A_CONNECTION: usize = 30;
const WAIT_SECONDS: u64 = 25;

/// All agents of a run, on as many connections as they need. Dropped, they hang up.
pub(super) struct Agents {
    socket: PathBuf,
    client: Option<Client>,
    answering: JoinSet<Result<()>>,
}

/// How long an agent thought about its latest answer.
#[derive(Clone, Default)]
pub(super) struct OwnTime(Arc<AtomicU64>);

impl OwnTime {
    pub(super) fn get(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }

    fn set(&self, time: Duration) {
        self.0.store(time.as_nanos() as u64, Ordering::Relaxed);
    }
}

impl Agents {
    pub(super) fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned(), client: None, answering: JoinSet::new() }
    }

    /// Takes the call, and answers it from here on.
    pub(super) async fn claim(&mut self, call_sid: &str) -> Result<OwnTime> {
        if self.answering.len().is_multiple_of(CALLS_A_CONNECTION) {
            self.client = None;
        }
        let client = match self.client.take() {
            Some(client) => client,
            None => connect(&self.socket).await?,
        };
        self.client = Some(client.clone());
        let own_time = OwnTime::default();
        self.answering.spawn(answer(client, call_sid.parse()?, own_time.clone()));
        Ok(own_time)
    }
}

async fn connect(socket: &Path) -> Result<Client> {
    let client = PeerProgram { name: "bench".to_owned(), version: "1".to_owned() };
    let hello = Hello { protocol: PROTOCOL_VERSION, client, host: None, token: None };
    Client::connect(socket, &hello).await.context("failed to reach the relay")
}

/// As `comms-mcp` does it: each answer is confirmed, and the words that it asks for are one call.
async fn answer(client: Client, call_sid: CallSid, own_time: OwnTime) -> Result<()> {
    let listen = ListenToCall { call_sid: call_sid.clone(), wait_seconds: Some(WAIT_SECONDS) };
    let told = client.call(listen).await?.reply;
    let (mut turn_id, mut silent) = (told.turn_id.context("the call is over")?, told.turns.is_empty());
    loop {
        let heard_at = Instant::now();
        let body = if silent { String::new() } else { "Of course, Thursday at three it is.".to_owned() };
        let words = Speak {
            call_sid: call_sid.clone(),
            turn_id: Some(turn_id.clone()),
            body,
            digits: None,
            end_call: false,
            wait_seconds: Some(WAIT_SECONDS),
        };
        let confirm = ConfirmRead::Turns { call_sid: call_sid.clone(), until: turn_id };
        own_time.set(heard_at.elapsed());
        let (told, confirmed) = tokio::join!(client.call(words), client.call(confirm));
        confirmed?;
        let told = told?.reply;
        (turn_id, silent) = (told.turn_id, told.heard.is_empty());
    }
}
