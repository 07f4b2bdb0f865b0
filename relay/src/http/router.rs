//! Every route.

use axum::Router;
use axum::routing::{get, post};

use super::layers::{EdgeSettings, admin_stack, public_stack};
use super::{health, webhooks};
use crate::app::App;

/// The only listener that a tunnel or proxy may expose.
pub(crate) fn public(app: &App, edge: &EdgeSettings) -> Router {
    let routes = Router::new()
        .route("/health", get(health::alive))
        .route("/health/ready", get(health::ready))
        .route("/webhooks/{agent}/sms", post(webhooks::sms::receive))
        .route("/webhooks/{agent}/whatsapp", post(webhooks::whatsapp::receive))
        .route("/webhooks/{agent}/voice", post(webhooks::voice::answer))
        .route("/webhooks/{agent}/call-status", post(webhooks::call_status::receive))
        .route("/webhooks/{agent}/voice-ws", get(webhooks::voice_ws::upgrade))
        .with_state(app.clone());
    public_stack(routes, edge)
}

/// For this machine.
pub(crate) fn admin(app: &App, edge: &EdgeSettings) -> Router {
    let routes = Router::new()
        .route("/health", get(health::alive))
        .route("/health/ready", get(health::ready))
        .with_state(app.clone());
    admin_stack(routes, edge)
}
