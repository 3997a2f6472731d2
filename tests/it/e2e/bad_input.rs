//! Wrong environments and hostile requests.

use super::SERVERS;
use crate::support::redis_server::{RedisServer, free_port};
use crate::support::testbed::Testbed;

#[tokio::test]
async fn a_bad_environment_ends_with_code_2_and_one_line_that_names_it() {
    let cases: &[(&str, &str)] = &[
        ("LISTEN", "nowhere"),
        ("LISTEN", "127.0.0.1"),
        ("LISTEN", "127.0.0.1:99999"),
        ("PROBE_LISTEN", "x"),
        ("SERVER", "apache"),
        ("REDIS_URL", "http://127.0.0.1:6379"),
        ("REDIS_URL", "redis://127.0.0.1:port"),
        ("REDIS_URL", "redis://"),
        ("REDIS_URL", "redis://:6379"),
        ("REDIS_URL", "127.0.0.1:6379"),
        ("REDIS_URL", "redis://127.0.0.1:6379/notanumber"),
        ("KEY_PREFIX", "with space"),
        ("KEY_PREFIX", "with{brace}"),
        ("IDLE_MS", "soon"),
        ("IDLE_MS", "-1"),
        ("IDLE_MS", "0"),
        ("IDLE_MS", "1.5"),
        ("ABSOLUTE_MS", "0"),
        ("ABSOLUTE_MS", "1000"),
        ("FIELD_MAX_BYTES", "0"),
        ("SESSION_MAX_BYTES", "many"),
        ("LEASE_MS", "99"),
        ("LEASE_MS", "99999999999999999999"),
        ("SETTLE_MS", "-5"),
        ("GRACE_MS", "0"),
        ("GRACE_MS", "x"),
        ("GRACE_MS", "86400001"),
        ("HANDOFF_GRACE_MS", "soon"),
        ("INSECURE_COOKIE", "yes"),
    ];
    for (name, value) in cases {
        let exit = Testbed::run(&[(name, value)]).await;
        assert_eq!(exit.code, 2, "{name}={value}: {exit:?}");
        assert!(exit.stdout.is_empty(), "{name}={value}: {exit:?}");
        assert_eq!(exit.stderr.lines().count(), 1, "{name}={value}: {exit:?}");
        assert!(exit.stderr.contains(name), "{name}={value}: {exit:?}");
        assert!(exit.stderr.contains("accepted"), "{name}={value}: {exit:?}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_value_that_is_no_text_is_refused_and_not_ignored() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    for name in [
        "LISTEN",
        "SERVER",
        "REDIS_URL",
        "KEY_PREFIX",
        "INSTANCE_ID",
        "GRACE_MS",
        "HANDOFF_GRACE_MS",
    ] {
        let exit = Testbed::run(&[(name, OsStr::from_bytes(b"50\xff00"))]).await;
        assert_eq!(exit.code, 2, "{name}: {exit:?}");
        assert!(exit.stderr.starts_with(name), "{name}: {exit:?}");
    }
}

#[tokio::test]
async fn a_budget_that_does_not_fit_shows_the_sum() {
    let exit = Testbed::run(&[("SETTLE_MS", "5000"), ("GRACE_MS", "4000")]).await;
    assert_eq!(exit.code, 2, "{exit:?}");
    for part in ["GRACE_MS", "4000", "settle 5s", "hooks", "margin"] {
        assert!(exit.stderr.contains(part), "{part}: {exit:?}");
    }
}

#[tokio::test]
async fn a_password_in_a_url_is_masked() {
    let exit = Testbed::run(&[("REDIS_URL", "redis://user:hunter2@127.0.0.1:port/")]).await;
    assert_eq!(exit.code, 2, "{exit:?}");
    assert!(!exit.stderr.contains("hunter2"), "{exit:?}");
}

#[tokio::test]
async fn an_address_in_use_ends_with_code_1() {
    let port = free_port();
    let _taken = std::net::TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
    let addr = format!("127.0.0.1:{port}");
    for server in SERVERS {
        let exit = Testbed::run(&[("SERVER", server), ("LISTEN", &addr)]).await;
        assert_eq!(exit.code, 1, "{exit:?}");
        assert_eq!(exit.stderr.lines().count(), 1, "{exit:?}");
        assert!(exit.stderr.contains(&addr), "{exit:?}");
    }
}

#[tokio::test]
async fn an_empty_variable_counts_as_unset() {
    let testbed = Testbed::start(&[("REDIS_URL", ""), ("IDLE_MS", ""), ("SERVER", "")]).await;
    assert_eq!(testbed.client().get("/untouched").await.status, 200);
}

#[tokio::test]
async fn hostile_cookies_are_anonymous_and_cost_no_command() {
    let redis = RedisServer::start();
    let url = redis.url();
    let token = |c: char| format!("1{}", c.to_string().repeat(54));
    let cookies: Vec<Vec<u8>> = vec![
        b"session=".to_vec(),
        b"session".to_vec(),
        b";;;=;=".to_vec(),
        b"session=short".to_vec(),
        b"session=\"quoted\"".to_vec(),
        format!("session={}", token('!')).into_bytes(),
        format!("session={}x", token('A')).into_bytes(),
        format!("session={}", "A".repeat(7000)).into_bytes(),
        format!("session={}; x={}", token('A'), "A".repeat(9000)).into_bytes(),
        b"session=\xff\xfe\x80".to_vec(),
        "session=grün".as_bytes().to_vec(),
        b"session=%00%ff".to_vec(),
    ];
    for server in SERVERS {
        let testbed = Testbed::start(&[("SERVER", server), ("REDIS_URL", &url)]).await;
        testbed.until("/ready", 200).await;
        redis.command(&["CONFIG", "RESETSTAT"]);
        for cookie in &cookies {
            let mut client = testbed.client();
            let answer = client
                .exchange("GET", "/session/name", None, &[("cookie", cookie)])
                .await
                .expect("an answer");
            assert_eq!(
                (answer.status, answer.header("set-cookie")),
                (404, None),
                "{cookie:?}"
            );
        }
        let counts = redis.command_counts();
        for command in ["get", "evalsha", "eval", "getex"] {
            assert_eq!(counts.get(command), None, "{counts:?}");
        }
        // A write under a hostile cookie starts a session of its own.
        let mut client = testbed.client();
        let answer = client
            .exchange(
                "PUT",
                "/session/name",
                Some("1"),
                &[("cookie", b"session=attacker-chosen")],
            )
            .await
            .expect("an answer");
        assert_eq!(answer.status, 204);
        assert!(client.cookies["session"] != "attacker-chosen");
    }
}

#[tokio::test]
async fn of_several_cookies_the_valid_one_counts() {
    let redis = RedisServer::start();
    let url = redis.url();
    let testbed = Testbed::start(&[("REDIS_URL", &url)]).await;
    testbed.until("/ready", 200).await;
    let mut owner = testbed.client();
    owner.put("/session/name", "\"Ada\"").await;
    let valid = format!("session={}", owner.cookies["session"]);
    let bogus = format!("session=1{}", "A".repeat(54));
    for cookie in [
        format!("{valid}; {bogus}"),
        format!("{bogus}; {valid}"),
        format!("session=x; {valid}"),
    ] {
        let mut client = testbed.client();
        let answer = client
            .exchange(
                "GET",
                "/session/name",
                None,
                &[("cookie", cookie.as_bytes())],
            )
            .await
            .expect("an answer");
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "\"Ada\""),
            "{cookie}"
        );
    }
}

