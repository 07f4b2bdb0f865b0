//! Is every part that a message needs in order?

use crate::app::App;

/// The parts that fail, by name. Empty: the relay can take and store messages.
pub async fn failing_parts(app: &App) -> Vec<&'static str> {
    let mut failing = Vec::new();
    if app.stop.is_cancelled() {
        failing.push("shutdown");
    }
    if let Err(problem) = app.db.check_writable().await {
        tracing::warn!(error = ?problem, "the database cannot be written");
        failing.push("database");
    }
    failing
}
