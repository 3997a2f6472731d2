//! Black box: known things are done to a testbed, and its scrape says exactly these.

use super::scrape::Scrape;
use crate::support::eventually::eventually;
use crate::support::http::Client;
use crate::support::redis_server::RedisServer;
use crate::support::testbed::Testbed;

async fn until(client: &mut Client, sample: &str, value: f64) {
    eventually(sample, async || {
        Scrape::of(client).await.value(sample) == value
    })
    .await;
}

#[tokio::test]
async fn requests_are_served_turned_away_and_in_flight_and_probes_are_none_of_it() {
    let testbed = Testbed::start(&[("GRACE_MS", "20000"), ("SETTLE_MS", "0")]).await;
    let mut client = testbed.client();
    let mut late = testbed.client();
    for path in [
        "/session",
        "/session/a",
        "/nowhere",
        "/metrics",
        "/ready",
        "/status",
    ] {
        client.get(path).await;
    }
    assert_eq!(late.get("/session").await.status, 404);
    let mut slow = testbed.client();
    let slow = tokio::spawn(async move { slow.get("/sleep/6000").await.status });
    until(&mut client, "requests_in_flight", 1.0).await;
    let scrape = Scrape::of(&mut client).await;
    scrape.is(&[
        // In axum a route that there is not is none of the layer's either.
        ("requests_total{outcome=\"served\"}", 3.0),
        ("requests_total{outcome=\"rejected\"}", 0.0),
        ("requests_total{outcome=\"aborted\"}", 0.0),
        ("instance_starts_total{outcome=\"ready\"}", 1.0),
        ("instance_starts_total{outcome=\"failed\"}", 0.0),
        ("phase", 1.0),
        ("shutdown_seconds", 0.0),
        ("drain_seconds", 0.0),
        ("grace_seconds", 20.0),
        ("tasks", 0.0),
    ]);
    assert!(scrape.value("request_oldest_seconds") > 0.0);
    assert!(
        scrape
            .text
            .contains("# HELP tower_handoff_phase 0 starting")
    );

    testbed.signal("TERM");
    until(&mut client, "phase", 3.0).await;
    assert_eq!(late.get("/session").await.status, 503);
    let scrape = Scrape::of(&mut client).await;
    scrape.is(&[
        ("requests_total{outcome=\"served\"}", 3.0),
        ("requests_total{outcome=\"rejected\"}", 1.0),
        ("requests_in_flight", 1.0),
    ]);
    let (shutdown, drain) = (
        scrape.value("shutdown_seconds"),
        scrape.value("drain_seconds"),
    );
    assert!(0.0 < drain && drain <= shutdown, "{drain} {shutdown}");
    assert_eq!(slow.await.expect("an answer"), 200);
    assert_eq!(testbed.exit().await.code, 0);
}

#[tokio::test]
async fn sessions_are_counted_by_what_befalls_them_and_named_by_nothing() {
    let redis = RedisServer::start();
    let testbed = Testbed::start(&[("REDIS_URL", &redis.url())]).await;
    testbed.until("/ready", 200).await;
    let mut client = testbed.client();
    client.put("/session/color", "\"blue\"").await;
    client.get("/session/color").await;
    client.put("/session/color", "\"green\"").await;
    client.post("/counter/visits").await;
    client.post("/session/rotate").await;
    client.put("/broken/color?status=500", "\"red\"").await;
    client.post("/login/ada-lovelace").await;
    let id = client.get("/session").await.json()["id_public"].clone();
    let token = client.cookies.values().next().expect("a cookie").clone();
    client.delete("/session").await;
    let scrape = Scrape::of(&mut client).await;
    scrape.is(&[
        ("sessions_total{event=\"created\"}", 1.0),
        // The one asked for, and the login.
        ("sessions_total{event=\"rotated\"}", 2.0),
        ("sessions_total{event=\"destroyed\"}", 1.0),
        ("session_commits_total{outcome=\"discarded\"}", 1.0),
        ("session_commits_total{outcome=\"failed\"}", 0.0),
        ("session_commits_total{outcome=\"gone\"}", 0.0),
        // Created, green, the counter, the rotation, the login.
        ("session_writes_total{outcome=\"written\"}", 5.0),
        ("session_writes_total{outcome=\"conflict\"}", 0.0),
        ("redis_up", 1.0),
        ("redis_connects_total", 1.0),
        ("redis_outages_total{cause=\"unreachable\"}", 0.0),
    ]);
    assert!(scrape.value("session_loads_total{outcome=\"found\"}") >= 1.0);
    let id = id.as_str().expect("a string");
    for secret in ["ada", "color", "visits", id, &token] {
        assert!(
            !scrape.text.contains(secret),
            "{secret} in\n{}",
            scrape.text
        );
    }
}

