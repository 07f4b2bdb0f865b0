//! Credentials as they stand in the table. Called by [`super`], with the keys locked.

use data_encoding::BASE64;
use futures_util::FutureExt;
use relay_core::sealed::{self, Context};
use relay_store::provider_credentials::{self, ProviderCredentials};
use relay_store::{Conn, Database};
use shared::model::Timestamp;

use super::super::audit::{self, Act};
use super::super::identity::Admin;
use super::CredentialsProblem;
use crate::keys::{Key, KeyRing, LockedKeys};
use crate::random;

/// The columns that hold a secret.
pub(super) struct Sealed {
    pub(super) key_id: String,
    pub(super) nonce: String,
    pub(super) text: String,
}

/// Encrypts a provider's credentials for one version of its row.
pub(super) fn seal(key: &Key, (provider, version): (&str, i64), plaintext: &[u8]) -> Sealed {
    let nonce = random::bytes();
    let text = sealed::seal(key.bytes(), nonce, &place(provider, version), plaintext);
    Sealed { key_id: key.id().to_owned(), nonce: BASE64.encode(&nonce), text: BASE64.encode(&text) }
}

/// Decrypts a row.
pub(super) fn open(ring: Option<&KeyRing>, row: &ProviderCredentials) -> Result<Vec<u8>, CredentialsProblem> {
    let provider = row.provider.clone();
    let Some(key) = ring.and_then(|ring| ring.find(&row.key_id)) else {
        return Err(CredentialsProblem::OtherKey { provider, key_id: row.key_id.clone() });
    };
    let nonce = BASE64.decode(row.nonce.as_bytes()).ok().and_then(|nonce| nonce.try_into().ok());
    let text = BASE64.decode(row.sealed.as_bytes()).ok();
    nonce
        .zip(text)
        .and_then(|(nonce, text)| {
            sealed::open(key.bytes(), nonce, &place(&provider, row.version), &text).ok()
        })
        .ok_or(CredentialsProblem::Tampered { provider })
}

/// Encrypts every row with another key. Until all are committed both keys are kept, so that whenever the program ends
/// each row has its key.
pub(super) async fn rotate(
    db: &Database,
    keys: &LockedKeys,
    (admin, now): (&Admin, Timestamp),
) -> Result<usize, CredentialsProblem> {
    let both = keys.read().await?.ok_or(CredentialsProblem::NoKey)?.with_another();
    keys.replace(&both).await?;
    let (by, ring) = (admin.actor().to_owned(), both.clone());
    let count = db
        .transaction::<_, CredentialsProblem, _>(move |tx| {
            async move {
                audit::append(tx, now, Act(&by, "key.rotated", ring.current().id()), &[]).await?;
                reseal_all(tx, &ring).await
            }
            .boxed()
        })
        .await?;
    keys.replace(&both.without_former()).await?;
    Ok(count)
}

async fn reseal_all(tx: &mut Conn, ring: &KeyRing) -> Result<usize, CredentialsProblem> {
    let rows = provider_credentials::list(tx).await?;
    let count = rows.len();
    for row in rows {
        let plaintext = open(Some(ring), &row)?;
        let version = row.version + 1;
        let Sealed { key_id, nonce, text } = seal(ring.current(), (&row.provider, version), &plaintext);
        let row = ProviderCredentials { version, key_id, nonce, sealed: text, ..row };
        provider_credentials::upsert(tx, &row).await?;
    }
    Ok(count)
}

fn place(provider: &str, version: i64) -> Context<'_> {
    Context { table: "provider_credentials", row: provider, version }
}

#[cfg(test)]
mod tests {
    use shared::paths::Paths;
    use tempfile::TempDir;

    use super::*;
    use crate::keys::KeyPlace;

    const AT: Timestamp = Timestamp::from_millis(1);

    async fn keys(home: &TempDir) -> LockedKeys {
        let paths = Paths::resolve(Some(home.path().to_owned())).unwrap();
        KeyPlace::of(&paths).lock().await.unwrap()
    }

    fn row(key: &Key, provider: &str, version: i64) -> ProviderCredentials {
        let Sealed { key_id, nonce, text } = seal(key, (provider, version), b"secret");
        ProviderCredentials {
            provider: provider.to_owned(),
            version,
            key_id,
            nonce,
            sealed: text,
            account: None,
            active: true,
            created_at: AT,
            updated_at: AT,
        }
    }

    fn said(opened: Result<Vec<u8>, CredentialsProblem>) -> String {
        match opened {
            Ok(plaintext) => String::from_utf8(plaintext).unwrap(),
            Err(CredentialsProblem::OtherKey { .. }) => "another key".to_owned(),
            Err(CredentialsProblem::Tampered { .. }) => "tampered".to_owned(),
            Err(problem) => problem.to_string(),
        }
    }

    #[tokio::test]
    async fn a_row_opens_only_as_it_was_written() {
        let home = tempfile::tempdir().unwrap();
        let ring = keys(&home).await.read_or_make().await.unwrap();
        let written = row(ring.current(), "twilio", 3);
        let moved = ProviderCredentials { provider: "other".to_owned(), ..written.clone() };
        let older = ProviderCredentials { version: 2, ..written.clone() };
        let nonsense = ProviderCredentials { nonce: "?".to_owned(), ..written.clone() };
        let another = ring.clone().with_another().without_former();
        let opened = [
            open(Some(&ring), &written),
            open(Some(&ring), &moved),
            open(Some(&ring), &older),
            open(Some(&ring), &nonsense),
            open(Some(&another), &written),
            open(None, &written),
        ];
        let expected = ["secret", "tampered", "tampered", "tampered", "another key", "another key"];
        assert_eq!(opened.map(said), expected);
    }

    #[tokio::test]
    async fn every_row_has_the_other_key_once_it_is_replaced() {
        let home = tempfile::tempdir().unwrap();
        let (keys, db) = (keys(&home).await, Database::open("sqlite:comms.db", home.path()).await.unwrap());
        let old = keys.read_or_make().await.unwrap();
        let written = ["one", "two"].map(|provider| row(old.current(), provider, 3));
        db.transaction::<_, CredentialsProblem, _>(move |tx| {
            async move {
                for row in &written {
                    provider_credentials::upsert(tx, row).await?;
                }
                Ok(())
            }
            .boxed()
        })
        .await
        .unwrap();
        assert_eq!(rotate(&db, &keys, (&Admin::operator(), AT)).await.unwrap(), 2);
        let ring = keys.read().await.unwrap().unwrap();
        let rows = db.read(|conn| provider_credentials::list(conn).boxed()).await.unwrap();
        db.close().await;
        let opened: Vec<_> = rows
            .iter()
            .map(|row| (row.version, said(open(Some(&ring), row)), said(open(Some(&old), row))))
            .collect();
        let other = (4, "secret".to_owned(), "another key".to_owned());
        assert_eq!(opened, [other.clone(), other]);
    }
}
