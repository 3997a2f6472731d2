//! Where keys come from, under axum.

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::routing::{any, post};
use http_body_util::BodyExt;
use tower::ServiceExt;
use tower_handoff::lock::{LockGuard, LockKey, LockLayer, MemoryLocks, key};

async fn name(guard: LockGuard) -> String {
    guard.key().to_string()
}

fn app(template: &'static str) -> Router {
    let layer = LockLayer::new(MemoryLocks::new(), key::path(template));
    let route = post(name).layer(layer);
    Router::new()
        .route("/orders/{id}/pay", route.clone())
        .route("/fixed", route.clone())
        .nest(
            "/tenants/{tenant}",
            Router::new().route("/orders/{id}", route),
        )
}

async fn ask(app: &Router, method: &str, path: &str) -> (StatusCode, String) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .body(Body::empty())
        .unwrap();
    let answer = app.clone().oneshot(request).await.unwrap();
    let status = answer.status();
    let text = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(text.to_vec()).unwrap())
}

#[tokio::test]
async fn path_parameters_are_found_also_under_nest_and_escaped() {
    let app = app("order:{id}");
    for (path, key) in [
        ("/orders/7/pay", "order:7"),
        ("/tenants/t/orders/7", "order:7"),
        ("/orders/a%2Fb/pay", "order:a%2Fb"),
        ("/orders/a%2fb/pay", "order:a%2Fb"),
        ("/orders/a:b/pay", "order:a%3Ab"),
        ("/orders/%7Ba%7D/pay", "order:%7Ba%7D"),
        ("/orders/%00/pay", "order:%00"),
        ("/orders/%C3%A9/pay", "order:%C3%A9"),
    ] {
        assert_eq!(
            ask(&app, "POST", path).await,
            (StatusCode::OK, key.into()),
            "{path}"
        );
    }
    let long = format!("/orders/{}/pay", "x".repeat(5_000));
    let (status, text) = ask(&app, "POST", &long).await;
    assert_eq!(status, StatusCode::OK);
    assert!(
        text.starts_with("%sha256:") && text.len() <= LockKey::MAX_BYTES,
        "{text}"
    );
}

#[tokio::test]
async fn two_parameters_make_one_key() {
    let (status, key) = ask(&app("{tenant}/{id}"), "POST", "/tenants/t/orders/7").await;
    assert_eq!((status, &*key), (StatusCode::OK, "t/7"));
}

#[tokio::test]
async fn a_parameter_that_the_route_lacks_or_that_is_no_utf8_is_400() {
    for path in ["/fixed", "/orders/%FF/pay"] {
        let (status, text) = ask(&app("order:{id}"), "POST", path).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path}");
        assert!(text.contains("lock-key-missing"), "{text}");
    }
}

#[test]
fn a_bad_template_ends_the_start_with_the_reason() {
    let panic = std::panic::catch_unwind(|| key::path("order:{id")).unwrap_err();
    let text = panic.downcast_ref::<String>().unwrap();
    assert!(
        text.contains("order:{id") && text.contains("matching braces"),
        "{text}"
    );
    let error = key::template(String::from("{a}{b}")).unwrap_err();
    assert!(error.to_string().contains("between two values"), "{error}");
}

#[tokio::test]
async fn asking_for_a_guard_outside_of_a_layer_says_so() {
    let layer = LockLayer::new(MemoryLocks::new(), LockKey::new("k").unwrap());
    let app = Router::new()
        .route("/without", post(name))
        .route("/with", any(name).layer(layer.clone()))
        .route(
            "/perhaps",
            any(|guard: Option<LockGuard>| async move { guard.is_some().to_string() }).layer(layer),
        );
    for (method, path) in [("POST", "/without"), ("GET", "/with")] {
        let (status, text) = ask(&app, method, path).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(
            text.contains("LockLayer") && text.contains("safe methods"),
            "{text}"
        );
    }
    assert_eq!(
        ask(&app, "POST", "/with").await,
        (StatusCode::OK, "k".into())
    );
    assert_eq!(ask(&app, "GET", "/perhaps").await.1, "false");
    assert_eq!(ask(&app, "POST", "/perhaps").await.1, "true");
}

#[tokio::test]
async fn hostile_headers_make_bounded_keys_and_no_panic() {
    use http::HeaderValue;
    let layer = LockLayer::new(
        MemoryLocks::new(),
        key::header(http::HeaderName::from_static("x-lock")),
    );
    let app = Router::new().route("/", post(name).layer(layer));
    let long = "x".repeat(8 << 10);
    for (value, expected) in [
        (
            HeaderValue::from_bytes(b"\xff\x80").unwrap(),
            "x-lock:%FF%80",
        ),
        (HeaderValue::from_static("{a}:%"), "x-lock:%7Ba%7D%3A%25"),
        (HeaderValue::from_str(&long).unwrap(), "%sha256:"),
    ] {
        let mut request = Request::post("/").body(Body::empty()).unwrap();
        request.headers_mut().insert("x-lock", value);
        let answer = app.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let text = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(
            text.starts_with(expected.as_bytes()) && text.len() <= 256,
            "{text:?}"
        );
    }
}

#[test]
fn keys_are_1_to_256_bytes() {
    assert!(LockKey::new("").is_err());
    assert!(LockKey::new("x".repeat(256)).is_ok());
    assert!(LockKey::new("x".repeat(257)).is_err());
    assert!(LockKey::bounded("").is_none());
}
