//! Sections: a type of the user's as an argument of a handler.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::get;
use http::StatusCode;
use http_body_util::BodyExt;
use serde::{Deserialize, Serialize};
use tower_handoff::session::{
    Key, Section, Session, SessionError, SessionErrorKind, SessionLayer, SessionSection,
    Undecodable,
};

use super::support::{Store, on_both, request, visit};
use crate::support::evidence::oneshot;

const OK: StatusCode = StatusCode::OK;

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Cart {
    items: Vec<u32>,
}

impl SessionSection for Cart {
    const KEY: Key<Self> = Key::new("cart");
}

/// Has no default.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Login {
    user: String,
}

impl SessionSection for Login {
    const KEY: Key<Self> = Key::new("login");
}

async fn show(cart: Section<Cart>, login: Section<Option<Login>>) -> String {
    let user = login.as_ref().map_or("nobody", |login| &login.user);
    format!("{user} {:?}", cart.items)
}

async fn add(mut cart: Section<Cart>) -> Result<String, SessionError> {
    cart.update(|cart| cart.items.push(7)).await?;
    Ok(format!("{:?}", cart.items))
}

async fn log_in(mut login: Section<Option<Login>>) -> Result<(), SessionError> {
    let user = "ada".to_owned();
    login.set(Some(Login { user }))
}

async fn log_out(mut login: Section<Option<Login>>, mut cart: Section<Cart>) -> StatusCode {
    login.set(None).unwrap();
    assert_eq!(*login, None);
    cart.set(Cart::default()).unwrap();
    OK
}

async fn optional(cart: Option<Section<Cart>>) -> String {
    match cart {
        None => "away".to_owned(),
        Some(cart) => format!("{:?}", cart.into_inner().items),
    }
}

fn routes() -> Router {
    let all = get(show).post(add).put(log_in).delete(log_out);
    let app = Router::new().route("/", all);
    app.route("/optional", get(optional))
}

struct Answered {
    status: StatusCode,
    text: String,
    cookie: Option<String>,
    retry_after: bool,
}

async fn ask(app: &Router, method: &str, path: &str, cookie: &str) -> Answered {
    let request = Request::builder().method(method).uri(path);
    let request = request.header("cookie", cookie).body(Body::empty());
    let response = oneshot(app.clone(), request.unwrap()).await.unwrap();
    let cookie = response.headers().get("set-cookie");
    let cookie = cookie.map(|c| c.to_str().unwrap().split(';').next().unwrap().to_owned());
    let retry_after = response.headers().contains_key("retry-after");
    let status = response.status();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    Answered {
        status,
        text,
        cookie,
        retry_after,
    }
}

#[tokio::test]
async fn sections_are_read_as_arguments_and_written_when_told() {
    on_both(async |store: Store| {
        let app = routes().layer(SessionLayer::new(store.clone()));
        let shown = ask(&app, "GET", "/", "").await;
        assert_eq!((&*shown.text, shown.cookie), ("nobody []", None));
        assert_eq!(store.asked(), 0, "no cookie, no round trip");
        let cookie = ask(&app, "POST", "/", "").await.cookie.unwrap();
        assert_eq!(ask(&app, "POST", "/", &cookie).await.text, "[7, 7]");
        assert_eq!(ask(&app, "PUT", "/", &cookie).await.status, OK);
        store.asked();
        assert_eq!(ask(&app, "GET", "/", &cookie).await.text, "ada [7, 7]");
        assert_eq!(store.asked(), 1, "one load, two sections");
        assert_eq!(ask(&app, "GET", "/optional", &cookie).await.text, "[7, 7]");
        assert_eq!(ask(&app, "DELETE", "/", &cookie).await.status, OK);
        assert_eq!(ask(&app, "GET", "/", &cookie).await.text, "nobody []");
    })
    .await;
}

