//! What every use case may reach.

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use relay_core::clock::Clock;
use relay_core::signature::Keys;
use relay_providers::Providers;
use relay_store::Database;
use shared::ids::AgentId;
use shared::model::Timestamp;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use crate::config::{Config, Mode};
use crate::keys::KeyPlace;
use crate::services::agents::Directory;
use crate::services::inbox::Inboxes;
use crate::services::live_calls::LiveCalls;
use crate::services::policy::Rules;
use crate::services::transcripts::Transcripts;

/// The daemon's state; cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// The parts of [`App`].
pub struct Parts {
    pub config: Config,
    pub db: Database,
    pub providers: Current<Providers>,
    pub clock: Arc<dyn Clock>,
    /// Every background task; joined at shutdown.
    pub tasks: TaskTracker,
    /// Cancelled when the relay stops.
    pub stop: CancellationToken,
    /// The address that providers call, without a slash at the end.
    pub public_base: Url,
    /// What webhooks are signed with.
    pub webhook_keys: Current<Keys>,
    /// Where the key of the stored credentials is.
    pub keys: KeyPlace,
    /// Who may reach whom, how often and for how much.
    pub rules: Arc<Rules>,
    pub agents: Directory,
    pub inboxes: Inboxes,
    /// Held by whoever writes down what a provider has answered, from before anybody is told of it.
    pub recording: Arc<tokio::sync::RwLock<()>>,
    /// Rung when a message is taken in for later.
    pub due: Notify,
    pub live_calls: LiveCalls,
    pub transcripts: Transcripts,
    pub started: Instant,
    pub addresses: Addresses,
    pub sessions: SessionCount,
}

/// Something that may be replaced while the relay runs. Whoever has got it keeps what it got.
pub struct Current<T>(RwLock<Arc<T>>);

impl<T> Current<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(RwLock::new(Arc::new(value)))
    }

    pub(crate) fn get(&self) -> Arc<T> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn set(&self, value: T) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
    }
}

/// Where the two listeners really are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    pub public: SocketAddr,
    pub admin: SocketAddr,
}

/// How many local sessions are open.
#[derive(Debug, Default)]
pub struct SessionCount(AtomicUsize);

impl SessionCount {
    pub(crate) fn opened(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn closed(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl App {
    /// Joins the parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The providers of the moment; whoever has got them keeps them.
    #[must_use]
    pub fn providers(&self) -> Arc<Providers> {
        self.providers.get()
    }

    /// Whether providers can call us: in live mode without a public address they cannot.
    pub(crate) fn can_be_called(&self) -> bool {
        self.config.mode == Mode::Demo || self.config.public.url.is_some()
    }

    /// The public address of one of an agent's webhooks, such as `sms` or `call-status?session=…`.
    pub(crate) fn webhook_url(&self, agent: &AgentId, rest: &str) -> String {
        webhook_url(&self.public_base, agent, rest)
    }
}

impl Deref for App {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// The public address of a webhook under `base`.
pub(crate) fn webhook_url(base: &Url, agent: &AgentId, rest: &str) -> String {
    format!("{}/webhooks/{agent}/{rest}", base.as_str().trim_end_matches('/'))
}
