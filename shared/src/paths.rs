//! Where things live on disk. Both programs compute it alike, from the home folder alone: agent hosts strip
//! `XDG_RUNTIME_DIR` and `TMPDIR` from the environment, so neither may matter.

use std::path::PathBuf;

/// The application's folder name.
pub const APPLICATION: &str = "agentos-comms";

/// The files of one installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// `config.toml`, and nothing that a program writes.
    pub config_dir: PathBuf,
    /// Database, media, logs, socket and lock.
    pub data_dir: PathBuf,
}

/// No home folder is known for this user.
#[derive(Debug, thiserror::Error)]
#[error("no home folder is known: set HOME, or COMMS_HOME to the folder to use")]
pub struct NoHome;

impl Paths {
    /// The folders under `comms_home` if it is set (the value of `COMMS_HOME`), else the platform's own.
    pub fn resolve(comms_home: Option<PathBuf>) -> Result<Self, NoHome> {
        if let Some(home) = comms_home.filter(|home| !home.as_os_str().is_empty()) {
            let home = std::path::absolute(&home).unwrap_or(home);
            return Ok(Self { config_dir: home.clone(), data_dir: home });
        }
        let base = directories::BaseDirs::new().ok_or(NoHome)?;
        Ok(Self::of_home(base.home_dir()))
    }

    #[cfg(target_os = "macos")]
    fn of_home(home: &std::path::Path) -> Self {
        let support = home.join("Library/Application Support").join(APPLICATION);
        Self { config_dir: support.clone(), data_dir: support }
    }

    #[cfg(windows)]
    fn of_home(home: &std::path::Path) -> Self {
        let local = home.join("AppData/Local").join(APPLICATION);
        Self { config_dir: local.clone(), data_dir: local }
    }

    // Not `directories::ProjectDirs`: it honours XDG_*, which hosts pass on or strip as they like.
    #[cfg(not(any(target_os = "macos", windows)))]
    fn of_home(home: &std::path::Path) -> Self {
        Self {
            config_dir: home.join(".config").join(APPLICATION),
            data_dir: home.join(".local/share").join(APPLICATION),
        }
    }

    /// The user's settings.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.config_dir.join("config.toml")
    }

    /// The local socket; on Windows the name of the pipe is derived from it.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.data_dir.join("comms.sock")
    }

    /// Held by the one relay of this data folder; contains its process id.
    #[must_use]
    pub fn lock_file(&self) -> PathBuf {
        self.data_dir.join("relay.lock")
    }

    /// Log files.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.data_dir.join("logs")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comms_home_holds_everything() {
        let paths = Paths::resolve(Some("/tmp/x".into())).unwrap();
        assert_eq!(paths.config_file(), PathBuf::from("/tmp/x/config.toml"));
        assert_eq!(paths.socket(), PathBuf::from("/tmp/x/comms.sock"));
    }

    #[test]
    fn an_empty_comms_home_counts_as_unset() {
        let unset = Paths::resolve(None).map_err(|_| ());
        assert_eq!(Paths::resolve(Some("".into())).map_err(|_| ()), unset);
    }
}
