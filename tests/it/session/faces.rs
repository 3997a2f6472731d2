//! The handle in axum and without it, and what it gives away.

use std::convert::Infallible;
use std::fmt::Debug;

use axum::extract::Path;
use axum::routing::{get, put};
use axum::{Json, Router};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tower::{Layer, Service, ServiceExt};
use tower_handoff::session::{
    MemorySessions, Session, SessionCookie, SessionError, SessionErrorKind, SessionLayer,
    SessionStore, Undecodable,
};

use super::support::{Store, read, request, visit};
use crate::support::evidence::oneshot;

async fn read_field(session: Session, Path(name): Path<String>) -> Result<String, SessionError> {
    Ok(session.get(&name).await?.unwrap_or_default())
}

async fn write_field(
    session: Session,
    Path(name): Path<String>,
    Json(value): Json<serde_json::Value>,
) -> Result<StatusCode, SessionError> {
    session.set(&name, &value)?;
    Ok(StatusCode::NO_CONTENT)
}

fn routes() -> Router {
    Router::new()
        .route(
            "/number/{name}",
            get(async |session: Session, name: Path<String>| {
                session
                    .get::<u64>(&*name)
                    .await
                    .map(|n| n.unwrap_or(0).to_string())
            }),
        )
        .route(
            "/add/{name}",
            put(async |session: Session, name: Path<String>| {
                session
                    .increment(&*name, 1)
                    .await
                    .map(|sum| sum.to_string())
            }),
        )
        .route("/{name}", get(read_field).put(write_field))
}

async fn ask(
    app: &Router,
    method: &str,
    path: &str,
    cookie: &str,
    body: &str,
) -> (StatusCode, String, Option<String>) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json")
        .header("cookie", cookie)
        .body(axum::body::Body::from(body.to_owned()))
        .unwrap();
    let response = oneshot(app.clone(), request).await.unwrap();
    let cookie = response.headers().get("set-cookie");
    let cookie = cookie.map(|c| c.to_str().unwrap().split(';').next().unwrap().to_owned());
    let status = response.status();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(bytes.to_vec()).unwrap(), cookie)
}

#[tokio::test]
async fn handlers_take_the_session_and_answer_with_its_errors() {
    let store = Store::memory();
    let layer = SessionLayer::new(store.clone()).with_undecodable(Undecodable::Error);
    let app = routes().layer(layer);
    let (status, _, cookie) = ask(&app, "PUT", "/user", "", "\"ada\"").await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let cookie = cookie.unwrap();
    let (status, body, _) = ask(&app, "GET", "/user", &cookie, "").await;
    assert_eq!((status, &*body), (StatusCode::OK, "ada"));
    let big = format!("\"{}\"", "x".repeat(9_000));
    let long = format!("/{}", "n".repeat(129));
    for (method, path, body, status, slug) in [
        ("PUT", &*long, "1", 400, "session-invalid-name"),
        ("PUT", "/add/user", "", 409, "session-not-integer"),
        ("PUT", "/big", &big, 413, "session-too-large"),
        ("GET", "/number/user", "", 409, "session-decode"),
    ] {
        let (actual, body, set_cookie) = ask(&app, method, path, &cookie, body).await;
        assert_eq!(actual, status, "{method} {path}");
        let problem: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(problem["type"], format!("urn:tower-handoff:{slug}"));
        assert_eq!(problem["status"], status);
        assert_eq!(set_cookie, None);
    }
    store.set_away(true);
    let (status, body, _) = ask(&app, "GET", "/user", &cookie, "").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(body.contains("session-unavailable"));
    let (status, ..) = ask(&app, "GET", "/user", "", "").await;
    assert_eq!(
        status,
        StatusCode::OK,
        "who has no cookie has no session, Redis or not"
    );
}

#[tokio::test]
async fn a_missing_layer_is_named() {
    let (status, body, _) = ask(&routes(), "GET", "/user", "", "").await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(
        body.contains("SessionLayer") && body.contains("Router::layer"),
        "{body}"
    );
    let error = Session::from_extensions(&http::Extensions::new()).unwrap_err();
    assert_eq!(error.to_string(), body);
}

