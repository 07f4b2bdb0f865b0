//! Where log lines go: to standard error, as text or JSON.

use std::panic::PanicHookInfo;

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
    std::panic::set_hook(Box::new(tell_panic));
    Ok(())
}

fn tell_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    // Not the panic's own text: it may quote what somebody wrote.
    tracing::error!(place, "a part of the relay panicked");
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::panic::{catch_unwind, set_hook, take_hook};
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_panic_is_told_by_its_place_and_not_by_its_text() {
        let lines = Lines::default();
        let written = lines.clone();
        let logger = tracing_subscriber::fmt().with_writer(move || written.clone()).finish();
        let before = take_hook();
        set_hook(Box::new(tell_panic));
        let panicked = tracing::subscriber::with_default(logger, || {
            catch_unwind(|| std::panic::panic_any(format!("{} said something", "+12025550147")))
        });
        set_hook(before);
        let log = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert!(panicked.is_err() && log.contains(file!()), "{log}");
        assert!(!log.contains("said something"), "{log}");
    }
}
