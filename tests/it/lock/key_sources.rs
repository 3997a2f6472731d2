//! Keys from the query string and from the session.

use axum::Router;
use axum::body::Body;
use axum::routing::post;
use http::header::{COOKIE, SET_COOKIE};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use tower_handoff::lock::{LockGuard, LockLayer, MemoryLocks, key};
use tower_handoff::redis::RedisHandle;
use tower_handoff::session::{MemorySessions, Session, SessionLayer, SessionStore};

use crate::support::evidence::oneshot;
use crate::support::patient::patient;
use crate::support::redis_server::{RedisServer, free_port};

async fn name(guard: LockGuard) -> String {
    guard.key().to_string()
}

async fn ask(app: &Router, path: &str, cookie: Option<&str>) -> Response<Body> {
    let mut request = Request::post(path);
    if let Some(cookie) = cookie {
        request = request.header(COOKIE, cookie);
    }
    oneshot(app.clone(), request.body(Body::empty()).unwrap())
        .await
        .unwrap()
}

async fn text(answer: Response<Body>) -> String {
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn a_parameter_of_the_query_is_decoded_and_escaped() {
    let layer = LockLayer::new(MemoryLocks::new(), key::query("order:{id}/{of}"));
    let app = Router::new().route("/", post(name).layer(layer));
    for (query, key) in [
        ("?id=7&of=x", "order:7/x"),
        ("?of=x&other=1&id=7", "order:7/x"),
        ("?id=a%2Fb&of=a%2fb", "order:a%2Fb/a%2Fb"),
        ("?id=a/b&of=a+b", "order:a%2Fb/a%20b"),
        ("?%69d=7&of=%7B%7D", "order:7/%7B%7D"),
        ("?id=%FF%00&of=%", "order:%FF%00/%25"),
        ("?id=a=b&of=%C3%A9&", "order:a%3Db/%C3%A9"),
        ("?id=A&of=a", "order:A/a"),
        ("?ID=1&id=2&of=x", "order:2/x"),
    ] {
        let answer = ask(&app, &format!("/{query}"), None).await;
        assert_eq!(answer.status(), StatusCode::OK, "{query}");
        assert_eq!(text(answer).await, key, "{query}");
    }
    // Of two, the handler may take the other one.
    for query in [
        "",
        "?",
        "?id=7",
        "?id=&of=x",
        "?id&of=x",
        "?id=1&id=2&of=x",
        "?id=1&of=x&i%64=1",
    ] {
        let answer = ask(&app, &format!("/{query}"), None).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{query}");
    }
    let long = format!("/?id={}&of=x", "x".repeat(5_000));
    let text = text(ask(&app, &long, None).await).await;
    assert!(text.starts_with("%sha256:") && text.len() <= 256, "{text}");
}

#[test]
fn a_bad_template_ends_the_start_with_the_reason() {
    let panic = std::panic::catch_unwind(|| key::query("order")).unwrap_err();
    let text = panic.downcast_ref::<String>().unwrap();
    assert!(text.contains("at least one {name}"), "{text}");
}

async fn log_in(session: Session) -> String {
    session.set("cart", &1).unwrap();
    session.save().await.unwrap();
    session.id().await.unwrap().unwrap().to_string()
}

async fn bind(session: Session) {
    session.bind("ann:1").unwrap();
}

fn app(sessions: impl SessionStore) -> Router {
    let locks = MemoryLocks::new();
    let by_session = LockLayer::new(locks.clone(), key::session("checkout"));
    let by_user = LockLayer::new(locks, key::user("withdraw"));
    Router::new()
        .route("/checkout", post(name).layer(by_session))
        .route("/withdraw", post(name).layer(by_user))
        .route("/login", post(log_in))
        .route("/bind", post(bind))
        .layer(SessionLayer::new(sessions))
}

fn cookie(answer: &Response<Body>) -> String {
    let set = answer.headers()[SET_COOKIE].to_str().unwrap();
    set.split(';').next().unwrap().to_owned()
}

async fn only_a_verified_session_is_a_key(sessions: impl SessionStore) {
    let app = app(sessions);
    let answer = ask(&app, "/login", None).await;
    let first = cookie(&answer);
    let id = text(answer).await;
    let checkout = ask(&app, "/checkout", Some(&first)).await;
    assert_eq!(text(checkout).await, format!("checkout:{id}"));
    // The public id in a token whose secret is wrong, somebody else's session, and none.
    let (rest, last) = first.split_at(first.len() - 1);
    let forged = format!("{rest}{}", if last == "A" { "B" } else { "A" });
    let stale = ask(&app, "/login", None).await;
    let other = ask(&app, "/checkout", Some(&cookie(&stale))).await;
    assert_ne!(text(other).await, format!("checkout:{id}"));
    for cookie in [None, Some(&*forged)] {
        let answer = ask(&app, "/checkout", cookie).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{cookie:?}");
    }
    let nobody = ask(&app, "/withdraw", Some(&first)).await;
    assert_eq!(nobody.status(), StatusCode::BAD_REQUEST);
    let bound = cookie(&ask(&app, "/bind", Some(&first)).await);
    let withdraw = ask(&app, "/withdraw", Some(&bound)).await;
    assert_eq!(text(withdraw).await, "withdraw:ann%3A1");
}

#[tokio::test]
async fn only_a_verified_session_is_a_key_in_memory() {
    only_a_verified_session_is_a_key(MemorySessions::new()).await;
}

#[tokio::test]
async fn only_a_verified_session_is_a_key_in_redis() {
    let server = RedisServer::start();
    let handle = patient(&server.url());
    only_a_verified_session_is_a_key(handle.sessions()).await;
}

#[tokio::test]
async fn a_store_that_is_away_is_503_and_a_missing_layer_no_key() {
    let cookie = cookie(&ask(&app(MemorySessions::new()), "/login", None).await);
    let away = RedisHandle::connect(&format!("redis://127.0.0.1:{}", free_port())).unwrap();
    for path in ["/checkout", "/withdraw"] {
        let answer = ask(&app(away.sessions()), path, Some(&cookie)).await;
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(text(answer).await.contains("session-unavailable"));
    }
    let layer = LockLayer::new(MemoryLocks::new(), key::session("checkout"));
    let app = Router::new().route("/", post(name).layer(layer));
    let answer = ask(&app, "/", Some(&cookie)).await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
}
