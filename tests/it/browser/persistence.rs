//! What is left when the browser was closed.

use super::site::{Site, Visitor};

#[tokio::test]
#[ignore = "wants Chromium: ./scripts/test browser"]
async fn remember_me_outlives_the_browser_and_a_login_without_it_does_not() {
    for site in [Site::plain().await, Site::tls().await] {
        let mut visitor = Visitor::of(site).await;
        for (login, kept) in [
            ("/login/ada?remember=true", true),
            // The same session, logged in anew with the other wish.
            ("/login/ada?remember=false", false),
            ("/login/ada", true),
        ] {
            assert_eq!(visitor.fetch("POST", login, None).await.status, 204);
            let cookie = visitor.cookie().await.expect("a cookie");
            assert_eq!(cookie["expiry"].is_u64(), kept, "{login}: {cookie}");
            let token = visitor.token().await;
            visitor.browser = visitor.browser.restart().await;
            visitor.goto("/untouched").await;
            let status = visitor.fetch("GET", "/session", None).await.status;
            assert_eq!(status, if kept { 200 } else { 404 }, "{login}");
            assert_eq!(visitor.cookie().await.is_some(), kept, "{login}");
            let session = visitor.replay(&token).await.status;
            assert_eq!(session, 200, "it is the browser that forgot, if any");
        }
        visitor.browser.close().await;
    }
}
