//! The accounts that the relay has with providers: tried, kept encrypted, taken into use.
//!
//! Called by the local socket, the command line and the start. What is secret goes from the caller into the row and
//! from there to the provider: it is never in an answer, an error, the audit log or any other log.

mod provider;
mod sealing;
mod twilio;

use futures_util::FutureExt;
use relay_store::provider_credentials::{self, ProviderCredentials};
use relay_store::{Database, StoreError};
use serde::Serialize;
use shared::model::Timestamp;
use shared::protocol::{ErrorCode, ProviderRegistered, RegisterProvider};

pub(crate) use self::provider::{Field, Kind, Provider};
pub(crate) use self::twilio::Account;
use super::ServiceError;
use super::audit::{self, Act};
use super::identity::Admin;
use crate::app::App;
use crate::config::{Config, Mode};
use crate::keys::{KeyPlace, KeyProblem, LockedKeys};
use crate::observability::events;

/// Why credentials cannot be stored or used. One line for the operator.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsProblem {
    #[error(
        "live mode has no Twilio account: set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN, or run `comms-relay \
         provider set twilio`, or go back to `mode = \"demo\"`"
    )]
    NoAccount,
    #[error("there is no key to replace: one is made with the next credentials that are stored")]
    NoKey,
    #[error(
        "the credentials stored for {provider} are encrypted with another key ({key_id}): bring that key back, or \
         run `comms-relay provider set {provider}`"
    )]
    OtherKey { provider: String, key_id: String },
    #[error(
        "the credentials stored for {provider} were changed or moved and cannot be opened: run `comms-relay \
         provider set {provider}`"
    )]
    Tampered { provider: String },
    #[error(transparent)]
    Key(#[from] KeyProblem),
    #[error(transparent)]
    Service(#[from] ServiceError),
}

impl From<StoreError> for CredentialsProblem {
    fn from(problem: StoreError) -> Self {
        Self::Service(problem.into())
    }
}

impl From<CredentialsProblem> for ServiceError {
    fn from(problem: CredentialsProblem) -> Self {
        let CredentialsProblem::Service(problem) = problem else {
            events::credentials_unusable(&problem);
            let message = format!("Nothing was stored: {problem}.");
            return Self::refused(
                ErrorCode::Internal,
                message,
                "The person who runs the relay must see to it.",
            );
        };
        problem
    }
}

/// What credentials are kept with.
#[derive(Clone, Copy)]
pub(crate) struct Vault<'a> {
    pub(crate) db: &'a Database,
    pub(crate) config: &'a Config,
    pub(crate) keys: &'a KeyPlace,
}

/// What is known of stored credentials.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Stored {
    pub(crate) provider: String,
    pub(crate) active: bool,
    pub(crate) account: Option<String>,
    pub(crate) version: i64,
    pub(crate) since: Timestamp,
}

/// Credentials on their way into the table.
struct Checked {
    provider: Provider,
    account: Account,
    plaintext: Vec<u8>,
    /// What the provider calls the account, if it was asked.
    name: Option<String>,
    activate: bool,
}

/// Stores an account's credentials, and takes them into use if this relay is live and its settings hold no others.
pub(crate) async fn register(
    app: &App,
    admin: &Admin,
    call: RegisterProvider,
) -> Result<ProviderRegistered, ServiceError> {
    let vault = Vault { db: &app.db, config: &app.config, keys: &app.keys };
    let checked = check(&vault, call).await?;
    let keys = app.keys.lock().await.map_err(CredentialsProblem::from)?;
    store(&vault, &keys, &checked, (admin, app.now())).await?;
    let is_used =
        checked.activate && app.config.mode == Mode::Live && Account::of_settings(&app.config).is_none();
    if is_used {
        // While the lock is held, so that the last that was stored is the one in use.
        let (providers, webhook_keys) = checked.account.connect(&app.config);
        app.providers.set(providers);
        app.webhook_keys.set(webhook_keys);
        events::account_changed(checked.provider.name());
    }
    Ok(checked.registered(if is_used { "active" } else { "stored" }))
}

/// Stores an account's credentials for the next start.
pub(crate) async fn set(
    vault: &Vault<'_>,
    admin: &Admin,
    call: RegisterProvider,
    now: Timestamp,
) -> Result<ProviderRegistered, CredentialsProblem> {
    let checked = check(vault, call).await?;
    let keys = vault.keys.lock().await?;
    store(vault, &keys, &checked, (admin, now)).await?;
    Ok(checked.registered("stored"))
}

/// What is stored, by provider.
pub(crate) async fn list(db: &Database) -> Result<Vec<Stored>, CredentialsProblem> {
    let rows = db.read(|conn| provider_credentials::list(conn).boxed()).await?;
    Ok(rows.into_iter().map(Stored::from).collect())
}

/// Asks the provider about the account that a live relay would use, and gives its name.
pub(crate) async fn test(vault: &Vault<'_>, provider: Provider) -> Result<String, CredentialsProblem> {
    let account = match Account::of_settings(vault.config) {
        Some(account) => account,
        None => stored(vault, provider).await?.ok_or(ServiceError::NotFound("provider"))?.1,
    };
    Ok(account.check(vault.config).await?)
}

