//! What every request passes on its way in and every answer on its way out, for both listeners.
//!
//! Called once per listener with its finished router. Inside, a handler may answer with a bare status or a plain
//! text: the problem is written here. An error that says more to the client brings its own type (JSON, XML,
//! HTML) and is left alone. Nothing here may ever repeat a part of the request.

use std::net::{IpAddr, Ipv4Addr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::{Extensions, HeaderValue, Method, StatusCode, header};
use relay_core::rate_limit::Decision;
use tower_http::cors::{AllowOrigin, CorsLayer};
use tower_http::limit::RequestBodyLimitLayer;
use tracing::Instrument;

use self::admin_gate::AdminGate;
use self::request_id::RequestId;
use super::client_address::{ClientAddress, IpNet, client_address};
use super::limits::{OverLimit, Purpose, RateLimits, RateSettings, too_many_requests};
use super::server::PeerAddress;

mod admin_gate;
mod headers;
mod problem;
pub(crate) mod request_id;

/// A larger request is answered 413, whether or not it says so in advance.
const MAX_BODY_BYTES: usize = 1024 * 1024;

#[derive(Clone, Debug, Default)]
pub(crate) struct EdgeSettings {
    /// Who may say in `X-Forwarded-For` whose request it is.
    pub(crate) trusted_proxies: Vec<IpNet>,
    /// Whose pages may read answers, as `https://example.com`; nobody's if empty.
    pub(crate) cors_origins: Vec<String>,
    pub(crate) limits: RateSettings,
    /// Whether the public address is an https one.
    pub(crate) https: bool,
    /// Who may use the admin listener; only this machine if empty.
    pub(crate) admin_allow: Vec<IpNet>,
    /// Names of the admin listener besides those of this machine.
    pub(crate) admin_hosts: Vec<String>,
}

/// The public listener's layers around its routes.
pub(crate) fn public_stack(router: Router, settings: &EdgeSettings) -> Router {
    stack(router, settings, None)
}

/// The admin listener's layers around its routes.
pub(crate) fn admin_stack(router: Router, settings: &EdgeSettings) -> Router {
    let gate = AdminGate::new(settings.admin_allow.clone(), settings.admin_hosts.clone());
    stack(router, settings, Some(gate))
}

fn stack(router: Router, settings: &EdgeSettings, gate: Option<AdminGate>) -> Router {
    let entrance = Arc::new(Entrance { gate, limits: RateLimits::new(settings.limits) });
    let frame = Arc::new(Frame { trusted_proxies: settings.trusted_proxies.clone(), https: settings.https });
    let router = router
        // axum's own limit covers only some extractors.
        .layer(DefaultBodyLimit::disable())
        .layer(RequestBodyLimitLayer::new(MAX_BODY_BYTES))
        .layer(from_fn_with_state(entrance, enter));
    let router = match settings.cors_origins.as_slice() {
        [] => router,
        origins => router.layer(cors(origins.to_vec())),
    };
    router.layer(from_fn_with_state(frame, answer))
}

/// What the outermost layer needs to know.
struct Frame {
    trusted_proxies: Vec<IpNet>,
    https: bool,
}

/// Around everything: names the request and its client, and makes every answer presentable, also a panic's.
async fn answer(State(frame): State<Arc<Frame>>, mut request: Request, next: Next) -> Response {
    let id = RequestId::generate();
    let client = client(&request, &frame.trusted_proxies);
    let span =
        tracing::info_span!("request", %id, method = %request.method(), route = route(request.extensions()));
    request.extensions_mut().insert(id);
    request.extensions_mut().insert(ClientAddress(client));
    let handled = AssertUnwindSafe(next.run(request)).catch_unwind().instrument(span.clone()).await;
    let response = handled.unwrap_or_else(|_panic| {
        // The panic's own text is left out: it may quote the request.
        span.in_scope(|| tracing::error!("the handling of a request panicked"));
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    });
    let mut response = problem::explained(response, id);
    headers::complete(response.headers_mut(), frame.https);
    response.headers_mut().insert(request_id::HEADER, id.into());
    response
}

/// Without a known peer the client is nobody: no list contains this address unless it contains all.
fn client(request: &Request, trusted_proxies: &[IpNet]) -> IpAddr {
    let peer = request.extensions().get::<PeerAddress>();
    let peer = peer.map_or(Ipv4Addr::UNSPECIFIED.into(), |PeerAddress(peer)| peer.ip());
    let forwarded_for = request.headers().get_all("x-forwarded-for").iter();
    // A value that is no text must end the walk, not be skipped.
    let forwarded_for: Vec<_> = forwarded_for.map(|value| value.to_str().unwrap_or("")).collect();
    client_address(peer, &forwarded_for, trusted_proxies)
}

fn route(extensions: &Extensions) -> Option<&str> {
    extensions.get::<MatchedPath>().map(MatchedPath::as_str)
}

fn cors(origins: Vec<String>) -> CorsLayer {
    let is_listed = move |origin: &HeaderValue, _: &http::request::Parts| {
        origins.iter().any(|listed| listed.as_bytes() == origin.as_bytes())
    };
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(is_listed))
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
        .allow_headers([header::ACCEPT, header::AUTHORIZATION, header::CONTENT_TYPE])
}

/// Who gets in.
struct Entrance {
    gate: Option<AdminGate>,
    limits: RateLimits,
}

/// Refuses strangers on the admin listener, and whoever asks too often.
async fn enter(State(entrance): State<Arc<Entrance>>, mut request: Request, next: Next) -> Response {
    let Some(&ClientAddress(client)) = request.extensions().get() else {
        return StatusCode::FORBIDDEN.into_response();
    };
    if entrance.gate.as_ref().is_some_and(|gate| !gate.admits(client, &request)) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let purpose = Purpose::of(route(request.extensions()));
    match entrance.limits.admit(purpose, client) {
        Decision::Allow => {}
        Decision::Deny { retry_after } if purpose == Purpose::Webhook => {
            request.extensions_mut().insert(OverLimit { retry_after });
        }
        Decision::Deny { retry_after } => return too_many_requests(retry_after),
    }
    if purpose == Purpose::Webhook {
        request.extensions_mut().insert(entrance.limits.clone());
    }
    next.run(request).await
}

#[cfg(test)]
mod tests;
