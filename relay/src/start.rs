//! From settings to a relay that listens, and back.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use relay_core::clock::{Clock, SystemClock};
use relay_core::signature::Keys;
use relay_providers::http::Limits;
use relay_providers::simulated::{CarrierSettings, Hooks};
use relay_providers::{ProviderSettings, Providers, Secret};
use relay_store::{Database, StoreError};
use shared::model::Channel;
use shared::paths::Paths;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use crate::app::{Addresses, App, Current, Parts, webhook_url};
use crate::config::{Config, ConfigError, Mode};
use crate::http::client_address::IpNet;
use crate::http::layers::EdgeSettings;
use crate::http::limits::{RateSettings, per_minute};
use crate::http::port;
use crate::http::server::{self, ServerLimits};
use crate::keys::KeyPlace;
use crate::lock::{self, Lock, LockProblem};
use crate::observability::events;
use crate::services::agents::{self, Directory};
use crate::services::credentials::{self, CredentialsProblem, Vault};
use crate::services::policy::Rules;
use crate::services::transcripts::{self, Transcripts};
use crate::services::{ServiceError, calls, charges, inbox, outbox, provisioning};
use crate::{http, ipc, random};

/// How long a stop may take before what is left is abandoned.
const DRAIN: Duration = Duration::from_secs(10);

/// What a relay is started with, besides its settings.
pub struct Options {
    pub paths: Paths,
    pub clock: Arc<dyn Clock>,
}

impl Options {
    /// The system's clock.
    #[must_use]
    pub fn new(paths: Paths) -> Self {
        Self { paths, clock: Arc::new(SystemClock) }
    }
}

