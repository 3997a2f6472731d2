//! Jobs in testbed processes that share one Redis.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::e2e::locks::held;
use crate::support::http::Answer;
use crate::support::redis_server::RedisServer;
use crate::support::testbed::Testbed;

const NAMES: [&str; 3] = ["a", "b", "c"];

async fn start(redis: &RedisServer, lease_ms: &str) -> Vec<Testbed> {
    let url = redis.url();
    let instances = NAMES.map(|name| {
        let url = url.as_str();
        async move {
            let testbed = Testbed::start(&[
                ("REDIS_URL", url),
                ("INSTANCE_ID", name),
                ("LEASE_MS", lease_ms),
            ])
            .await;
            testbed.until("/ready", 200).await;
            testbed
        }
    });
    join_all(instances).await
}

fn post(testbed: &Testbed, path: &str) -> tokio::task::JoinHandle<std::io::Result<Answer>> {
    let (mut client, path) = (testbed.client(), path.to_owned());
    tokio::spawn(async move {
        let answer = client.try_send("POST", &path, None).await;
        answer.map_err(|error| std::io::Error::other(error.to_string()))
    })
}

/// Waits until `a` has begun with job `x`.
async fn begun(fleet: &[Testbed]) {
    held(&fleet[0]).await;
    let by = json!({ "ran": false, "by": "a" });
    assert_eq!(asked(&fleet[1], "/once/x").await, by);
    // What Redis has noted, `a` has yet to read.
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
}

async fn asked(testbed: &Testbed, path: &str) -> Value {
    let answer = testbed.client().post(path).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// Asks until this instance gets to run the job.
async fn runs(testbed: &Testbed, name: &str, path: &str) {
    crate::support::eventually::eventually("the job runs", async || {
        asked(testbed, path).await == json!({ "ran": true, "instance": name })
    })
    .await;
}

#[tokio::test]
async fn one_process_runs_a_job_and_the_others_name_it() {
    let redis = RedisServer::start();
    let fleet = start(&redis, "5000").await;
    for round in 0..3 {
        let path = format!("/once/job{round}?fresh_ms=60000&hold_ms=500");
        let tasks = (0..24).map(|number| post(&fleet[number % 3], &path));
        let answers: Vec<_> = join_all(tasks)
            .await
            .into_iter()
            .map(|answer| answer.unwrap().unwrap().json())
            .collect();
        let ran: Vec<_> = answers
            .iter()
            .filter(|answer| answer["ran"] == true)
            .collect();
        assert_eq!(ran.len(), 1, "{answers:?}");
        let other = json!({ "ran": false, "by": ran[0]["instance"] });
        assert_eq!(
            answers.iter().filter(|answer| **answer == other).count(),
            23,
            "{answers:?}"
        );
        for testbed in &fleet {
            assert_eq!(asked(testbed, &path).await, other);
        }
    }
}

#[tokio::test]
async fn a_killed_runner_frees_the_job_after_its_lease() {
    let redis = RedisServer::start();
    let fleet = start(&redis, "1000").await;
    let killed = post(&fleet[0], "/once/x?fresh_ms=60000&hold_ms=60000");
    begun(&fleet).await;
    fleet[0].signal("KILL");
    assert!(killed.await.unwrap().is_err());
    runs(&fleet[1], "b", "/once/x").await;
}

#[tokio::test]
async fn a_runner_stopped_past_its_lease_is_told_and_keeps_nothing() {
    let redis = RedisServer::start();
    let fleet = start(&redis, "1000").await;
    let path = "/once/x?fresh_ms=60000";
    let late = post(&fleet[0], "/once/x?fresh_ms=60000&hold_ms=1500");
    begun(&fleet).await;
    fleet[0].signal("STOP");
    runs(&fleet[1], "b", path).await;
    // By now its job would be over as well.
    tokio::time::sleep(std::time::Duration::from_millis(1_000)).await;
    fleet[0].signal("CONT");
    let late = late.await.unwrap().unwrap();
    assert_eq!(late.status, 500, "{late:?}");
    assert!(late.json()["type"].as_str().unwrap().ends_with("lock-lost"));
    assert_eq!(
        late.header("content-type"),
        Some("application/problem+json")
    );
    assert_eq!(late.header("retry-after"), None);
    for testbed in &fleet {
        assert_eq!(
            asked(testbed, path).await,
            json!({ "ran": false, "by": "b" })
        );
    }
}

#[tokio::test]
async fn a_job_that_fails_panics_or_is_abandoned_is_free_at_once() {
    let redis = RedisServer::start();
    let fleet = start(&redis, "3600000").await;
    for end in ["fail", "panic"] {
        let path = format!("/once/{end}?fresh_ms=60000");
        let failed = fleet[0].client().post(&format!("{path}&end={end}")).await;
        assert_eq!(failed.status, 500, "{failed:?}");
        runs(&fleet[1], "b", &path).await;
    }
    let abandoned = post(&fleet[0], "/once/x?hold_ms=60000");
    held(&fleet[0]).await;
    abandoned.abort();
    assert!(abandoned.await.is_err());
    runs(&fleet[1], "b", "/once/x").await;
}

#[tokio::test]
async fn without_redis_a_job_is_refused_and_a_running_one_loses_its_lease() {
    let redis = RedisServer::start();
    let fleet = start(&redis, "1000").await;
    let running = post(&fleet[0], "/once/x?hold_ms=60000");
    begun(&fleet).await;
    redis.signal("STOP");
    let lost = running.await.unwrap().unwrap();
    assert_eq!(lost.status, 500, "{lost:?}");
    assert!(lost.json()["type"].as_str().unwrap().ends_with("lock-lost"));
    for path in ["/once/x", "/once/y?fresh_ms=1000"] {
        let refused = fleet[0].client().post(path).await;
        assert_eq!(refused.status, 503, "{refused:?}");
        assert!(refused.header("retry-after").is_some());
        assert_eq!(
            refused.header("content-type"),
            Some("application/problem+json")
        );
    }
    redis.signal("CONT");
    crate::support::eventually::eventually("the job runs", async || {
        let answer = fleet[0].client().post("/once/x").await;
        answer.status == 200 && answer.json()["ran"] == true
    })
    .await;
}

#[tokio::test]
async fn one_instance_in_memory_keeps_to_it_too_and_bad_input_is_refused() {
    for server in ["axum", "hyper"] {
        let testbed = Testbed::start(&[("SERVER", server), ("INSTANCE_ID", "a")]).await;
        runs(&testbed, "a", "/once/x?fresh_ms=60000").await;
        let fresh = asked(&testbed, "/once/x").await;
        assert_eq!(fresh, json!({ "ran": false, "by": "a" }));
        let running = post(&testbed, "/once/y?hold_ms=60000");
        held(&testbed).await;
        assert_eq!(
            asked(&testbed, "/once/y").await,
            json!({ "ran": false, "by": "a" })
        );
        running.abort();
        runs(&testbed, "a", "/once/%7Bz%7D%3A%00").await;
        let long = format!("/once/{}", "x".repeat(129));
        for bad in [
            &*long,
            "/once/x?fresh_ms=-1",
            "/once/x?fresh_ms=99999999999999",
            "/once/x?hold_ms=soon",
        ] {
            let answer = testbed.client().post(bad).await;
            assert_eq!(answer.status, 400, "{bad}: {answer:?}");
        }
    }
}
