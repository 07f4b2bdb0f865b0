//! The layers around small routers, without sockets.

use std::net::SocketAddr;

use axum::Extension;
use axum::body::{Body, to_bytes};
use axum::extract::Path;
use axum::routing::{get, post};
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, ORIGIN, RETRY_AFTER};
use relay_core::rate_limit::Quota;
use rstest::rstest;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;

fn routes() -> Router {
    Router::new()
        .route("/", get("hello"))
        .route("/health", get("ok"))
        .route(
            "/client",
            get(async |Extension(ClientAddress(client)): Extension<ClientAddress>| client.to_string()),
        )
        .route("/number/{number}", get(async |Path(number): Path<u32>| number.to_string()))
        .route("/panic", get(panicking))
        .route("/page", get(async || axum::response::Html("<p>hello</p>")))
        .route("/cached", get(async || ([(header::CACHE_CONTROL, "max-age=60")], "hello")))
        .route("/typed", get(typed_error))
        .route("/webhooks/{agent}/sms", post(webhook))
}

async fn panicking() -> StatusCode {
    panic!("the caller's words");
}

async fn typed_error() -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    (StatusCode::CONFLICT, json, r#"{"problem":"our own"}"#).into_response()
}

/// As a webhook does: a body of "genuine" stands for a valid signature.
async fn webhook(
    Extension(limits): Extension<RateLimits>,
    Extension(ClientAddress(client)): Extension<ClientAddress>,
    over_limit: Option<Extension<OverLimit>>,
    body: String,
) -> Response {
    if body == "genuine" {
        return StatusCode::OK.into_response();
    }
    limits.charge(client);
    match over_limit {
        Some(Extension(OverLimit { retry_after })) => too_many_requests(retry_after),
        None => StatusCode::FORBIDDEN.into_response(),
    }
}

fn settings() -> EdgeSettings {
    let quota = |burst| Quota { count: 1, per: std::time::Duration::from_secs(3_600), burst };
    let limits = RateSettings { per_client: quota(2), all_clients: quota(100), failed_webhooks: quota(2) };
    EdgeSettings { limits, ..EdgeSettings::default() }
}

fn public() -> Router {
    public_stack(routes(), &settings())
}

struct Ask(http::request::Builder);

impl Ask {
    fn get(path: &str) -> Self {
        Self(Request::builder().uri(path)).by("203.0.113.1")
    }

    fn post(path: &str) -> Self {
        Self(Request::builder().method(Method::POST).uri(path)).by("203.0.113.1")
    }

    fn by(self, peer: &str) -> Self {
        let peer = SocketAddr::new(peer.parse().expect("an address"), 4711);
        Self(self.0.extension(PeerAddress(peer)))
    }

    fn with(self, name: http::HeaderName, value: &str) -> Self {
        Self(self.0.header(name, value))
    }

    async fn send(self, router: &Router) -> Response {
        self.send_body(router, "").await
    }

    async fn send_body(self, router: &Router, body: impl Into<Body>) -> Response {
        let request = self.0.body(body.into()).expect("a request");
        router.clone().oneshot(request).await.expect("a router never fails")
    }
}

async fn text(response: Response) -> String {
    let bytes = to_bytes(response.into_body(), usize::MAX).await.expect("a body");
    String::from_utf8(bytes.to_vec()).expect("a text")
}

/// The statuses of as many requests, one after the other.
async fn statuses<const N: usize>(router: &Router, requests: [Ask; N]) -> [u16; N] {
    let mut statuses = [0; N];
    for (status, request) in statuses.iter_mut().zip(requests) {
        *status = request.send(router).await.status().as_u16();
    }
    statuses
}

/// The problem without the id, which must be the one in the header.
async fn problem(response: Response) -> Value {
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    let id = response.headers()[request_id::HEADER].to_str().expect("a text").to_owned();
    let mut problem: Value = serde_json::from_str(&text(response).await).expect("JSON");
    let in_body = problem.as_object_mut().and_then(|problem| problem.remove("requestId"));
    assert_eq!(in_body, Some(Value::String(id)));
    problem
}

