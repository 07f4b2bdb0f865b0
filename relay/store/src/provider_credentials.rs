//! The `provider_credentials` table: what the relay logs in with, encrypted by the caller. Nothing here can tell
//! what a secret is.

use shared::model::Timestamp;

use crate::value::{from_row, params};
use crate::{Conn, Result};

/// A row of `provider_credentials`.
#[derive(Clone, Debug, PartialEq)]
pub struct ProviderCredentials {
    pub provider: String,
    /// Part of what was encrypted, so that an older secret cannot be put back.
    pub version: i64,
    /// Which key it was encrypted with.
    pub key_id: String,
    pub nonce: String,
    pub sealed: String,
    /// The account's name with the provider; no secret.
    pub account: Option<String>,
    pub active: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

from_row!(ProviderCredentials {
    provider,
    version,
    key_id,
    nonce,
    sealed,
    account,
    active,
    created_at,
    updated_at,
});

/// Replaces the provider's; when the first came stays known.
pub async fn upsert(conn: &mut Conn, row: &ProviderCredentials) -> Result<()> {
    conn.execute(
        "INSERT INTO provider_credentials
           (provider, version, key_id, nonce, sealed, account, active, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (provider) DO UPDATE SET
           version = excluded.version, key_id = excluded.key_id, nonce = excluded.nonce,
           sealed = excluded.sealed, account = excluded.account, active = excluded.active,
           updated_at = excluded.updated_at",
        params![
            row.provider,
            row.version,
            row.key_id,
            row.nonce,
            row.sealed,
            row.account,
            row.active,
            row.created_at,
            row.updated_at,
        ],
    )
    .await
    .map(drop)
}

/// The provider's.
pub async fn find(conn: &mut Conn, provider: &str) -> Result<Option<ProviderCredentials>> {
    conn.find("SELECT * FROM provider_credentials WHERE provider = $1", params![provider]).await
}

/// All, by provider.
pub async fn list(conn: &mut Conn) -> Result<Vec<ProviderCredentials>> {
    conn.list("SELECT * FROM provider_credentials ORDER BY provider", &[]).await
}

/// Gives false if the provider has none.
pub async fn remove(conn: &mut Conn, provider: &str) -> Result<bool> {
    Ok(conn.execute("DELETE FROM provider_credentials WHERE provider = $1", params![provider]).await? == 1)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use rstest::rstest;

    use super::*;
    use crate::Backend;
    use crate::testing::{at, open};

    fn credentials(provider: &str) -> ProviderCredentials {
        ProviderCredentials {
            provider: provider.to_owned(),
            version: 1,
            key_id: "k1".to_owned(),
            nonce: "AAAA".to_owned(),
            sealed: "BBBB".to_owned(),
            account: Some("AC01".to_owned()),
            active: true,
            created_at: at(1),
            updated_at: at(1),
        }
    }

    #[rstest]
    #[tokio::test]
    async fn credentials_are_replaced_and_remember_their_beginning(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let first = credentials("twilio");
        let second = ProviderCredentials {
            version: 2,
            key_id: "k2".to_owned(),
            nonce: "CCCC".to_owned(),
            sealed: "DDDD".to_owned(),
            account: None,
            active: false,
            created_at: at(2),
            updated_at: at(2),
            ..first.clone()
        };
        let stored = ProviderCredentials { created_at: at(1), ..second.clone() };
        let expected = (None, Some(first.clone()), Some(stored));
        let found = db
            .run(move |tx| {
                async move {
                    let before = find(tx, "twilio").await?;
                    upsert(tx, &first).await?;
                    let known = find(tx, "twilio").await?;
                    upsert(tx, &second).await?;
                    Ok((before, known, find(tx, "twilio").await?))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, expected);
    }

    #[rstest]
    #[tokio::test]
    async fn credentials_are_listed_until_they_are_removed(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let rows = [credentials("resend"), credentials("twilio")];
        let expected = (rows.to_vec(), [true, false], vec![rows[0].clone()]);
        let found = db
            .run(move |tx| {
                async move {
                    for row in rows.iter().rev() {
                        upsert(tx, row).await?;
                    }
                    let both = list(tx).await?;
                    let removed = [remove(tx, "twilio").await?, remove(tx, "twilio").await?];
                    Ok((both, removed, list(tx).await?))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, expected);
    }
}