#[tokio::test]
async fn a_layer_inside_another_leaves_the_session_to_it() {
    let store = Store::memory();
    let layer = SessionLayer::new(store.clone());
    let between = axum::middleware::from_fn(
        async |session: Session, request: axum::extract::Request, next: axum::middleware::Next| {
            session.set("between", "yes").unwrap();
            next.run(request).await
        },
    );
    let app = routes()
        .layer(layer.clone())
        .layer(between)
        .layer(layer.clone());
    let (status, _, cookie) = ask(&app, "PUT", "/user", "", "\"ada\"").await;
    assert_eq!((status, store.asked()), (StatusCode::NO_CONTENT, 1));
    let cookie = cookie.unwrap();
    assert_eq!(
        read(&layer, &cookie, "between").await.as_deref(),
        Some("yes")
    );
    assert_eq!(read(&layer, &cookie, "user").await.as_deref(), Some("ada"));
    // Another cookie is another session, and the innermost one is the handler's.
    let own = SessionCookie::insecure_localhost();
    let app = routes().layer(layer.clone().with_cookie(own)).layer(layer);
    let (_, _, cookie) = ask(&app, "PUT", "/user", &cookie, "\"eve\"").await;
    assert!(cookie.unwrap().starts_with("session=1"));
}

#[tokio::test]
async fn the_service_that_was_made_ready_is_the_one_that_is_called() {
    /// Answers only where it was polled ready itself; a clone was not.
    #[derive(Debug)]
    struct Once {
        ready: bool,
    }
    impl Clone for Once {
        fn clone(&self) -> Self {
            Self { ready: false }
        }
    }
    impl Service<Request<()>> for Once {
        type Response = Response<Full<Bytes>>;
        type Error = Infallible;
        type Future = std::future::Ready<Result<Self::Response, Infallible>>;

        fn poll_ready(
            &mut self,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Result<(), Infallible>> {
            self.ready = true;
            std::task::Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<()>) -> Self::Future {
            assert!(std::mem::take(&mut self.ready), "called without poll_ready");
            std::future::ready(Ok(Response::default()))
        }
    }
    let layer = SessionLayer::new(MemorySessions::new());
    let mut service = layer.layer(Once { ready: false });
    for _ in 0..3 {
        service
            .ready()
            .await
            .unwrap()
            .call(Request::new(()))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn nothing_shows_a_secret() {
    fn show(value: &dyn Debug) -> String {
        format!("{value:?} {value:#?}")
    }
    let store = Store::memory();
    let layer = SessionLayer::new(store.clone()).with_undecodable(Undecodable::Error);
    let cookie = visit(&layer, "", "user", "the-field's-own-value").await;
    let secret = &cookie[cookie.len() - 30..];
    let mut shown = String::new();
    let answer = request(&layer, &cookie, async |session: Session| {
        shown += &show(&session);
        let id = session.id().await.unwrap().unwrap();
        shown += &show(&id);
        shown += &show(&store.load(&id).await.unwrap());
        shown += &show(&session);
        let error = session.get::<u8>("user").await.unwrap_err();
        assert_eq!(error.kind(), SessionErrorKind::Decode);
        shown += &show(&error);
        session.rotate().unwrap();
        StatusCode::OK
    })
    .await;
    let rotated = answer.token();
    shown += &show(&answer.headers);
    shown += &show(&layer);
    shown += &show(&layer.layer(()));
    assert!(shown.contains("SessionLayer"));
    for secret in [
        secret,
        &rotated[rotated.len() - 30..],
        "the-field's-own-value",
    ] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn public_types_are_send_and_sync() {
    fn check<T: Send + Sync + 'static>() {}
    check::<Session>();
    check::<SessionLayer>();
    check::<SessionError>();
    check::<MemorySessions>();
}
