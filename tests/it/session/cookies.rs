//! What browsers and attackers send, and what it costs.

use http::{HeaderValue, StatusCode};
use tower_handoff::session::{Session, SessionCookie, SessionErrorKind, SessionLayer};

use super::support::{Answer, Store, on_both, read, request, request_with, visit};

const OK: StatusCode = StatusCode::OK;

async fn touch(layer: &SessionLayer, cookies: &[HeaderValue]) -> Answer {
    request_with(layer, cookies, async |session: Session| {
        assert_eq!(session.get::<String>("user").await.unwrap(), None);
        assert_eq!(session.id().await.unwrap(), None);
        assert!(!session.destroy().await.unwrap());
        OK
    })
    .await
}

/// A well-formed token that names no session.
fn stranger() -> String {
    format!("__Host-session=1{}", "A".repeat(54))
}

#[tokio::test]
async fn cookies_that_are_no_token_are_clean_anonymous_requests_without_a_round_trip() {
    on_both(async |store: Store| {
        let layer = SessionLayer::new(store.clone());
        let good = visit(&layer, "", "user", "ada").await;
        let token = good.split_once('=').unwrap().1;
        let long = format!("__Host-session=1{}", "A".repeat(8 * 1024));
        let padded = format!("{good}; padding={}", "A".repeat(8 * 1024));
        let bad: &[&[u8]] = &[
            b"",
            b"=",
            b";;;",
            b"__Host-session",
            b"__Host-session=",
            b"__Host-session=1",
            b"__Host-session=1!!!!",
            b"__Host-session=\xff\xfe",
            "__Host-session=1\u{e4}\u{f6}\u{fc}".as_bytes(),
            &good.as_bytes()[..good.len() - 1],
            long.as_bytes(),
            padded.as_bytes(),
            b"__Host-sessio=1AAAA",
            b"__host-session=1AAAA",
        ];
        let quoted = format!("__Host-session=\"{token}\"");
        store.asked();
        for bytes in bad.iter().copied().chain([quoted.as_bytes()]) {
            let header = HeaderValue::from_bytes(bytes).unwrap();
            let answer = touch(&layer, &[header]).await;
            let text = String::from_utf8_lossy(bytes);
            assert_eq!(answer.status, OK, "{text}");
            assert_eq!(answer.set_cookie(), None, "{text}");
            assert_eq!(store.asked(), 0, "{text}");
        }
        let halves: Vec<_> = (0..100)
            .map(|_| HeaderValue::from_static("a=b; c=d"))
            .collect();
        touch(&layer, &halves).await;
        assert_eq!(store.asked(), 0);
        assert_eq!(read(&layer, &good, "user").await.as_deref(), Some("ada"));
    })
    .await;
}

#[tokio::test]
async fn a_valid_cookie_is_found_among_bogus_ones_in_any_order() {
    on_both(async |store: Store| {
        let layer = SessionLayer::new(store.clone());
        let good = visit(&layer, "", "user", "ada").await;
        let gone = visit(&layer, "", "user", "eve").await;
        request(&layer, &gone, async |session| {
            session.destroy().await.unwrap();
            OK
        })
        .await;
        for cookies in [
            format!("{good}; __Host-session=bogus"),
            format!("__Host-session=bogus; {good}"),
            format!("{good}; {gone}"),
            format!("{gone}; {good}"),
            format!("{gone}; {gone}; {gone}; {good}"),
            format!("x=\u{e4}; {good}"),
        ] {
            let header = HeaderValue::from_bytes(cookies.as_bytes()).unwrap();
            let answer = request_with(&layer, &[header], async |session: Session| {
                session.set("seen", "yes").unwrap();
                let user: Option<String> = session.get("user").await.unwrap();
                assert_eq!(user.as_deref(), Some("ada"), "{cookies}");
                OK
            })
            .await;
            assert_eq!(answer.set_cookie(), None);
            let answer = request(&layer, &good, async |session| {
                session.increment("n", 1).await.unwrap();
                OK
            })
            .await;
            assert_eq!(answer.set_cookie(), None);
        }
        // Over HTTP/2 each cookie may be a header of its own.
        let split = [&gone, &good].map(|cookie| HeaderValue::from_str(cookie).unwrap());
        request_with(&layer, &split, async |session: Session| {
            assert_eq!(session.get::<u8>("n").await.unwrap(), Some(6));
            OK
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_blind_write_with_several_candidates_goes_to_the_one_that_is_valid() {
    on_both(async |store: Store| {
        let layer = SessionLayer::new(store.clone());
        let good = visit(&layer, "", "user", "ada").await;
        let stale = format!("{}; {good}", stranger());
        store.asked();
        let answer = request(&layer, &stale, async |session| {
            session.set("late", "1").unwrap();
            OK
        })
        .await;
        assert_eq!((answer.set_cookie(), store.asked()), (None, 3));
        assert_eq!(read(&layer, &good, "late").await.as_deref(), Some("1"));
    })
    .await;
}

#[tokio::test]
async fn a_token_of_a_newer_format_is_unavailable_and_left_alone() {
    on_both(async |store: Store| {
        let layer = SessionLayer::new(store.clone());
        let newer =
            "__Host-session=2abcdefghijklmnopqrstuvwxyz-_0123456789abcdefghijklmnopqrstuvwxyz";
        store.asked();
        let answer = request(&layer, newer, async |session| {
            let unavailable = SessionErrorKind::Unavailable;
            let error = session.get::<String>("user").await.unwrap_err();
            assert_eq!(error.kind(), unavailable);
            assert_eq!(
                session.increment("n", 1).await.unwrap_err().kind(),
                unavailable
            );
            assert_eq!(session.destroy().await.unwrap_err().kind(), unavailable);
            session.set("user", "eve").unwrap();
            OK
        })
        .await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.headers.contains_key("retry-after"));
        assert_eq!((answer.set_cookie(), store.asked()), (None, 0));
        let answer = request(&layer, newer, async |_| OK).await;
        assert_eq!(answer.status, OK, "who needs no session is served");
        // Beside one that is valid it does no harm; beside one that is not, nobody can know.
        let good = visit(&layer, "", "user", "ada").await;
        let both = format!("{newer}; {good}");
        assert_eq!(read(&layer, &both, "user").await.as_deref(), Some("ada"));
        let both = format!("{}; {newer}", stranger());
        let answer = request(&layer, &both, async |session| {
            session.set("user", "eve").unwrap();
            OK
        })
        .await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.set_cookie(), None);
    })
    .await;
}

#[tokio::test]
async fn attributes_follow_the_configuration() {
    let text = async |cookie: SessionCookie| {
        let layer = SessionLayer::new(Store::memory()).with_cookie(cookie);
        let answer = request(&layer, "", async |session| {
            session.set("a", "1").unwrap();
            OK
        })
        .await;
        answer.set_cookie();
        answer.headers["set-cookie"].to_str().unwrap().to_owned()
    };
    let host = text(SessionCookie::default()).await;
    assert!(host.starts_with("__Host-session=1"));
    assert!(host.ends_with("; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=86400"));
    let local = text(SessionCookie::insecure_localhost()).await;
    assert!(local.starts_with("session=1") && !local.contains("Secure"));
    let own = SessionCookie::new("sid")
        .unwrap()
        .with_domain("example.com")
        .unwrap();
    let own = text(own.with_path("/app").unwrap().until_browser_closes()).await;
    assert!(own.contains("Domain=example.com") && own.contains("Path=/app"));
    assert!(!own.contains("Max-Age"));
}
