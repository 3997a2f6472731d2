//! Redis stops and comes back: clear refusals meanwhile, service afterwards, nothing overwritten.

use super::SERVERS;
use crate::support::redis_server::RedisServer;
use crate::support::testbed::Testbed;

#[tokio::test]
async fn without_redis_sessions_and_locks_refuse_and_the_rest_goes_on() {
    for server in SERVERS {
        let redis = RedisServer::start();
        let url = redis.url();
        let testbed = Testbed::start(&[("SERVER", server), ("REDIS_URL", &url)]).await;
        testbed.until("/ready", 200).await;
        let mut client = testbed.client();
        client.put("/session/name", "\"Ada\"").await;
        redis.signal("STOP");
        for _ in 0..5 {
            for (method, path, body) in [
                ("GET", "/session/name", None),
                ("PUT", "/session/name", Some("1")),
                ("POST", "/counter/x", None),
                ("DELETE", "/session", None),
                ("POST", "/lock/x?wait_ms=100", None),
                ("POST", "/trylock/x", None),
            ] {
                let answer = client.send(method, path, body).await;
                assert_eq!(answer.status, 503, "{method} {path}: {answer:?}");
                assert!(
                    answer.header("retry-after").is_some(),
                    "{method} {path}: {answer:?}"
                );
                assert_eq!(answer.header("set-cookie"), None);
            }
            let mut stranger = testbed.client();
            assert_eq!(stranger.get("/session/name").await.status, 404);
            assert_eq!(client.get("/untouched").await.status, 200);
        }
        let status = client.get("/status").await.json();
        assert_eq!(status["redis"], "away");
        let reason = status["redis_reason"].as_str().expect("it says why");
        assert!(reason.starts_with("Unreachable: "), "{reason}");
        redis.signal("CONT");
        let mut back = false;
        for _ in 0..1000 {
            let answer = client.get("/session/name").await;
            if answer.status == 200 {
                assert_eq!(answer.text(), "\"Ada\"");
                back = true;
                break;
            }
            assert_eq!(answer.status, 503);
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        assert!(back, "sessions never came back");
        assert_eq!(client.post("/lock/x").await.status, 200);
        let status = client.get("/status").await.json();
        assert_eq!(status["redis"], "up");
        assert!(status["redis_reason"].is_null(), "{status}");
        redis.command(&["CONFIG", "SET", "maxmemory", "1"]);
        assert_eq!(client.put("/session/name", "1").await.status, 503);
        let status = client.get("/status").await.json();
        let reason = status["redis_reason"].as_str().expect("it says why");
        assert!(reason.contains("OOM"), "{reason}");
    }
}