#[tokio::test]
async fn hostile_keys_and_bodies_are_refused() {
    for server in SERVERS {
        let testbed = Testbed::start(&[
            ("SERVER", server),
            ("FIELD_MAX_BYTES", "100"),
            ("SESSION_MAX_BYTES", "400"),
        ])
        .await;
        let mut client = testbed.client();
        for body in ["", "{", "nul", "{\"a\":}", "1 2"] {
            assert_eq!(client.put("/session/a", body).await.status, 400, "{body:?}");
        }
        assert_eq!(
            client
                .put(&format!("/session/{}", "k".repeat(129)), "1")
                .await
                .status,
            400
        );
        assert!(client.cookies.is_empty());
        assert_eq!(
            client
                .put(&format!("/session/{}", "k".repeat(128)), "1")
                .await
                .status,
            204
        );
        let long = format!("\"{}\"", "x".repeat(99));
        assert_eq!(client.put("/session/a", &long).await.status, 413);
        let fits = format!("\"{}\"", "x".repeat(80));
        let mut last = 204;
        for key in ["a", "b", "c", "d", "e"] {
            last = client.put(&format!("/session/{key}"), &fits).await.status;
        }
        assert_eq!(last, 413, "the session is full");
        assert_eq!(client.get("/session/e").await.status, 404);
        assert_eq!(client.get("/session/a").await.text(), fits);
        for path in [
            "/lock/%00",
            "/lock/%ff%fe",
            "/lock/a%7Bb%7D",
            "/lock/a:b%20c",
        ] {
            let answer = client.post(path).await;
            assert!(matches!(answer.status, 200 | 400), "{path}: {answer:?}");
        }
        for path in [
            "/lock/x?hold_ms=soon",
            "/lock/x?wait_ms=-1",
            "/sleep/never",
            "/session-lock?wait_ms=x",
        ] {
            let method = if path.starts_with("/sleep") {
                "GET"
            } else {
                "POST"
            };
            assert_eq!(client.send(method, path, None).await.status, 400, "{path}");
        }
        assert_eq!(client.get("/untouched").await.status, 200);
    }
}