#[rstest]
#[case::unknown_address(Ask::get("/no-such-thing"), 404, "Not Found", "There is nothing at this address.")]
#[case::wrong_method(
    Ask::post("/"),
    405,
    "Method Not Allowed",
    "This address does not support the method; see Allow."
)]
#[case::panic(
    Ask::get("/panic"),
    500,
    "Internal Server Error",
    "Something went wrong; the request id finds it in the log."
)]
#[case::refused_by_the_framework(
    Ask::get("/number/script"),
    400,
    "Bad Request",
    "The request could not be understood."
)]
#[tokio::test]
async fn an_error_is_a_problem_with_fixed_text(
    #[case] ask: Ask,
    #[case] status: u16,
    #[case] title: &str,
    #[case] detail: &str,
) {
    let response = ask.send(&public()).await;
    assert_eq!(
        problem(response).await,
        json!({ "type": "about:blank", "title": title, "status": status, "detail": detail })
    );
}

#[tokio::test]
async fn an_error_with_a_type_of_its_own_is_left_alone() {
    let response = Ask::get("/typed").send(&public()).await;
    assert_eq!(text(response).await, r#"{"problem":"our own"}"#);
}

#[tokio::test]
async fn a_refused_method_is_told_the_others() {
    let response = Ask::post("/").send(&public()).await;
    assert_eq!(response.headers()[header::ALLOW], "GET,HEAD");
}

#[tokio::test]
async fn a_client_cannot_name_its_request() {
    let response = Ask::get("/").with(request_id::HEADER, "mine").send(&public()).await;
    assert_ne!(response.headers()[request_id::HEADER], "mine");
}

#[tokio::test]
async fn no_two_requests_have_the_same_name() {
    let router = public();
    let mut ids = std::collections::HashSet::new();
    for _ in 0..100 {
        ids.insert(Ask::get("/").send(&router).await.headers()[request_id::HEADER].clone());
    }
    assert_eq!(ids.len(), 100);
}

#[rstest]
#[case::without_a_proxy("203.0.113.1", "203.0.113.1")]
#[case::behind_a_listed_proxy("10.0.0.1", "198.51.100.1")]
#[tokio::test]
async fn only_a_listed_proxy_names_the_client(#[case] peer: &str, #[case] client: &str) {
    let trusted_proxies = vec!["10.0.0.0/8".parse().expect("a block")];
    let router = public_stack(routes(), &EdgeSettings { trusted_proxies, ..settings() });
    let forwarded_for = http::HeaderName::from_static("x-forwarded-for");
    let ask = Ask::get("/client").by(peer).with(forwarded_for, "198.51.100.1");
    assert_eq!(text(ask.send(&router).await).await, client);
}

#[tokio::test]
async fn a_forwarded_value_that_is_no_text_ends_the_walk() {
    let trusted_proxies = vec!["10.0.0.0/8".parse().expect("a block")];
    let router = public_stack(routes(), &EdgeSettings { trusted_proxies, ..settings() });
    let Ask(request) = Ask::get("/client").by("10.0.0.1");
    let request = request.header("x-forwarded-for", "198.51.100.1").header("x-forwarded-for", &b"\xff"[..]);
    assert_eq!(text(Ask(request).send(&router).await).await, "10.0.0.1");
}

#[tokio::test]
async fn a_flooding_client_stops_neither_another_nor_health() {
    let flood = || Ask::get("/");
    let requests = [flood(), flood(), flood(), flood(), Ask::get("/").by("203.0.113.2"), Ask::get("/health")];
    assert_eq!(statuses(&public(), requests).await, [200, 200, 429, 429, 200, 200]);
}

#[tokio::test]
async fn a_client_over_its_limit_is_told_when_to_come_back() {
    let router = public();
    statuses(&router, [Ask::get("/"), Ask::get("/")]).await;
    let response = Ask::get("/").send(&router).await;
    assert_eq!(response.headers()[RETRY_AFTER], "3600");
}

#[tokio::test]
async fn addresses_that_lead_nowhere_are_counted_also_below_webhooks() {
    let lost = || Ask::get("/webhooks/nothing/here");
    assert_eq!(statuses(&public(), [lost(), lost(), lost()]).await, [404, 404, 429]);
}

#[tokio::test]
async fn wrong_signatures_are_limited() {
    let forged = || Ask::post("/webhooks/default/sms");
    assert_eq!(statuses(&public(), [forged(), forged(), forged()]).await, [403, 403, 429]);
}

#[tokio::test]
async fn a_genuine_webhook_is_served_however_often_its_client_failed() {
    let router = public();
    let forged = || Ask::post("/webhooks/default/sms");
    statuses(&router, [forged(), forged(), forged()]).await;
    let genuine = forged().send_body(&router, "genuine").await;
    assert_eq!(genuine.status(), StatusCode::OK);
}

#[rstest]
#[case(0, StatusCode::FORBIDDEN)]
#[case(1, StatusCode::PAYLOAD_TOO_LARGE)]
#[tokio::test]
async fn a_body_of_one_mebibyte_is_the_largest(#[case] more: usize, #[case] status: StatusCode) {
    let body = "a".repeat(MAX_BODY_BYTES + more);
    let announced = Ask::post("/webhooks/default/sms").with(header::CONTENT_LENGTH, &body.len().to_string());
    assert_eq!(announced.send_body(&public(), body).await.status(), status);
}

#[rstest]
#[case(0, StatusCode::FORBIDDEN)]
#[case(1, StatusCode::PAYLOAD_TOO_LARGE)]
#[tokio::test]
async fn a_body_of_unknown_length_has_the_same_limit(#[case] more: usize, #[case] status: StatusCode) {
    let parts = [Ok::<_, std::io::Error>("a".repeat(MAX_BODY_BYTES)), Ok("a".repeat(more))];
    let body = Body::from_stream(futures_util::stream::iter(parts));
    let response = Ask::post("/webhooks/default/sms").send_body(&public(), body).await;
    assert_eq!(response.status(), status);
}

/// The headers that a browser obeys, as far as they are set.
fn browser_headers(response: &Response) -> Vec<(&str, &str)> {
    let names = [
        "x-content-type-options",
        "x-frame-options",
        "referrer-policy",
        "cache-control",
        "content-security-policy",
        "strict-transport-security",
    ];
    let value = |name| Some((name, response.headers().get(name)?.to_str().expect("a text")));
    names.into_iter().filter_map(value).collect()
}

#[rstest]
#[case::an_answer("/")]
#[case::an_error("/no-such-thing")]
#[case::a_panic("/panic")]
#[tokio::test]
async fn every_answer_is_locked_down(#[case] path: &str) {
    let router = public_stack(routes(), &EdgeSettings { https: true, ..settings() });
    let response = Ask::get(path).send(&router).await;
    assert_eq!(
        browser_headers(&response),
        [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
            ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
            ("strict-transport-security", "max-age=31536000"),
        ]
    );
}

#[tokio::test]
async fn without_https_a_browser_is_not_bound_to_it() {
    let response = Ask::get("/").send(&public()).await;
    assert_eq!(response.headers().get(header::STRICT_TRANSPORT_SECURITY), None);
}

#[tokio::test]
async fn a_page_brings_its_own_content_policy() {
    let response = Ask::get("/page").send(&public()).await;
    assert_eq!(response.headers().get(header::CONTENT_SECURITY_POLICY), None);
}

#[tokio::test]
async fn a_handler_may_allow_caching() {
    let response = Ask::get("/cached").send(&public()).await;
    assert_eq!(response.headers()[header::CACHE_CONTROL], "max-age=60");
}

#[rstest]
#[case::by_default(&[], None)]
#[case::listed(&["https://app.example"], Some("https://app.example"))]
#[case::another(&["https://other.example"], None)]
#[case::a_star_is_no_origin(&["*"], None)]
#[tokio::test]
async fn other_sites_are_shut_out_unless_listed(#[case] origins: &[&str], #[case] allowed: Option<&str>) {
    let cors_origins = origins.iter().map(ToString::to_string).collect();
    let router = public_stack(routes(), &EdgeSettings { cors_origins, ..settings() });
    let response = Ask::get("/").with(ORIGIN, "https://app.example").send(&router).await;
    let answer =
        response.headers().get(ACCESS_CONTROL_ALLOW_ORIGIN).map(|value| value.to_str().expect("a text"));
    assert_eq!(answer, allowed);
}

#[rstest]
#[case::this_machine("127.0.0.1", "localhost:3101", StatusCode::OK)]
#[case::a_stranger("203.0.113.1", "localhost:3101", StatusCode::FORBIDDEN)]
#[case::a_foreign_name("127.0.0.1", "evil.example", StatusCode::FORBIDDEN)]
#[tokio::test]
async fn the_admin_listener_is_for_this_machine(
    #[case] peer: &str,
    #[case] host: &str,
    #[case] status: StatusCode,
) {
    let router = admin_stack(routes(), &settings());
    let response = Ask::get("/").by(peer).with(header::HOST, host).send(&router).await;
    assert_eq!(response.status(), status);
}

#[tokio::test]
async fn the_admin_listener_refuses_a_peer_that_it_does_not_know() {
    let request = Ask(Request::builder().uri("/")).with(header::HOST, "localhost");
    let response = request.send(&admin_stack(routes(), &settings())).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
}
