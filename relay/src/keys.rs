//! Where the key is with which stored credentials are encrypted: an owner-only file in the data folder or, on macOS
//! and Windows, the user's keychain, unless `COMMS_HOME` says that everything lies in one folder.
//!
//! Called by `services::credentials`. No key is ever printed, and none is made or replaced without the lock.

mod file;
#[cfg(any(target_os = "macos", windows))]
mod keychain;

use std::fmt;
use std::fs::{File, OpenOptions};
use std::path::PathBuf;
use std::time::Duration;

use data_encoding::HEXLOWER;
use ring::digest;
use shared::paths::Paths;
use tokio::time::timeout;

use crate::random;

/// Whoever holds the lock writes one row and one file.
const LOCK_PATIENCE: Duration = Duration::from_secs(20);

/// Why there is no key to work with. One line for the operator.
#[derive(Debug, thiserror::Error)]
pub enum KeyProblem {
    #[error(
        "the key file {path} is open to other users: run `chmod 600 {path}`, and change the credentials if anybody else may have read it"
    )]
    Exposed { path: String },
    #[error("the key file {path} belongs to another user: use the one of this user")]
    Foreign { path: String },
    #[error(
        "the key of the stored credentials is damaged: bring it back from a backup, or remove it and store the credentials again"
    )]
    Damaged,
    #[error("cannot use the key file {path}")]
    File { path: String, source: std::io::Error },
    #[cfg(any(target_os = "macos", windows))]
    #[error("cannot use this user's keychain; with COMMS_HOME set, the key is in a file")]
    Keychain(#[source] keyring_core::Error),
    #[error("another program is changing the stored credentials: try again in a moment")]
    Busy,
    #[error("cannot reach the key: the program is ending")]
    Ending,
}

/// A key, and the name by which rows say that they are encrypted with it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Key {
    id: String,
    bytes: [u8; 32],
}

impl Key {
    fn new(bytes: [u8; 32]) -> Self {
        let hash = digest::digest(&digest::SHA256, &bytes);
        Self { id: HEXLOWER.encode(&hash.as_ref()[..4]), bytes }
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

/// The key in use and, while one replaces another, those that rows may still need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyRing {
    current: Key,
    former: Vec<Key>,
}

impl KeyRing {
    fn random() -> Self {
        Self { current: Key::new(random::bytes()), former: Vec::new() }
    }

    /// The key to encrypt with.
    pub(crate) fn current(&self) -> &Key {
        &self.current
    }

    pub(crate) fn find(&self, id: &str) -> Option<&Key> {
        self.former.iter().chain([&self.current]).find(|key| key.id == id)
    }

    /// The same with a key before it that no row has been encrypted with.
    pub(crate) fn with_another(self) -> Self {
        let Self { current, mut former } = self;
        former.push(current);
        Self { former, ..Self::random() }
    }

    /// The key in use alone.
    pub(crate) fn without_former(self) -> Self {
        Self { former: Vec::new(), ..self }
    }

    /// A line for each key, the one in use last.
    fn to_text(&self) -> String {
        self.former.iter().chain([&self.current]).map(|key| HEXLOWER.encode(&key.bytes) + "\n").collect()
    }

    fn parse(text: &str) -> Result<Self, KeyProblem> {
        let key = |line: &str| HEXLOWER.decode(line.as_bytes()).ok()?.try_into().ok().map(Key::new);
        let keys: Option<Vec<Key>> = text.lines().map(key).collect();
        let mut former = keys.ok_or(KeyProblem::Damaged)?;
        Ok(Self { current: former.pop().ok_or(KeyProblem::Damaged)?, former })
    }
}

/// Where the keys of one installation are.
#[derive(Clone, Debug)]
pub struct KeyPlace {
    folder: PathBuf,
    store: Store,
}

#[derive(Clone, Copy, Debug)]
enum Store {
    File,
    #[cfg(any(target_os = "macos", windows))]
    Keychain,
}

impl KeyPlace {
    /// The place that goes with these folders.
    #[must_use]
    pub fn of(paths: &Paths) -> Self {
        Self { folder: paths.data_dir.clone(), store: Store::of(paths) }
    }

    /// Waits until nobody else makes or replaces keys, or encrypts with one.
    pub(crate) async fn lock(&self) -> Result<LockedKeys, KeyProblem> {
        let path = self.folder.join("credentials.lock");
        let locked = apart(move || {
            let io = |source| KeyProblem::File { path: path.display().to_string(), source };
            let mut file = OpenOptions::new();
            let file = file.write(true).create(true).truncate(false).open(&path).map_err(io)?;
            file.lock().map_err(io)?;
            Ok(file)
        });
        // A lock that comes too late is dropped as soon as it is there.
        let file = timeout(LOCK_PATIENCE, locked).await.unwrap_or(Err(KeyProblem::Busy))?;
        Ok(LockedKeys { place: self.clone(), _lock: file })
    }

