//! The carrier's webhooks: one file for each route.
//!
//! A handler sees a request only through [`Signed`], which exists only if the signature was right. There is no
//! switch that turns the check off.

pub(super) mod call_status;
pub(super) mod sms;
pub(super) mod voice;
pub(super) mod voice_ws;
pub(super) mod whatsapp;

use std::borrow::Cow;

use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{StatusCode, header};
use relay_core::sanitize;
use relay_core::signature::{self, Body, SignedRequest};
use shared::ids::AgentId;

use super::client_address::ClientAddress;
use super::limits::{OverLimit, RateLimits, too_many_requests};
use crate::app::App;
use crate::observability::events;
use crate::services::ServiceError;

/// A form that the carrier has signed, for an agent that exists.
pub(super) struct Signed {
    pub agent: AgentId,
    form: Vec<(String, String)>,
    query: Vec<(String, String)>,
}

impl Signed {
    /// A field of the form; an empty one counts as absent.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        find(&self.form, name)
    }

    /// A field that must be there and be well formed.
    pub(super) fn required<T: std::str::FromStr>(&self, name: &str) -> Result<T, StatusCode> {
        self.field(name).and_then(|text| text.parse().ok()).ok_or(StatusCode::UNPROCESSABLE_ENTITY)
    }

    /// Who sent or gets something: a number, or what the carrier says instead of one.
    pub(super) fn address(&self, name: &str) -> Option<String> {
        self.field(name).map(|text| sanitize::clean(text).text).filter(|text| !text.is_empty())
    }

    /// A value of the query of our own address.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        find(&self.query, name)
    }
}

fn find<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
}

impl FromRequest<App> for Signed {
    type Rejection = Response;

    async fn from_request(request: Request, app: &App) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX)
            .await
            // The layer around the routes ends a body that is too long.
            .map_err(|_| StatusCode::PAYLOAD_TOO_LARGE.into_response())?;
        if !is_form(&parts) {
            return Err(StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response());
        }
        let form: Vec<(Cow<'_, str>, Cow<'_, str>)> = form_urlencoded::parse(&body).collect();
        if let Some(refusal) = refuse_unsigned(app, &parts, Body::Form(&form), app.public_base.scheme()) {
            return Err(refusal);
        }
        let agent = agent(app, &mut parts).await?;
        let query = form_urlencoded::parse(parts.uri.query().unwrap_or("").as_bytes());
        Ok(Self {
            agent,
            form: form.into_iter().map(|(key, value)| (key.into_owned(), value.into_owned())).collect(),
            query: query.into_owned().collect(),
        })
    }
}

fn is_form(parts: &Parts) -> bool {
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
    let essence = kind.split(';').next().unwrap_or("").trim();
    essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// The refusal of what the carrier has not signed. Such requests are counted for their client, and only they.
fn refuse_unsigned(app: &App, parts: &Parts, body: Body<'_>, scheme: &str) -> Option<Response> {
    // From the configuration, never from Host or X-Forwarded-*, which an attacker can set.
    let base = app.public_base.as_str().trim_end_matches('/');
    let rest = base.split_once("://").map_or(base, |(_, rest)| rest);
    let path = parts.uri.path_and_query().map_or("", |path| path.as_str());
    let url = format!("{scheme}://{rest}{path}");
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let request = SignedRequest {
        url: &url,
        body,
        signature: header("x-twilio-signature").unwrap_or(""),
        settings: header("x-twilio-webhooks-signature-settings"),
    };
    let reason = signature::verify(&app.webhook_keys.get(), &request).err()?;
    events::webhook_refused(&reason.to_string());
    let client = parts.extensions.get::<ClientAddress>();
    if let (Some(limits), Some(ClientAddress(client))) = (parts.extensions.get::<RateLimits>(), client) {
        limits.charge(*client);
    }
    Some(match parts.extensions.get::<OverLimit>() {
        Some(over) => too_many_requests(over.retry_after),
        None => StatusCode::FORBIDDEN.into_response(),
    })
}

/// The agent whom the path names. Asked only after the signature, so that nobody else learns who exists.
async fn agent(app: &App, parts: &mut Parts) -> Result<AgentId, Response> {
    let unknown = || StatusCode::NOT_FOUND.into_response();
    let Path(id) = Path::<String>::from_request_parts(parts, app).await.map_err(|_| unknown())?;
    let id: AgentId = id.parse().map_err(|_| unknown())?;
    app.agents.find(&id).map(|_| id).ok_or_else(unknown)
}

/// The carrier's answer for a use case that failed. Anything but a 2xx makes it try again or tell its user.
fn failure(route: &str, problem: &ServiceError) -> Response {
    events::answered_with_failure(route, problem);
    match problem {
        ServiceError::NotFound(_) => StatusCode::NOT_FOUND,
        ServiceError::Invalid { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        ServiceError::Store(_) | ServiceError::Provider { .. } => StatusCode::SERVICE_UNAVAILABLE,
        ServiceError::Refused(_)
        | ServiceError::NeedsApproval(_)
        | ServiceError::OverLimit(_)
        | ServiceError::CallEnded => StatusCode::CONFLICT,
    }
    .into_response()
}

fn twiml(document: String) -> Response {
    ([(header::CONTENT_TYPE, "text/xml; charset=utf-8")], document).into_response()
}
