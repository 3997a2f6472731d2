//! Tokens that travel in a header in place of a cookie.

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::Full;
use tower::{Layer, service_fn};
use tower_handoff::session::{Session, SessionHeader, SessionLayer};

use super::support::{Store, on_both};
use crate::support::evidence::oneshot;

/// One request with one header of its own; the answer's headers.
async fn ask(
    layer: &SessionLayer,
    header: (&str, &str),
    handler: impl AsyncFn(Session) -> StatusCode,
) -> HeaderMap {
    let handler = &handler;
    let service = layer.layer(service_fn(async |request: Request<()>| {
        let session = Session::from_extensions(request.extensions());
        let mut response = Response::new(Full::<Bytes>::default());
        *response.status_mut() = handler(session.unwrap().clone()).await;
        Ok::<_, Infallible>(response)
    }));
    let request = Request::builder().header(header.0, header.1);
    let request = request.body(()).unwrap();
    let answer = oneshot(service, request).await.unwrap();
    answer.into_parts().0.headers
}

async fn user(layer: &SessionLayer, header: (&str, &str)) -> Option<String> {
    let found = std::sync::Mutex::new(None);
    let headers = ask(layer, header, async |session| {
        *found.lock().unwrap() = session.get::<String>("user").await.unwrap();
        StatusCode::OK
    })
    .await;
    assert!(headers.is_empty(), "a read says nothing: {headers:?}");
    found.into_inner().unwrap()
}

#[tokio::test]
async fn a_header_carries_the_session_both_ways() {
    on_both(async |store: Store| {
        let bearer = SessionHeader::bearer();
        let own = SessionHeader::new("X-Session").unwrap();
        for (transport, name, scheme, answer) in [
            (bearer, "authorization", "Bearer ", "session-token"),
            (own, "x-session", "", "x-session"),
        ] {
            let layer = SessionLayer::new(store.clone()).with_header(transport);
            let token = |headers: &HeaderMap| {
                assert_eq!(headers["cache-control"], "no-store");
                assert!(!headers.contains_key("set-cookie"));
                assert!(headers[answer].is_sensitive() || headers[answer].is_empty());
                format!("{scheme}{}", headers[answer].to_str().unwrap())
            };
            let write = async |session: Session| {
                session.set("user", "ada").unwrap();
                StatusCode::OK
            };
            let old = token(&ask(&layer, (name, ""), write).await);
            assert_eq!(user(&layer, (name, &old)).await.as_deref(), Some("ada"));
            // Neither a cookie nor another scheme is the token.
            let cookie = format!("__Host-session={}", &old[scheme.len()..]);
            assert_eq!(user(&layer, ("cookie", &cookie)).await, None);
            let digest = format!("Digest {}", &old[scheme.len()..]);
            assert_eq!(user(&layer, (name, &digest)).await, None);
            let headers = ask(&layer, (name, &old), write).await;
            assert!(headers.is_empty(), "known already: {headers:?}");
            let rotate = async |session: Session| {
                session.rotate().unwrap();
                StatusCode::OK
            };
            let new = token(&ask(&layer, (name, &old), rotate).await);
            assert_eq!(user(&layer, (name, &old)).await, None);
            assert_eq!(user(&layer, (name, &new)).await.as_deref(), Some("ada"));
            let logout = async |session: Session| {
                assert!(session.destroy().await.unwrap());
                StatusCode::OK
            };
            assert_eq!(token(&ask(&layer, (name, &new), logout).await), scheme);
            assert_eq!(user(&layer, (name, &new)).await, None);
        }
    })
    .await;
}

#[tokio::test]
async fn hostile_headers_cost_no_round_trip() {
    let store = Store::memory();
    let layer = SessionLayer::new(store.clone()).with_header(SessionHeader::bearer());
    let long = format!("Bearer 1{}", "A".repeat(9_000));
    for value in [
        "Bearer",
        "Bearer ",
        "Bearer 1",
        "Bearer ;;;",
        "Digest x",
        &long,
    ] {
        assert_eq!(user(&layer, ("authorization", value)).await, None);
    }
    assert_eq!(store.asked(), 0);
}

#[tokio::test]
async fn a_cookie_and_a_header_are_two_sessions() {
    let store = Store::memory();
    let cookies = SessionLayer::new(store.clone());
    let headers = cookies.clone().with_header(SessionHeader::bearer());
    let innermost = headers.layer(service_fn(async |request: Request<()>| {
        let session = Session::from_extensions(request.extensions()).unwrap();
        session.set("user", "ada").unwrap();
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    }));
    let answer = oneshot(cookies.layer(innermost), Request::new(())).await;
    let answer = answer.unwrap();
    assert!(answer.headers().contains_key("session-token"));
    assert!(!answer.headers().contains_key("set-cookie"));
}
