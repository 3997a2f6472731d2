//! The three health routes, on the application's listener and on one of their own.

use super::SERVERS;
use super::sessions::in_flight;
use crate::support::http::Client;
use crate::support::redis_server::{RedisServer, free_port};
use crate::support::testbed::Testbed;

#[tokio::test]
async fn probes_answer_health_json() {
    for server in SERVERS {
        let testbed = Testbed::start(&[("SERVER", server), ("INSTANCE_ID", "alpha")]).await;
        testbed.until("/ready", 200).await;
        let mut client = testbed.client();
        for path in ["/health", "/ready", "/startup"] {
            let answer = client.get(path).await;
            assert_eq!(answer.status, 200, "{path}");
            assert_eq!(
                answer.header("content-type"),
                Some("application/health+json")
            );
            let body = answer.json();
            assert_eq!(
                (&body["status"], &body["phase"]),
                (&"pass".into(), &"ready".into())
            );
            assert_eq!(body["instance"], "alpha");
            assert!(body["checks"].is_object(), "{body}");
            let head = client.send("HEAD", path, None).await;
            assert_eq!((head.status, head.body.len()), (200, 0));
            assert_eq!(client.send("DELETE", path, None).await.status, 405);
        }
        assert_eq!(client.get("/ready?x=1").await.status, 200);
        let status = client.get("/status").await.json();
        assert_eq!(
            status["in_flight"], 0,
            "probes and status are not counted: {status}"
        );
    }
}

#[tokio::test]
async fn an_instance_without_redis_starts_and_becomes_ready_by_itself() {
    let port = free_port();
    let url = format!("redis://127.0.0.1:{port}");
    for server in SERVERS {
        let testbed = Testbed::start(&[("SERVER", server), ("REDIS_URL", &url)]).await;
        let mut client = testbed.client();
        assert_eq!(client.get("/ready").await.status, 503);
        assert_eq!(client.get("/health").await.status, 200);
        // Redis has no part in it; the socket was open a moment before the start was over.
        testbed.until("/startup", 200).await;
        assert_eq!(client.get("/untouched").await.status, 200);
        let redis = RedisServer::start_on(port, &[]);
        testbed.until("/ready", 200).await;
        assert_eq!(client.put("/session/a", "1").await.status, 204);
        // Once it was there, its absence is a warning: a blip must not empty the fleet.
        drop(redis);
        for _ in 0..3000 {
            if client.get("/ready").await.json()["status"] == "warn" {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        let answer = client.get("/ready").await;
        assert_eq!(
            (answer.status, &answer.json()["status"]),
            (200, &"warn".into())
        );
    }
}

#[tokio::test]
async fn probes_on_their_own_listener_answer_to_the_end() {
    for server in SERVERS {
        let testbed = Testbed::start(&[
            ("SERVER", server),
            ("PROBE_LISTEN", "127.0.0.1:0"),
            ("GRACE_MS", "20000"),
        ])
        .await;
        let mut client = testbed.client();
        let slow = tokio::spawn(async move { client.get("/sleep/3000").await.status });
        in_flight(&testbed, "/sleep/{ms}").await;
        testbed.signal("TERM");
        let mut draining = false;
        for _ in 0..1000 {
            let answer = Client::new(testbed.probe_addr()).get("/ready").await;
            if answer.json()["phase"] == "draining" {
                assert_eq!(answer.status, 503);
                draining = true;
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        assert!(draining);
        assert_eq!(
            Client::new(testbed.probe_addr())
                .get("/health")
                .await
                .status,
            200
        );
        assert_eq!(
            Client::new(testbed.probe_addr())
                .get("/untouched")
                .await
                .status,
            404
        );
        assert_eq!(slow.await.expect("an answer"), 200);
        assert_eq!(testbed.exit().await.code, 0);
    }
}
