//! Sessions across instances that share one Redis.

use super::SERVERS;
use crate::support::http::Client;
use crate::support::redis_server::RedisServer;
use crate::support::testbed::Testbed;

#[tokio::test]
async fn a_session_written_on_one_instance_is_read_on_another_also_after_a_kill() {
    let redis = RedisServer::start();
    for server in SERVERS {
        let url = redis.url();
        let a = Testbed::start(&[("SERVER", server), ("REDIS_URL", &url)]).await;
        let b = Testbed::start(&[("SERVER", server), ("REDIS_URL", &url)]).await;
        a.until("/ready", 200).await;
        b.until("/ready", 200).await;
        let mut on_a = a.client();
        assert_eq!(
            on_a.put("/session/cart", r#"{"items":[1,2]}"#).await.status,
            204
        );
        let mut on_b = on_a.at(b.addr());
        let answer = on_b.get("/session/cart").await;
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, r#"{"items":[1,2]}"#)
        );
        assert_eq!(on_a.put("/session/last", "\"words\"").await.status, 204);
        a.signal("KILL");
        assert_eq!(a.exit().await.code, 128 + 9);
        assert_eq!(on_b.get("/session/last").await.text(), "\"words\"");
    }
}

async fn contract(testbed: &Testbed) {
    let mut client = testbed.client();
    let untouched = client.get("/untouched").await;
    assert_eq!(
        (untouched.status, untouched.header("set-cookie")),
        (200, None)
    );
    assert_eq!(client.get("/session/nothing").await.status, 404);
    assert_eq!(client.get("/session").await.status, 404);
    assert_eq!(client.delete("/session/nothing").await.status, 204);
    assert_eq!(client.post("/session/rotate").await.status, 404);
    assert!(
        client.cookies.is_empty(),
        "nothing was written: {:?}",
        client.cookies
    );

    assert_eq!(client.put("/session/name", "\"Ada\"").await.status, 204);
    let cookie = client.cookies.clone();
    assert_eq!(cookie.len(), 1);
    assert_eq!(
        client
            .put("/session/name", "\"Grace\"")
            .await
            .header("set-cookie"),
        None
    );
    assert_eq!(client.get("/session/name").await.text(), "\"Grace\"");
    let whole = client.get("/session").await.json();
    assert_eq!(whole["fields"]["name"], "Grace");
    let public = whole["id_public"].as_str().expect("a public id").to_owned();
    assert!(
        !cookie.values().any(|value| value == &public),
        "the public id is no cookie"
    );

    // The handler fails: nothing of what it wrote stays.
    assert_eq!(
        client
            .put("/broken/name?status=500", "\"lost\"")
            .await
            .status,
        500
    );
    assert_eq!(client.get("/session/name").await.text(), "\"Grace\"");
    assert_eq!(
        client
            .put("/broken/name?status=404", "\"kept\"")
            .await
            .status,
        404
    );
    assert_eq!(client.get("/session/name").await.text(), "\"kept\"");

    // Rotation: a new cookie, the same data, the old cookie useless at once.
    let mut old = client.at(testbed.addr());
    assert_eq!(client.post("/session/rotate").await.status, 204);
    assert_ne!(client.cookies, cookie);
    assert_eq!(client.get("/session/name").await.text(), "\"kept\"");
    assert_eq!(
        client.get("/session").await.json()["id_public"],
        public.as_str()
    );
    let stale = old.get("/session/name").await;
    assert_eq!((stale.status, stale.header("set-cookie")), (404, None));

    assert_eq!(client.delete("/session/name").await.status, 204);
    assert_eq!(client.get("/session/name").await.status, 404);

    // Logout: the cookie goes, and with it the session, for everybody who has the cookie.
    let mut other_tab = client.at(testbed.addr());
    assert_eq!(client.delete("/session").await.status, 204);
    assert!(client.cookies.is_empty(), "{:?}", client.cookies);
    assert_eq!(other_tab.get("/session").await.status, 404);
    assert_eq!(client.delete("/session").await.status, 204);
}

#[tokio::test]
async fn the_session_routes_keep_their_contract() {
    let redis = RedisServer::start();
    let url = redis.url();
    for server in SERVERS {
        let in_memory = Testbed::start(&[("SERVER", server)]).await;
        contract(&in_memory).await;
        let on_redis = Testbed::start(&[("SERVER", server), ("REDIS_URL", &url)]).await;
        on_redis.until("/ready", 200).await;
        contract(&on_redis).await;
    }
}

#[tokio::test]
async fn a_logout_is_not_undone_by_a_slower_request() {
    let redis = RedisServer::start();
    let url = redis.url();
    for variables in [&[("REDIS_URL", url.as_str())][..], &[]] {
        let testbed = Testbed::start(variables).await;
        testbed.until("/ready", 200).await;
        let mut client = testbed.client();
        client.put("/session/name", "\"Ada\"").await;
        let mut slow = client.at(testbed.addr());
        let mut old = client.at(testbed.addr());
        let write = tokio::spawn(async move { slow.put("/slow/name?ms=700", "\"late\"").await });
        in_flight(&testbed, "/slow/{key}").await;
        assert_eq!(client.delete("/session").await.status, 204);
        let late = write.await.expect("an answer");
        assert_eq!((late.status, late.header("set-cookie")), (409, None));
        assert_eq!(old.get("/session").await.status, 404);
    }
}

/// Waits until the testbed has a request of that route in flight.
pub(crate) async fn in_flight(testbed: &Testbed, route: &str) {
    let mut client = Client::new(testbed.addr());
    for _ in 0..3000 {
        let status = client.get("/status").await.json();
        let requests = status["requests"].as_array().expect("a list");
        if requests.iter().any(|request| request["route"] == route) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("{route} never came in");
}

#[tokio::test]
async fn the_cookie_is_as_strict_as_the_way_there_allows() {
    let strict = Testbed::start(&[("INSECURE_COOKIE", "")]).await;
    let answer = strict.client().put("/session/a", "1").await;
    let cookie = answer.header("set-cookie").expect("a cookie");
    assert!(cookie.starts_with("__Host-session="), "{cookie}");
    for attribute in ["; Secure", "; HttpOnly", "; SameSite=Lax", "; Path=/"] {
        assert!(cookie.contains(attribute), "{attribute} in {cookie}");
    }
    assert!(!cookie.contains("Domain"), "{cookie}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));

    let plain = Testbed::start(&[]).await;
    let answer = plain.client().put("/session/a", "1").await;
    let cookie = answer.header("set-cookie").expect("a cookie");
    assert!(
        cookie.starts_with("session=") && !cookie.contains("Secure"),
        "{cookie}"
    );
}

#[tokio::test]
async fn an_untouched_request_through_all_layers_costs_redis_nothing() {
    let redis = RedisServer::start();
    let url = redis.url();
    for server in SERVERS {
        let testbed = Testbed::start(&[("SERVER", server), ("REDIS_URL", &url)]).await;
        testbed.until("/ready", 200).await;
        let mut client = testbed.client();
        client.put("/session/name", "\"Ada\"").await;
        redis.command(&["CONFIG", "RESETSTAT"]);
        for _ in 0..20 {
            assert_eq!(client.get("/untouched").await.status, 200);
        }
        let counts = redis.command_counts();
        for command in ["get", "getex", "set", "evalsha", "eval", "publish"] {
            assert_eq!(counts.get(command), None, "{counts:?}");
        }
        client.get("/session/name").await;
        assert_eq!(redis.command_counts().get("get"), Some(&1));
    }
}