#[tokio::test]
async fn a_section_that_cannot_be_had_is_an_answer() {
    let store = Store::memory();
    let layer = SessionLayer::new(store.clone());
    let cookie = visit(&layer, "", "cart", "no cart").await;
    let app = routes().layer(layer.clone());
    let shown = ask(&app, "GET", "/", &cookie).await;
    assert_eq!(
        (shown.status, &*shown.text),
        (OK, "nobody []"),
        "passed over"
    );
    let strict = layer.with_undecodable(Undecodable::Error);
    let strict = routes().layer(strict);
    for path in ["/", "/optional"] {
        let refused = ask(&strict, "GET", path, &cookie).await;
        assert_eq!(refused.status, StatusCode::CONFLICT, "{path}");
        assert!(refused.text.contains("session-decode"), "{}", refused.text);
        let missing = ask(&routes(), "GET", path, &cookie).await;
        assert_eq!(missing.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(missing.text.contains("SessionLayer"), "{}", missing.text);
    }
    store.set_away(true);
    let away = ask(&app, "GET", "/", &cookie).await;
    assert_eq!(away.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(away.retry_after);
    assert_eq!(ask(&app, "GET", "/optional", &cookie).await.text, "away");
    assert_eq!(ask(&app, "GET", "/optional", "").await.text, "[]");
}

#[tokio::test]
async fn a_section_updates_what_is_there_now_and_not_what_it_has_read() {
    on_both(async |store: Store| {
        let layer = SessionLayer::new(store);
        let cookie = visit(&layer, "", "user", "ada").await;
        request(&layer, &cookie, async |session: Session| {
            let mut cart = session.section::<Cart>().await.unwrap();
            request(&layer, &cookie, async |other: Session| {
                let mut cart = other.section::<Cart>().await.unwrap();
                cart.update(|cart| cart.items.push(1)).await.unwrap();
                OK
            })
            .await;
            assert!(cart.items.is_empty(), "as it was read");
            cart.update(|cart| cart.items.push(2)).await.unwrap();
            assert_eq!(cart.items, [1, 2]);
            let big = Cart {
                items: vec![u32::MAX; 1_000],
            };
            let error = cart.set(big).unwrap_err();
            assert_eq!(error.kind(), SessionErrorKind::TooLarge);
            assert_eq!(cart.items, [1, 2], "as it was");
            assert!(!format!("{cart:?}").contains('2'), "values are not shown");
            let mut login = session.section::<Option<Login>>().await.unwrap();
            login.update(|login| *login = None).await.unwrap();
            assert_eq!(*login, None);
            OK
        })
        .await;
    })
    .await;
}

async fn below(session: Session, cart: Section<Cart>, request: Request, next: Next) -> Response {
    session.set("seen", &cart.items.len()).unwrap();
    let response = next.run(request).await;
    let by_handler = session.get::<String>("by-handler").await.unwrap();
    assert_eq!(by_handler.as_deref(), Some("yes"));
    session.set("after", "yes").unwrap();
    response
}

#[tokio::test]
async fn all_who_use_the_session_of_a_request_share_one_load_and_one_commit() {
    async fn handler(one: Session, cart: Section<Cart>, two: Session) -> String {
        one.set("by-handler", "yes").unwrap();
        assert!(cart.items.is_empty());
        let seen = two.get::<usize>("seen").await.unwrap();
        let by_handler = two.get::<String>("by-handler").await.unwrap();
        format!("{seen:?} {by_handler:?}")
    }
    on_both(async |store: Store| {
        let layer = SessionLayer::new(store.clone());
        let cookie = visit(&layer, "", "user", "ada").await;
        let app = Router::new().route("/", get(handler));
        let app = app.layer(from_fn(below)).layer(layer.clone());
        store.asked();
        let answered = ask(&app, "GET", "/", &cookie).await;
        assert_eq!(answered.text, r#"Some(0) Some("yes")"#);
        assert_eq!(store.asked(), 2, "one load, one save");
        request(&layer, &cookie, async |session: Session| {
            for name in ["user", "seen", "by-handler", "after"] {
                let value = session.get_raw(name).await.unwrap();
                assert!(value.is_some(), "{name}");
            }
            OK
        })
        .await;
    })
    .await;
}