    fn read(&self) -> Result<Option<KeyRing>, KeyProblem> {
        let text = match self.store {
            Store::File => file::read(&self.file())?,
            #[cfg(any(target_os = "macos", windows))]
            Store::Keychain => keychain::read()?,
        };
        text.map(|text| KeyRing::parse(&text)).transpose()
    }

    fn write(&self, ring: &KeyRing) -> Result<(), KeyProblem> {
        match self.store {
            Store::File => file::replace(&self.file(), &ring.to_text()),
            #[cfg(any(target_os = "macos", windows))]
            Store::Keychain => keychain::replace(&ring.to_text()),
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.join("credentials.key")
    }
}

impl Store {
    #[cfg(any(target_os = "macos", windows))]
    fn of(paths: &Paths) -> Self {
        // The keychain has one entry, which is the user's own installation's.
        if Paths::resolve(None).is_ok_and(|own| own == *paths) { Self::Keychain } else { Self::File }
    }

    #[cfg(not(any(target_os = "macos", windows)))]
    fn of(_: &Paths) -> Self {
        Self::File
    }
}

/// The keys, while nobody else can change them.
pub(crate) struct LockedKeys {
    place: KeyPlace,
    _lock: File,
}

impl LockedKeys {
    /// The keys, if any have been made.
    pub(crate) async fn read(&self) -> Result<Option<KeyRing>, KeyProblem> {
        let place = self.place.clone();
        apart(move || place.read()).await
    }

    /// The keys; the first one is made here.
    pub(crate) async fn read_or_make(&self) -> Result<KeyRing, KeyProblem> {
        if let Some(ring) = self.read().await? {
            return Ok(ring);
        }
        let ring = KeyRing::random();
        self.replace(&ring).await?;
        Ok(ring)
    }

    /// Puts these in the place of those that are there. Whenever the program ends, it is the one or the other.
    pub(crate) async fn replace(&self, ring: &KeyRing) -> Result<(), KeyProblem> {
        let (place, ring) = (self.place.clone(), ring.clone());
        apart(move || place.write(&ring)).await
    }
}

/// Where it may wait: a keychain may ask its user.
async fn apart<T, F>(work: F) -> Result<T, KeyProblem>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, KeyProblem> + Send + 'static,
{
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(KeyProblem::Ending))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use tempfile::TempDir;

    use super::*;

    fn place() -> (TempDir, KeyPlace) {
        let home = tempfile::tempdir().unwrap();
        let place = KeyPlace { folder: home.path().to_owned(), store: Store::File };
        (home, place)
    }

    #[tokio::test]
    async fn the_first_key_is_made_once() {
        let (_home, place) = place();
        let made = place.lock().await.unwrap().read_or_make().await.unwrap();
        assert_eq!(place.lock().await.unwrap().read_or_make().await.unwrap(), made);
    }

    #[tokio::test]
    async fn nothing_is_made_by_looking() {
        let (home, place) = place();
        assert_eq!(place.lock().await.unwrap().read().await.unwrap(), None);
        assert!(!home.path().join("credentials.key").exists());
    }

    #[tokio::test]
    async fn one_at_a_time_works_with_the_keys() {
        let (_home, place) = place();
        let first = place.lock().await.unwrap();
        let second = place.lock();
        tokio::pin!(second);
        tokio::select! {
            biased;
            _ = &mut second => panic!("both have it"),
            () = std::future::ready(()) => (),
        }
        drop(first);
        assert!(second.await.is_ok());
    }

    #[test]
    fn a_key_that_is_replaced_opens_until_it_is_dropped() {
        let old = KeyRing::random();
        let both = old.clone().with_another();
        let new = both.clone().without_former();
        let known = |ring: &KeyRing, of: &KeyRing| ring.find(of.current().id()) == Some(of.current());
        assert_eq!([known(&both, &old), known(&both, &new), known(&new, &old)], [true, true, false]);
    }

    #[test]
    fn what_is_written_is_read() {
        let ring = KeyRing::random().with_another().with_another();
        assert_eq!(KeyRing::parse(&ring.to_text()).unwrap(), ring);
    }

    #[rstest]
    #[case::nothing("")]
    #[case::a_cut_key("0123456789abcdef\n")]
    #[case::something_else("the key\n")]
    fn what_is_no_key_is_not_used(#[case] text: &str) {
        assert!(matches!(KeyRing::parse(text), Err(KeyProblem::Damaged)));
    }

    #[test]
    fn a_key_is_named_by_its_hash() {
        // printf '%064d' 0 | xxd -r -p | sha256sum
        assert_eq!(format!("{:?}", Key::new([0; 32])), "Key(66687aad)");
    }
}
