//! What the host's configuration says, by environment variables. The only file that reads them.

use std::path::PathBuf;

use shared::paths::{NoHome, Paths};

/// The settings of one copy of the server.
pub struct Settings {
    pub paths: Paths,
    /// `COMMS_HOME` was given: a relay that is started has to get it as well.
    pub home_is_given: bool,
    /// An agent's token; without one the relay vouches for the local user.
    pub token: Option<String>,
    /// Whether to start a relay if none runs.
    pub autostart: bool,
}

impl Settings {
    /// Reads `COMMS_HOME`, `COMMS_TOKEN` and `COMMS_AUTOSTART`.
    #[expect(clippy::disallowed_methods, reason = "this is where the environment is read")]
    pub fn from_environment() -> Result<Self, NoHome> {
        let home = std::env::var_os("COMMS_HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
        Ok(Self {
            home_is_given: home.is_some(),
            paths: Paths::resolve(home)?,
            token: std::env::var("COMMS_TOKEN").ok().filter(|token| !token.is_empty()),
            autostart: !matches!(std::env::var("COMMS_AUTOSTART").as_deref(), Ok("0" | "false" | "no")),
        })
    }
}
