//! Locks across instances that share one Redis.

use super::SERVERS;
use super::sessions::in_flight;
use crate::support::eventually::eventually;
use crate::support::redis_server::RedisServer;
use crate::support::testbed::Testbed;

/// Waits until this instance holds a lock: its request comes in a moment earlier.
pub(crate) async fn held(testbed: &Testbed) {
    let mut client = testbed.client();
    eventually("a lock is held", async || {
        let status = client.get("/status").await.json();
        status["locks"]
            .as_array()
            .is_some_and(|locks| !locks.is_empty())
    })
    .await;
}

#[tokio::test]
async fn a_lock_held_by_one_instance_is_waited_for_on_another_and_the_fence_grows() {
    let redis = RedisServer::start();
    let url = redis.url();
    for server in SERVERS {
        let a = Testbed::start(&[
            ("SERVER", server),
            ("REDIS_URL", &url),
            ("INSTANCE_ID", "a"),
        ])
        .await;
        let b = Testbed::start(&[
            ("SERVER", server),
            ("REDIS_URL", &url),
            ("INSTANCE_ID", "b"),
        ])
        .await;
        a.until("/ready", 200).await;
        b.until("/ready", 200).await;
        let mut on_a = a.client();
        let holder = tokio::spawn(async move { on_a.post("/lock/orders?hold_ms=600").await });
        held(&a).await;
        let busy = b.client().post("/trylock/orders").await;
        assert_eq!(busy.status, 409, "{busy:?}");
        assert!(busy.header("retry-after").is_some());
        assert_eq!(
            busy.header("content-type"),
            Some("application/problem+json")
        );
        let waited = b.client().post("/lock/orders?wait_ms=20000").await;
        let held = holder.await.expect("an answer");
        assert_eq!(
            (held.status, waited.status),
            (200, 200),
            "{held:?} {waited:?}"
        );
        let (held, waited) = (held.json(), waited.json());
        assert_eq!(
            (&held["instance"], &waited["instance"]),
            (&"a".into(), &"b".into())
        );
        assert!(
            waited["fence"].as_u64() > held["fence"].as_u64(),
            "{held} {waited}"
        );
        // Waits: the lock is let go after the answer.
        let again = a.client().post("/lock/orders").await.json();
        assert!(
            again["fence"].as_u64() > waited["fence"].as_u64(),
            "{waited} {again}"
        );
    }
}

/// It has its answer while there is time to send one, and is not what forces the end.
#[tokio::test]
async fn who_waits_on_an_instance_that_ends_is_told_503_before_its_time_is_over() {
    let redis = RedisServer::start();
    let url = redis.url();
    for server in SERVERS {
        let a = Testbed::start(&[("SERVER", server), ("REDIS_URL", &url)]).await;
        let b = [
            ("SERVER", server),
            ("REDIS_URL", &url),
            ("GRACE_MS", "6000"),
        ];
        let b = Testbed::start(&b).await;
        a.until("/ready", 200).await;
        b.until("/ready", 200).await;
        let mut on_a = a.client();
        tokio::spawn(async move { on_a.try_send("POST", "/lock/x?hold_ms=60000", None).await });
        held(&a).await;
        let mut on_b = b.client();
        let waiter = tokio::spawn(async move { on_b.post("/lock/x?wait_ms=60000").await });
        in_flight(&b, "/lock/{name}").await;
        b.signal("TERM");
        let refused = waiter.await.expect("an answer");
        assert_eq!(refused.status, 503, "{refused:?}");
        assert!(refused.header("retry-after").is_some(), "{refused:?}");
        let exit = b.exit().await;
        assert_eq!((exit.code, exit.stdout.len()), (0, 1), "{exit:?}");
    }
}

#[tokio::test]
async fn waiting_ends_with_409_when_the_patience_does() {
    let redis = RedisServer::start();
    let url = redis.url();
    for variables in [&[("REDIS_URL", url.as_str())][..], &[("SERVER", "hyper")]] {
        let testbed = Testbed::start(variables).await;
        testbed.until("/ready", 200).await;
        let mut client = testbed.client();
        let holder = tokio::spawn(async move { client.post("/lock/x?hold_ms=1500").await });
        held(&testbed).await;
        let busy = testbed.client().post("/lock/x?wait_ms=100").await;
        assert_eq!(busy.status, 409, "{busy:?}");
        assert!(busy.header("retry-after").is_some());
        assert_eq!(
            testbed.client().post("/lock/other?wait_ms=0").await.status,
            200
        );
        assert_eq!(holder.await.expect("an answer").status, 200);
    }
}

#[tokio::test]
async fn a_panic_frees_the_lock() {
    let redis = RedisServer::start();
    let url = redis.url();
    for server in SERVERS {
        for variables in [
            &[("SERVER", server), ("REDIS_URL", url.as_str())][..],
            &[("SERVER", server)],
        ] {
            let testbed = Testbed::start(variables).await;
            testbed.until("/ready", 200).await;
            assert_eq!(testbed.client().post("/panic-lock/x").await.status, 500);
            assert_eq!(
                testbed.client().post("/lock/x?wait_ms=3000").await.status,
                200
            );
            assert_eq!(testbed.client().get("/status").await.json()["in_flight"], 0);
        }
    }
}

#[tokio::test]
async fn a_client_that_hangs_up_leaves_no_lock() {
    let redis = RedisServer::start();
    let url = redis.url();
    let testbed = Testbed::start(&[("REDIS_URL", &url)]).await;
    testbed.until("/ready", 200).await;
    let mut client = testbed.client();
    let request = tokio::spawn(async move { client.post("/lock/x?hold_ms=20000").await });
    held(&testbed).await;
    request.abort();
    assert!(request.await.is_err());
    // Less than the lease and much less than the handler would have held it.
    assert_eq!(
        testbed.client().post("/lock/x?wait_ms=4000").await.status,
        200
    );
}

#[tokio::test]
async fn a_killed_holder_keeps_its_lock_no_longer_than_the_lease() {
    let redis = RedisServer::start();
    let url = redis.url();
    let a = Testbed::start(&[("REDIS_URL", &url), ("LEASE_MS", "1000")]).await;
    let b = Testbed::start(&[("REDIS_URL", &url), ("LEASE_MS", "1000")]).await;
    a.until("/ready", 200).await;
    b.until("/ready", 200).await;
    let mut client = a.client();
    let holder = tokio::spawn(async move {
        client
            .try_send("POST", "/lock/x?hold_ms=60000", None)
            .await
            .is_err()
    });
    held(&a).await;
    a.signal("KILL");
    assert!(
        holder.await.expect("a result"),
        "the killed instance answers nothing"
    );
    assert_eq!(b.client().post("/lock/x?wait_ms=15000").await.status, 200);
}

#[tokio::test]
async fn a_session_is_a_key_too() {
    let redis = RedisServer::start();
    let url = redis.url();
    let testbed = Testbed::start(&[("REDIS_URL", &url)]).await;
    testbed.until("/ready", 200).await;
    let mut client = testbed.client();
    assert_eq!(client.post("/session-lock").await.status, 400);
    client.put("/session/a", "1").await;
    let mut second = client.at(testbed.addr());
    let holder = tokio::spawn(async move { client.post("/session-lock?hold_ms=1500").await });
    held(&testbed).await;
    assert_eq!(second.post("/session-lock?wait_ms=50").await.status, 409);
    let mut stranger = testbed.client();
    stranger.put("/session/a", "1").await;
    assert_eq!(stranger.post("/session-lock?wait_ms=50").await.status, 200);
    assert_eq!(holder.await.expect("an answer").status, 200);
}
