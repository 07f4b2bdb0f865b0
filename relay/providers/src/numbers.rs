//! Telephone numbers that the account buys, points at our webhooks, and gives back.

use async_trait::async_trait;
use shared::ids::ExternalId;
use shared::model::{Micros, PhoneNumber};

use crate::{ProviderError, nameless};

/// Buys and releases numbers.
#[async_trait]
pub trait NumberProvisioner: Send + Sync {
    /// A few numbers that can be bought. Empty where the provider has none, or does not know the country.
    async fn search(&self, wanted: &NumberWanted) -> Result<Vec<PhoneNumber>, ProviderError>;

    /// Buys a number. From here on it costs money every month.
    async fn buy(&self, order: &NumberOrder) -> Result<BoughtNumber, ProviderError>;

    /// After an unknown outcome: has the account got a number with this label?
    async fn find_by_label(&self, label: &str) -> Result<Option<BoughtNumber>, ProviderError>;

    /// Has the account got this number?
    async fn find_number(&self, number: &PhoneNumber) -> Result<Option<BoughtNumber>, ProviderError>;

    /// Changes where a number posts.
    async fn configure(&self, number: &ExternalId, hooks: &NumberHooks) -> Result<(), ProviderError>;

    /// Gives a number back, for good. One that the account no longer has counts as given back.
    async fn release(&self, number: &ExternalId) -> Result<(), ProviderError>;
}

/// What kind of number is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberWanted {
    /// ISO 3166, two letters.
    pub country: String,
    pub area_code: Option<String>,
    pub sms: bool,
    pub voice: bool,
}

/// A number to be bought.
#[derive(Clone, PartialEq, Eq)]
pub struct NumberOrder {
    pub number: PhoneNumber,
    /// Ours alone, so that the purchase is found again if its answer is lost.
    pub label: String,
    pub hooks: NumberHooks,
}

/// Where a number posts what happens to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberHooks {
    pub sms_url: String,
    pub voice_url: String,
    /// Told of the end of calls to the number.
    pub status_url: String,
}

/// A number that the account has.
#[derive(Clone, PartialEq, Eq)]
pub struct BoughtNumber {
    pub external_id: ExternalId,
    pub number: PhoneNumber,
    /// Amount and currency, where the provider says them.
    pub monthly: Option<(Micros, String)>,
}

nameless!(NumberOrder, BoughtNumber);
