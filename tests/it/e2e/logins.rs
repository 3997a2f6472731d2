//! Users across instances: who is logged in where, and out everywhere.

use std::time::{SystemTime, UNIX_EPOCH};

use super::SERVERS;
use super::sessions::in_flight;
use crate::support::http::Client;
use crate::support::redis_server::RedisServer;
use crate::support::testbed::Testbed;

/// The public ids in a user's list.
async fn listed(client: &mut Client, user: &str) -> Vec<String> {
    let answer = client.get(&format!("/logins/{user}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let list = answer.json();
    let list = list.as_array().expect("a list");
    let id = |login: &serde_json::Value| login["id_public"].as_str().expect("an id").to_owned();
    list.iter().map(id).collect()
}

async fn own_id(client: &mut Client) -> String {
    let whole = client.get("/session").await.json();
    whole["id_public"].as_str().expect("a public id").to_owned()
}

async fn contract(testbed: &Testbed, other: &Testbed) {
    let mut client = testbed.client();
    assert!(listed(&mut client, "ada").await.is_empty());
    let ended = client.delete("/logins/ada").await;
    assert_eq!(
        (ended.status, ended.text().as_str()),
        (200, r#"{"ended":0}"#)
    );
    assert!(client.cookies.is_empty(), "nobody logged in");

    // A session from before the login keeps its data, and gets another secret.
    assert_eq!(client.put("/session/cart", "[1]").await.status, 204);
    let mut before = client.at(testbed.addr());
    let login = client.post("/login/ada").await;
    assert_eq!(login.status, 204);
    assert!(login.header("set-cookie").is_some());
    assert_eq!(login.header("cache-control"), Some("no-store"));
    assert_eq!(client.get("/session/cart").await.text(), "[1]");
    assert_eq!(before.get("/session/cart").await.status, 404);
    let id = own_id(&mut client).await;
    assert_eq!(listed(&mut client, "ada").await, [id.as_str()]);

    // Without a session the login makes one.
    let mut second = other.client();
    assert_eq!(second.post("/login/ada").await.status, 204);
    let second_id = own_id(&mut second).await;
    let both = listed(&mut client, "ada").await;
    assert!(both.len() == 2 && both.contains(&id) && both.contains(&second_id));
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock");
    let list = client.get("/logins/ada").await.json();
    for login in list.as_array().expect("a list") {
        let (created, seen) = (login["created_ms"].as_u64(), login["seen_ms"].as_u64());
        assert!(created <= seen, "{login}");
        let age = (now.as_millis() as u64).abs_diff(seen.expect("a time"));
        assert!(age < 60_000, "{login}");
    }

    // Whoever logs in as somebody else leaves the first list.
    assert_eq!(second.post("/login/eve").await.status, 204);
    assert_eq!(own_id(&mut second).await, second_id);
    assert_eq!(listed(&mut client, "ada").await, [id.as_str()]);
    assert_eq!(listed(&mut client, "eve").await, [second_id.as_str()]);
    assert_eq!(second.post("/login/ada").await.status, 204);

    // Everywhere out, on whatever instance it is asked for.
    let mut third = testbed.client();
    assert_eq!(third.post("/login/eve").await.status, 204);
    let ended = third.delete("/logins/ada").await;
    assert_eq!(
        (ended.status, ended.text().as_str()),
        (200, r#"{"ended":2}"#)
    );
    for client in [&mut client, &mut second] {
        let gone = client.get("/session").await;
        assert_eq!((gone.status, gone.header("set-cookie")), (404, None));
    }
    assert_eq!(third.get("/session").await.status, 200);
    assert!(listed(&mut third, "ada").await.is_empty());

    // A logout leaves the list.
    assert_eq!(third.delete("/session").await.status, 204);
    assert!(listed(&mut client, "eve").await.is_empty());
}

#[tokio::test]
async fn the_login_routes_keep_their_contract() {
    for server in SERVERS {
        let redis = RedisServer::start();
        let url = redis.url();
        let in_memory = Testbed::start(&[("SERVER", server)]).await;
        contract(&in_memory, &in_memory).await;
        let a = Testbed::start(&[("SERVER", server), ("REDIS_URL", &url)]).await;
        let b = Testbed::start(&[("SERVER", server), ("REDIS_URL", &url)]).await;
        a.until("/ready", 200).await;
        b.until("/ready", 200).await;
        contract(&a, &b).await;
    }
}

#[tokio::test]
async fn names_are_what_they_are_and_bad_ones_are_refused() {
    let redis = RedisServer::start();
    let url = redis.url();
    for variables in [&[("REDIS_URL", url.as_str())][..], &[]] {
        let testbed = Testbed::start(variables).await;
        testbed.until("/ready", 200).await;
        let mut client = testbed.client();
        let long = "x".repeat(257);
        for bad in ["", &long, "%ff"] {
            for (method, path) in [("POST", "login"), ("GET", "logins"), ("DELETE", "logins")] {
                let answer = client.send(method, &format!("/{path}/{bad}"), None).await;
                assert_eq!(answer.status, 400, "{method} {bad}");
            }
        }
        assert!(client.cookies.is_empty());
        let longest = "%00".repeat(256);
        let names = [
            "a%7Dda",
            "a%7Bda",
            "a%25 7Dda",
            "a%2Fda",
            "%C3%A4",
            "a:da",
            &longest,
        ];
        let names = names.map(|name| name.replace(' ', ""));
        for name in &names {
            let answer = testbed.client().post(&format!("/login/{name}")).await;
            assert_eq!(answer.status, 204, "{name}");
        }
        for name in &names {
            assert_eq!(listed(&mut client, name).await.len(), 1, "{name}");
        }
        let ended = client.delete(&format!("/logins/{}", names[0])).await;
        assert_eq!(ended.json()["ended"], 1);
        assert_eq!(listed(&mut client, &names[1]).await.len(), 1);
    }
}

#[tokio::test]
async fn a_slower_request_brings_no_revoked_session_back() {
    let redis = RedisServer::start();
    let url = redis.url();
    for variables in [&[("REDIS_URL", url.as_str())][..], &[]] {
        let testbed = Testbed::start(variables).await;
        testbed.until("/ready", 200).await;
        let mut client = testbed.client();
        assert_eq!(client.post("/login/ada").await.status, 204);
        let mut slow = client.at(testbed.addr());
        let write = tokio::spawn(async move { slow.put("/slow/name?ms=700", "\"late\"").await });
        in_flight(&testbed, "/slow/{key}").await;
        let ended = testbed.client().delete("/logins/ada").await;
        assert_eq!(ended.json()["ended"], 1);
        let late = write.await.expect("an answer");
        assert_eq!((late.status, late.header("set-cookie")), (409, None));
        assert_eq!(client.get("/session").await.status, 404);
        assert!(listed(&mut client, "ada").await.is_empty());
    }
}

#[tokio::test]
async fn a_login_begins_the_absolute_clock_anew() {
    let redis = RedisServer::start();
    let times = [("IDLE_MS", "4000"), ("ABSOLUTE_MS", "4000")];
    let url = redis.url();
    for more in [&[("REDIS_URL", url.as_str())][..], &[]] {
        let testbed = Testbed::start(&[&times, more].concat()).await;
        testbed.until("/ready", 200).await;
        let mut client = testbed.client();
        let mut stays = testbed.client();
        assert_eq!(client.put("/session/a", "1").await.status, 204);
        assert_eq!(stays.put("/session/a", "1").await.status, 204);
        tokio::time::sleep(std::time::Duration::from_millis(2000)).await;
        assert_eq!(client.post("/login/ada").await.status, 204);
        // The session that nobody logged in with ends first.
        while stays.get("/session").await.status == 200 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert_eq!(client.get("/session/a").await.text(), "1");
        let ended = |status| status == 404;
        for _ in 0..500 {
            if ended(client.get("/session").await.status) {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert_eq!(client.get("/session").await.status, 404);
        assert!(listed(&mut client, "ada").await.is_empty());
    }
}

#[tokio::test]
async fn logins_need_their_redis() {
    let redis = RedisServer::start();
    let testbed = Testbed::start(&[("REDIS_URL", &redis.url())]).await;
    testbed.until("/ready", 200).await;
    let mut client = testbed.client();
    assert_eq!(client.post("/login/ada").await.status, 204);
    let port = redis.port();
    drop(redis);
    for (method, path) in [
        ("POST", "/login/eve"),
        ("GET", "/logins/ada"),
        ("DELETE", "/logins/ada"),
    ] {
        let answer = client.send(method, path, None).await;
        assert_eq!(answer.status, 503, "{method} {path}");
        assert!(answer.header("retry-after").is_some());
        assert_eq!(answer.header("set-cookie"), None);
    }
    let _redis = RedisServer::start_on(port, &[]);
    for _ in 0..1500 {
        if client.get("/logins/ada").await.status == 200 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("logins never come back");
}
