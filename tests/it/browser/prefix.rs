//! Why there is a cookie for development.

use super::chromium::HOST;
use super::site::{Site, Visitor, port};
use crate::support::testbed::Testbed;

/// Whether Chromium keeps the cookie that a server without TLS sets under that name.
async fn keeps(host: &str, cookie: &'static str) -> bool {
    let insecure = if cookie == "session" { "1" } else { "" };
    let testbed = Testbed::start(&[("INSECURE_COOKIE", insecure)]).await;
    let site = Site {
        origin: format!("http://{host}:{}", port(&testbed)),
        testbed,
        cookie,
        tls: None,
        redis: None,
    };
    let mut visitor = Visitor::of(site).await;
    let answer = visitor.fetch("PUT", "/session/name", Some("1")).await;
    let sent = (answer.status, answer.cache_control.as_deref());
    assert_eq!(sent, (204, Some("no-store")), "a cookie came");
    let kept = visitor.cookie().await.is_some();
    let status = visitor.fetch("GET", "/session/name", None).await.status;
    assert_eq!(status, if kept { 200 } else { 404 });
    visitor.browser.close().await;
    kept
}

#[tokio::test]
#[ignore = "wants Chromium: ./scripts/test browser"]
async fn without_tls_a_host_cookie_is_kept_from_localhost_at_most() {
    assert!(!keeps(HOST, "__Host-session").await);
    assert!(keeps(HOST, "session").await);
    // Chromium trusts this name without TLS. Not every browser does.
    assert!(keeps("localhost", "__Host-session").await);
}
