//! The account behind a provider's credentials.

use async_trait::async_trait;

use crate::{ProviderError, nameless};

/// Tries credentials without changing anything.
#[async_trait]
pub trait AccountChecker: Send + Sync {
    /// What the provider says of the account.
    async fn check(&self) -> Result<AccountInfo, ProviderError>;
}

/// An account as the provider sees it, in its own words.
#[derive(Clone, PartialEq, Eq)]
pub struct AccountInfo {
    pub name: String,
    /// Such as `active` or `suspended`.
    pub status: String,
    /// `Trial`, `Full`, or `unknown` where the credentials may not ask.
    pub kind: String,
}

nameless!(AccountInfo);