/// Why the relay did not start. One line for the operator.
#[derive(Debug, thiserror::Error)]
pub enum StartProblem {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Lock(#[from] LockProblem),
    #[error("cannot {0}")]
    Port(String),
    #[error("cannot use the folder {path}")]
    Folder { path: String, source: std::io::Error },
    #[error("cannot open the database")]
    Database(#[source] StoreError),
    #[error("cannot open the local socket {path}")]
    Socket { path: String, source: std::io::Error },
    #[error(transparent)]
    Credentials(#[from] CredentialsProblem),
    #[error("cannot take up where the last run ended")]
    Recover(#[from] ServiceError),
}

/// A relay that listens.
pub struct Running {
    app: App,
    // Held until everything else is gone.
    _lock: Lock,
}

impl Running {
    /// Where the two listeners are.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        self.app.addresses
    }

    /// The use cases' state, for callers in the same process.
    #[must_use]
    pub fn app(&self) -> &App {
        &self.app
    }

    /// Stops accepting, lets what is in flight finish, and closes the database.
    pub async fn stop(self) {
        events::stopping();
        self.app.stop.cancel();
        self.app.tasks.close();
        // What does not end in time is dropped with the process; nothing that was acknowledged depends on it.
        let _ = tokio::time::timeout(DRAIN, self.app.tasks.wait()).await;
        self.app.db.close().await;
    }
}

/// Starts a relay. Returns when it listens.
pub async fn start(config: Config, options: Options) -> Result<Running, StartProblem> {
    let started = Instant::now();
    let data_dir = options.paths.data_dir.clone();
    shared::ipc::private_folder(&data_dir)
        .map_err(|source| StartProblem::Folder { path: data_dir.display().to_string(), source })?;
    let lock = lock::acquire(&options.paths.lock_file())?;
    let edge = edge(&config)?;
    let public = bind(config.public.listen, "public.listen")?;
    let admin = bind(config.admin.listen, "admin.listen")?;
    let addresses = Addresses { public: local(&public)?, admin: local(&admin)? };
    let db = open_database(&config, &data_dir).await?;
    agents::ensure_first_agents(&db, &config, options.clock.now()).await?;
    let profiles = agents::load(&db, config.mode).await?;
    let rules = Arc::new(Rules::new(&config)?);
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    let keys = KeyPlace::of(&options.paths);
    let (providers, webhook_keys) = match config.mode {
        Mode::Demo => simulated(&tasks, &stop),
        Mode::Live => {
            credentials::in_use(&Vault { db: &db, config: &config, keys: &keys }).await?.connect(&config)
        }
    };
    let (transcripts, pending) = Transcripts::queue();
    let public_base = config.public.url.clone().unwrap_or_else(|| local_url(&addresses));
    let app = App::new(Parts {
        config,
        db,
        providers: Current::new(providers),
        clock: options.clock,
        tasks,
        stop,
        public_base,
        webhook_keys: Current::new(webhook_keys),
        keys,
        rules,
        agents: Directory::new(profiles),
        inboxes: inbox::Inboxes::default(),
        recording: Arc::default(),
        due: Notify::new(),
        live_calls: crate::services::live_calls::LiveCalls::default(),
        transcripts,
        started,
        addresses,
        sessions: crate::app::SessionCount::default(),
    });
    app.tasks.spawn(transcripts::write_all(app.db.clone(), pending, app.stop.clone()));
    recover(&app).await?;
    let socket = options.paths.socket();
    let listener = shared::ipc::listen(&socket)
        .await
        .map_err(|source| StartProblem::Socket { path: socket.display().to_string(), source })?;
    attach_simulated_numbers(&app);
    serve(&app, &edge, public, admin);
    app.tasks.spawn(ipc::serve(app.clone(), listener));
    app.tasks.spawn(outbox::send_when_due(app.clone()));
    app.tasks.spawn(charges::ask_for_prices(app.clone()));
    app.tasks.spawn(agents::keep_current(app.clone()));
    tell_start(&app);
    Ok(Running { app, _lock: lock })
}

/// Before anything new can come in: what a dead process left is brought to an end.
async fn recover(app: &App) -> Result<(), StartProblem> {
    inbox::release_all(app).await?;
    outbox::recover(app).await?;
    calls::recover(app).await?;
    provisioning::fill_whatsapp_pool(app).await?;
    provisioning::recover(app).await?;
    Ok(())
}

fn serve(app: &App, edge: &EdgeSettings, public: TcpListener, admin: TcpListener) {
    let limits = ServerLimits {
        max_connections: app.config.http.max_connections,
        max_per_address: app.config.http.max_connections_per_address,
        trusted_proxies: edge.trusted_proxies.clone(),
        ..ServerLimits::default()
    };
    for (listener, router) in [(public, http::public(app, edge)), (admin, http::admin(app, edge))] {
        let (stop, tasks) = (app.stop.clone(), app.tasks.clone());
        app.tasks.spawn(server::serve(listener, router, limits.clone(), stop, tasks));
    }
}

fn tell_start(app: &App) {
    events::started(app.addresses.public, app.addresses.admin, app.config.mode.as_str());
    if !app.can_be_called() {
        events::not_reachable();
    }
}

fn edge(config: &Config) -> Result<EdgeSettings, ConfigError> {
    let http = &config.http;
    Ok(EdgeSettings {
        trusted_proxies: networks("http.trusted_proxies", &http.trusted_proxies)?,
        cors_origins: http.cors_origins.clone(),
        limits: RateSettings {
            per_client: per_minute(http.requests_per_minute_per_client),
            all_clients: per_minute(http.requests_per_minute),
            failed_webhooks: per_minute(http.failed_webhooks_per_minute_per_client),
        },
        https: config.public.url.as_ref().is_some_and(|url| url.scheme() == "https"),
        admin_allow: networks("admin.allow", &config.admin.allow)?,
        admin_hosts: config.admin.hosts.clone(),
    })
}

fn networks(key: &'static str, texts: &[String]) -> Result<Vec<IpNet>, ConfigError> {
    let read = |text: &String| {
        text.parse().map_err(|_| ConfigError::Value {
            key: key.to_owned(),
            problem: format!("`{text}` is no address or network"),
        })
    };
    texts.iter().map(read).collect()
}

fn bind(address: std::net::SocketAddr, setting: &'static str) -> Result<TcpListener, StartProblem> {
    port::bind(address, setting).map_err(|problem| StartProblem::Port(problem.to_string()))
}

fn local(listener: &TcpListener) -> Result<std::net::SocketAddr, StartProblem> {
    listener.local_addr().map_err(|problem| StartProblem::Port(format!("ask for the port: {problem}")))
}

/// The address under which the simulated carrier reaches the public listener.
fn local_url(addresses: &Addresses) -> Url {
    let public = addresses.public;
    let host = if public.ip().is_unspecified() { "127.0.0.1".to_owned() } else { public.ip().to_string() };
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    Url::parse(&format!("http://{host}:{}", public.port())).expect("an address and a port make a URL")
}

/// Opens the database that the settings name.
pub(crate) async fn open_database(config: &Config, data_dir: &Path) -> Result<Database, StartProblem> {
    Database::open(config.database.url.expose(), data_dir).await.map_err(StartProblem::Database)
}

/// The providers of demo mode, and the secret with which they sign what they send us.
fn simulated(tasks: &TaskTracker, stop: &CancellationToken) -> (Providers, Keys) {
    let token = Secret::new(random::hex::<16>());
    let keys = Keys::new(token.expose());
    let settings = CarrierSettings {
        account_sid: format!("AC{}", random::hex::<16>()),
        auth_token: token,
        spawn: tasks.clone(),
        cancel: stop.clone(),
    };
    (relay_providers::build(ProviderSettings::Simulated(settings), Limits::default()), keys)
}

/// Tells the simulated carrier which number posts where, as a person would in a real carrier's console.
fn attach_simulated_numbers(app: &App) {
    let providers = app.providers();
    let Some(carrier) = &providers.carrier else { return };
    for profile in app.agents.all() {
        let url = |route: &str| webhook_url(&app.public_base, &profile.agent.id, route);
        let number = profile.number(Channel::Voice).or_else(|| profile.number(Channel::Sms));
        if let Some(number) = number {
            let hooks =
                Hooks { sms_url: url("sms"), voice_url: url("voice"), status_url: url("call-status") };
            carrier.attach(number, hooks);
        }
        if let Some(sender) = profile.number(Channel::Whatsapp) {
            carrier.attach_whatsapp(sender, url("whatsapp"));
        }
    }
}
