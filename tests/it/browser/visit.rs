//! A visit from the first page to the logout.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::site::{Visitor, on_both};

/// The answer is 204, and no cache keeps it: it sets a cookie.
async fn changes(visitor: &mut Visitor, method: &str, path: &str, body: Option<&str>) {
    let answer = visitor.fetch(method, path, body).await;
    assert_eq!(answer.status, 204, "{answer:?}");
    assert_eq!(answer.cache_control.as_deref(), Some("no-store"));
}

async fn is_anonymous(visitor: &Visitor, token: &str) {
    let answer = visitor.replay(token).await;
    assert_eq!((answer.status, answer.header("set-cookie")), (404, None));
}

#[tokio::test]
#[ignore = "wants Chromium: ./scripts/test browser"]
async fn first_write_login_rotation_and_logout() {
    on_both(async |visitor| {
        let protocol = "return performance.getEntriesByType('navigation')[0].nextHopProtocol";
        let protocol = visitor.browser.run(protocol, json!([])).await;
        let tls = visitor.site.tls.is_some();
        assert_eq!(protocol, if tls { "h2" } else { "http/1.1" });

        assert_eq!(
            visitor.fetch("GET", "/session/name", None).await.status,
            404
        );
        assert_eq!(visitor.cookie().await, None, "nothing was written");

        changes(visitor, "PUT", "/session/name", Some("\"Ada\"")).await;
        let cookie = visitor.cookie().await.expect("a cookie");
        assert_eq!(cookie["httpOnly"], true);
        assert_eq!(cookie["secure"], tls);
        assert_eq!(cookie["sameSite"], "Lax");
        assert_eq!(cookie["path"], "/");
        // With a Domain attribute there would be a dot in front.
        assert_eq!(cookie["domain"], "localhost");
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.expect("after 1970").as_secs();
        let expiry = cookie["expiry"].as_u64().expect("it persists");
        let day = 24 * 3600;
        assert!(
            (now + day - 600..=now + day).contains(&expiry),
            "{expiry} at {now}"
        );
        let in_script = visitor.browser.run("return document.cookie", json!([]));
        assert_eq!(in_script.await, "", "HttpOnly");
        let first = visitor.token().await;
        let answer = visitor
            .fetch("PUT", "/session/name", Some("\"Grace\""))
            .await;
        assert_eq!((answer.status, answer.cache_control), (204, None));
        assert_eq!(visitor.token().await, first, "a write needs no new cookie");

        let mut old = first;
        for change in ["/login/grace", "/session/rotate"] {
            changes(visitor, "POST", change, None).await;
            let new = visitor.token().await;
            assert_ne!(new, old, "{change}");
            is_anonymous(visitor, &old).await;
            assert_eq!(visitor.replay(&new).await.status, 200, "{change}");
            let name = visitor.fetch("GET", "/session/name", None).await.text;
            assert_eq!(name, "\"Grace\"", "{change}");
            old = new;
        }
        let logins = visitor.fetch("GET", "/logins/grace", None).await.text;
        assert_eq!(logins.matches("id_public").count(), 1, "{logins}");

        let kept = visitor.cookie().await.expect("a cookie");
        changes(visitor, "DELETE", "/session", None).await;
        assert_eq!(visitor.cookie().await, None, "the browser took it out");
        is_anonymous(visitor, &old).await;

        // Somebody kept a copy: it opens nothing, and the next login does not adopt it.
        visitor.browser.add_cookie(kept).await;
        assert_eq!(visitor.token().await, old);
        assert_eq!(visitor.fetch("GET", "/session", None).await.status, 404);
        changes(visitor, "POST", "/login/grace", None).await;
        assert_ne!(visitor.token().await, old);
        assert_eq!(
            visitor.fetch("GET", "/session/name", None).await.status,
            404
        );
    })
    .await;
}