#[tokio::test]
async fn locks_are_acquired_waited_for_refused_handed_over_and_lost_under_the_layers_name() {
    let redis = RedisServer::start();
    let testbed = Testbed::start(&[("REDIS_URL", &redis.url()), ("LEASE_MS", "600")]).await;
    testbed.until("/ready", 200).await;
    let mut client = testbed.client();
    let mut holder = testbed.client();
    let holder = tokio::spawn(async move { holder.post("/lock/till-7?hold_ms=3000").await.status });
    until(
        &mut client,
        "lock_acquires_total{lock=\"lock\",outcome=\"acquired\"}",
        1.0,
    )
    .await;
    assert_eq!(client.post("/trylock/till-7").await.status, 409);
    let waited = client.post("/lock/till-7").await.status;
    assert_eq!((holder.await.expect("an answer"), waited), (200, 200));
    until(
        &mut client,
        "lock_releases_total{lock=\"lock\",outcome=\"freed\"}",
        1.0,
    )
    .await;
    let scrape = Scrape::of(&mut client).await;
    scrape.is(&[
        (
            "lock_acquires_total{lock=\"lock\",outcome=\"acquired\"}",
            2.0,
        ),
        ("lock_acquires_total{lock=\"lock\",outcome=\"busy\"}", 0.0),
        (
            "lock_acquires_total{lock=\"trylock\",outcome=\"acquired\"}",
            0.0,
        ),
        (
            "lock_acquires_total{lock=\"trylock\",outcome=\"busy\"}",
            1.0,
        ),
        ("lock_grants_total{lock=\"lock\",path=\"free\"}", 1.0),
        ("lock_grants_total{lock=\"lock\",path=\"queued\"}", 1.0),
        ("lock_waits_total{lock=\"lock\"}", 1.0),
        ("lock_waits_total{lock=\"trylock\"}", 0.0),
        (
            "lock_releases_total{lock=\"lock\",outcome=\"handed_over\"}",
            1.0,
        ),
        ("locks_lost_total{lock=\"lock\"}", 0.0),
        ("lock_wait_seconds_count{lock=\"lock\"}", 2.0),
        ("lock_hold_seconds_count{lock=\"lock\"}", 2.0),
    ]);
    assert!(scrape.value("lock_hold_seconds_sum{lock=\"lock\"}") >= 3.0);

    // Somebody empties Redis: the next renewal finds the lock gone.
    let mut loser = testbed.client();
    let loser = tokio::spawn(async move { loser.post("/lock/till-7?hold_ms=20000").await.status });
    until(
        &mut client,
        "lock_acquires_total{lock=\"lock\",outcome=\"acquired\"}",
        3.0,
    )
    .await;
    redis.command(&["FLUSHALL"]);
    assert_eq!(loser.await.expect("an answer"), 500);
    until(&mut client, "locks_lost_total{lock=\"lock\"}", 1.0).await;
    until(
        &mut client,
        "lock_releases_total{lock=\"lock\",outcome=\"lost_before\"}",
        1.0,
    )
    .await;
    let scrape = Scrape::of(&mut client).await;
    assert!(!scrape.text.contains("till"), "{}", scrape.text);
}

#[tokio::test]
async fn jobs_are_counted_by_what_came_of_them() {
    let testbed = Testbed::start(&[]).await;
    let mut client = testbed.client();
    client.post("/once/report?fresh_ms=60000").await;
    client.post("/once/report?fresh_ms=60000").await;
    client.post("/once/other?end=fail").await;
    let scrape = Scrape::of(&mut client).await;
    scrape.is(&[
        ("once_runs_total{outcome=\"ran\"}", 1.0),
        ("once_runs_total{outcome=\"fresh\"}", 1.0),
        ("once_runs_total{outcome=\"failed\"}", 1.0),
        ("once_runs_total{outcome=\"skipped\"}", 0.0),
        (
            "lock_acquires_total{lock=\"once\",outcome=\"acquired\"}",
            2.0,
        ),
    ]);
}

#[tokio::test]
async fn an_outage_of_redis_is_one_outage_however_many_commands_meet_it() {
    let redis = RedisServer::start();
    let port = redis.port();
    let testbed = Testbed::start(&[("REDIS_URL", &redis.url())]).await;
    testbed.until("/ready", 200).await;
    let mut client = testbed.client();
    client.put("/session/a", "1").await;
    redis.signal("KILL");
    drop(redis);
    until(&mut client, "redis_up", 0.0).await;
    let before = Scrape::of(&mut client).await;
    for _ in 0..3 {
        assert_eq!(client.get("/session/a").await.status, 503);
    }
    let during = Scrape::of(&mut client).await;
    let away = "redis_commands_total{outcome=\"away\"}";
    assert_eq!(during.value(away) - before.value(away), 3.0);
    during.is(&[
        ("redis_outages_total{cause=\"unreachable\"}", 1.0),
        ("redis_connects_total", 1.0),
        ("session_loads_total{outcome=\"unavailable\"}", 3.0),
    ]);
    let _redis = RedisServer::start_on(port, &[]);
    until(&mut client, "redis_up", 1.0).await;
    let after = Scrape::of(&mut client).await;
    after.is(&[
        ("redis_outages_total{cause=\"unreachable\"}", 1.0),
        ("redis_connects_total", 2.0),
    ]);
    assert!(after.value("redis_commands_total{outcome=\"answered\"}") >= 1.0);
    assert!(after.text.contains("tower_handoff_redis_batch_commands"));
}
