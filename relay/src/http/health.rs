//! Is the relay alive, and can it take a message?

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;

use crate::app::App;
use crate::services::health;

/// 200 as long as the process answers.
pub(super) async fn alive() -> Json<serde_json::Value> {
    Json(json!({ "status": "ok" }))
}

/// 200 if a message could be stored, else 503 with the parts that fail.
pub(super) async fn ready(State(app): State<App>) -> Response {
    let failing = health::failing_parts(&app).await;
    if failing.is_empty() {
        return Json(json!({ "status": "ready" })).into_response();
    }
    let answer = json!({ "status": "failing", "failing": failing });
    (StatusCode::SERVICE_UNAVAILABLE, Json(answer)).into_response()
}
