//! Keys in the keychain of macOS or the credential manager of Windows. Called by [`super::KeyPlace`], which holds the
//! lock; there is one entry, for the user's own installation.

#[cfg(target_os = "macos")]
use apple_native_keyring_store::keychain::Store;
use keyring_core::api::CredentialStoreApi;
use keyring_core::{Entry, Error};
use shared::paths::APPLICATION;
#[cfg(windows)]
use windows_native_keyring_store::Store;

use super::KeyProblem;

/// What the entry holds, if there is one.
pub(super) fn read() -> Result<Option<String>, KeyProblem> {
    match entry().and_then(|entry| entry.get_secret()) {
        // What is no text is no key; its bytes are not to be shown.
        Ok(bytes) => String::from_utf8(bytes).map(Some).map_err(|_| KeyProblem::Damaged),
        Err(Error::NoEntry) => Ok(None),
        // These carry what was read.
        Err(Error::BadEncoding(_) | Error::BadDataFormat(..)) => Err(KeyProblem::Damaged),
        Err(problem) => Err(KeyProblem::Keychain(problem)),
    }
}

/// Puts this text in the place of what is there.
pub(super) fn replace(text: &str) -> Result<(), KeyProblem> {
    entry().and_then(|entry| entry.set_secret(text.as_bytes())).map_err(KeyProblem::Keychain)
}

fn entry() -> keyring_core::Result<Entry> {
    Store::new()?.build(APPLICATION, "credentials.key", None)
}