/// Forgets a provider's credentials. A relay that runs keeps what it has until it ends.
pub(crate) async fn remove(
    vault: &Vault<'_>,
    admin: &Admin,
    provider: Provider,
    now: Timestamp,
) -> Result<(), CredentialsProblem> {
    let _keys = vault.keys.lock().await?;
    let by = admin.actor().to_owned();
    vault
        .db
        .transaction(move |tx| {
            async move {
                audit::append(tx, now, Act(&by, "provider.removed", provider.name()), &[]).await?;
                if provider_credentials::remove(tx, provider.name()).await? {
                    return Ok(());
                }
                Err(ServiceError::NotFound("provider").into())
            }
            .boxed()
        })
        .await
}

/// Encrypts everything with another key and forgets the old one. Gives how many rows there were.
pub(crate) async fn rotate_key(
    vault: &Vault<'_>,
    admin: &Admin,
    now: Timestamp,
) -> Result<usize, CredentialsProblem> {
    let keys = vault.keys.lock().await?;
    sealing::rotate(vault.db, &keys, (admin, now)).await
}

/// The account of live mode: the one of the settings, else the one that is stored and active.
pub(crate) async fn in_use(vault: &Vault<'_>) -> Result<Account, CredentialsProblem> {
    if let Some(account) = Account::of_settings(vault.config) {
        return Ok(account);
    }
    match stored(vault, Provider::Twilio).await? {
        Some((row, account)) if row.active => Ok(account),
        Some(_) | None => Err(CredentialsProblem::NoAccount),
    }
}

async fn check(vault: &Vault<'_>, call: RegisterProvider) -> Result<Checked, ServiceError> {
    let provider = Provider::named(&call.provider)?;
    provider.check(&call.credentials)?;
    let account = Account::of(&call.credentials).expect("what an account must have has been checked");
    let name = match call.verify {
        Some(false) => None,
        Some(true) | None => Some(account.check(vault.config).await.map_err(nothing_stored)?),
    };
    let plaintext = serde_json::to_vec(&call.credentials).expect("texts can be written as JSON");
    Ok(Checked { provider, account, plaintext, name, activate: call.activate.unwrap_or(true) })
}

fn nothing_stored(problem: ServiceError) -> ServiceError {
    let mut error = problem.to_api_error();
    error.message += " Nothing was stored.";
    if error.code == ErrorCode::ProviderUnavailable {
        error.hint += " Or have them stored untried, with verify false.";
    }
    ServiceError::Refused(Box::new(error))
}

async fn store(
    vault: &Vault<'_>,
    keys: &LockedKeys,
    checked: &Checked,
    (admin, now): (&Admin, Timestamp),
) -> Result<(), CredentialsProblem> {
    let key = keys.read_or_make().await?.current().clone();
    let (provider, active) = (checked.provider.name(), checked.activate);
    let (account, plaintext) = (checked.name.clone(), checked.plaintext.clone());
    let by = admin.actor().to_owned();
    vault
        .db
        .transaction(move |tx| {
            async move {
                let yes_or_no = |is_so| if is_so { "yes" } else { "no" };
                let detail = [("active", yes_or_no(active)), ("verified", yes_or_no(account.is_some()))];
                audit::append(tx, now, Act(&by, "provider.registered", provider), &detail).await?;
                let before = provider_credentials::find(tx, provider).await?;
                if !active && before.as_ref().is_some_and(|before| before.active) {
                    return Err(would_lose_the_active().into());
                }
                let version = before.map_or(0, |before| before.version) + 1;
                let sealed = sealing::seal(&key, (provider, version), &plaintext);
                let row = ProviderCredentials {
                    provider: provider.to_owned(),
                    version,
                    key_id: sealed.key_id,
                    nonce: sealed.nonce,
                    sealed: sealed.text,
                    account,
                    active,
                    created_at: now,
                    updated_at: now,
                };
                provider_credentials::upsert(tx, &row).await?;
                Ok(())
            }
            .boxed()
        })
        .await
}

/// There is one row for each provider.
fn would_lose_the_active() -> ServiceError {
    let problem = "these would replace the active ones; leave it out, or have those removed first".to_owned();
    ServiceError::Invalid { field: "activate", problem }
}

/// What is stored for a provider, opened.
async fn stored(
    vault: &Vault<'_>,
    provider: Provider,
) -> Result<Option<(Stored, Account)>, CredentialsProblem> {
    // Else the key could be replaced between a look at the row and one at the keys.
    let keys = vault.keys.lock().await?;
    let row = vault.db.read(move |conn| provider_credentials::find(conn, provider.name()).boxed()).await?;
    let Some(row) = row else { return Ok(None) };
    let plaintext = sealing::open(keys.read().await?.as_ref(), &row)?;
    let account = serde_json::from_slice(&plaintext).ok().and_then(|given| Account::of(&given));
    let account = account.ok_or_else(|| CredentialsProblem::Tampered { provider: row.provider.clone() })?;
    Ok(Some((row.into(), account)))
}

impl Checked {
    fn registered(self, status: &str) -> ProviderRegistered {
        ProviderRegistered {
            provider: self.provider.name().to_owned(),
            status: status.to_owned(),
            capabilities: self.provider.channels(),
            account: self.name,
        }
    }
}

impl From<ProviderCredentials> for Stored {
    fn from(row: ProviderCredentials) -> Self {
        let ProviderCredentials { provider, active, account, version, updated_at, .. } = row;
        Self { provider, active, account, version, since: updated_at }
    }
}
