//! Where log lines go: to standard error, as text or JSON.

use tracing_subscriber::EnvFilter;

use crate::config::{ConfigError, Log, LogFormat};

/// Sets up logging for this process. Standard output is left to the commands.
pub fn start(settings: &Log) -> Result<(), ConfigError> {
    let filter = EnvFilter::try_new(&settings.level).map_err(|problem| ConfigError::Value {
        key: "log.level".to_owned(),
        problem: problem.to_string(),
    })?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // An error here means that a logger is there already, as in tests.
    let _ = match settings.format {
        LogFormat::Text => lines.with_ansi(false).try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        // Not the panic's own text: it may quote what somebody wrote.
        tracing::error!(place, "a part of the relay panicked");
    }));
    Ok(())
}
