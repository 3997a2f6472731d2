//! Many requests of one browser at once, and the jar they share.

use std::collections::BTreeSet;

use super::site::{Site, Visitor, behind_tls, on_both};
use crate::e2e::sessions::in_flight;

#[tokio::test]
#[ignore = "wants Chromium: ./scripts/test browser"]
async fn a_rotation_amid_many_requests_loses_no_increment() {
    on_both(async |visitor| {
        visitor.fetch("POST", "/login/ada", None).await;
        let before = visitor.token().await;
        let mut requests = [("POST", "/counter/hits"); 21];
        requests[10] = ("POST", "/session/rotate");
        let mut answers = visitor.fetch_all(&requests).await;
        assert_eq!(answers.remove(10).status, 204);
        let mut counted = BTreeSet::new();
        let mut refused = 0;
        for answer in answers {
            match answer.status {
                200 => assert!(counted.insert(answer.text), "no number twice"),
                // It was under way with the secret of before, did nothing, and says so.
                409 => refused += 1,
                _ => panic!("{answer:?}"),
            }
        }
        assert_ne!(visitor.token().await, before, "no late answer put it back");
        for _ in 0..refused {
            let again = visitor.fetch("POST", "/counter/hits", None).await;
            assert_eq!(again.status, 200);
            assert!(counted.insert(again.text), "no number twice");
        }
        assert_eq!(counted, (1..=20).map(|n: u32| n.to_string()).collect());
        assert_eq!(visitor.fetch("GET", "/session/hits", None).await.text, "20");
    })
    .await;
}

#[tokio::test]
#[ignore = "wants Chromium: ./scripts/test browser"]
async fn a_slow_write_neither_undoes_a_logout_nor_a_rotation() {
    on_both(async |visitor| {
        visitor.fetch("POST", "/login/ada", None).await;
        begin_slow_write(visitor).await;
        assert_eq!(
            visitor.fetch("POST", "/session/rotate", None).await.status,
            204
        );
        let rotated = visitor.token().await;
        assert_eq!(visitor.fetched().await.status, 409);
        assert_eq!(visitor.token().await, rotated);
        assert_eq!(
            visitor.fetch("GET", "/session/late", None).await.status,
            404
        );

        begin_slow_write(visitor).await;
        assert_eq!(visitor.fetch("DELETE", "/session", None).await.status, 204);
        assert_eq!(visitor.cookie().await, None);
        assert_eq!(visitor.fetched().await.status, 409);
        assert_eq!(visitor.cookie().await, None);
        assert_eq!(visitor.fetch("GET", "/session", None).await.status, 404);
        assert_eq!(visitor.fetch("GET", "/logins/ada", None).await.text, "[]");
        assert_eq!(visitor.replay(&rotated).await.status, 404);
    })
    .await;
}

async fn begin_slow_write(visitor: &mut Visitor) {
    visitor.begin("PUT", "/slow/late?ms=2000", Some("1")).await;
    in_flight(&visitor.site.testbed, "/slow/{key}").await;
}

#[tokio::test]
#[ignore = "wants Chromium: ./scripts/test browser"]
async fn a_visitor_does_not_notice_that_the_instance_is_another() {
    let mut visitor = Visitor::of(Site::tls().await).await;
    visitor.fetch("POST", "/login/ada", None).await;
    assert_eq!(visitor.fetch("POST", "/counter/hits", None).await.text, "1");
    let token = visitor.token().await;
    let (Some(redis), Some(tls)) = (&visitor.site.redis, &visitor.site.tls) else {
        panic!("a site with TLS has both");
    };
    let next = behind_tls(redis).await;
    tls.switch(next.addr());
    let last = std::mem::replace(&mut visitor.site.testbed, next);
    last.signal("TERM");
    assert_eq!(last.exit().await.code, 0);
    assert_eq!(visitor.fetch("POST", "/counter/hits", None).await.text, "2");
    assert_eq!(visitor.token().await, token);
    visitor.browser.close().await;
}
