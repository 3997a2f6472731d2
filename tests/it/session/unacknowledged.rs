//! Writes that are to wait for replicas, where it is known beforehand that nobody can wait for any: they
//! are not carried out, so that whoever sends them again is not counted twice.

use std::time::Duration;

use http::StatusCode;
use tower_handoff::redis::RedisHandle;
use tower_handoff::session::SessionLayer;

use super::support::{read, request, visit};
use crate::support::eventually::{PATIENCE, eventually};
use crate::support::redis_server::RedisServer;
use crate::support::replica::pair;

async fn write(layer: &SessionLayer, cookie: &str, value: &str) -> StatusCode {
    let answer = request(layer, cookie, async |session| {
        session.set("name", value).unwrap();
        StatusCode::OK
    });
    answer.await.status
}

/// Who may do all but `lacks`: one layer that waits for replicas, and one that does not.
fn layers(master: &RedisServer, lacks: &str) -> [SessionLayer; 2] {
    let user = ["ACL", "SETUSER", "me", "on", ">pw", "~*", "&*", "+@all"];
    master.command(&user);
    master.command(&["ACL", "SETUSER", "me", &format!("-{lacks}")]);
    let url = format!("redis://me:pw@127.0.0.1:{}", master.port());
    let builder = RedisHandle::builder(url).command_timeout(PATIENCE);
    let handle = builder.connect().unwrap();
    let waiting = handle.sessions().replicas(1, Duration::from_secs(3));
    [waiting.unwrap(), handle.sessions()].map(SessionLayer::new)
}

#[tokio::test]
async fn a_right_that_lacks_is_met_once_and_nothing_is_written_until_it_is_there() {
    for lacks in ["wait", "publish"] {
        let (master, _replica) = pair().await;
        let [durable, plain] = layers(&master, lacks);
        let cookie = visit(&plain, "", "name", "first").await;
        // What nobody knows before the first time.
        let status = write(&durable, &cookie, "second").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{lacks}");
        for _ in 0..3 {
            let status = write(&durable, &cookie, "third").await;
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{lacks}");
            let kept = read(&plain, &cookie, "name").await;
            assert_eq!(kept.as_deref(), Some("second"), "{lacks}: it was written");
        }
        master.command(&["ACL", "SETUSER", "me", &format!("+{lacks}")]);
        let status = write(&durable, &cookie, "fourth").await;
        assert_eq!(status, StatusCode::OK, "{lacks}");
    }
}

#[tokio::test]
async fn nothing_is_written_where_redis_does_not_say_which_server_it_is() {
    let (master, _replica) = pair().await;
    let [durable, plain] = layers(&master, "info");
    let cookie = visit(&plain, "", "name", "first").await;
    let status = write(&durable, &cookie, "second").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let kept = read(&plain, &cookie, "name").await;
    assert_eq!(kept.as_deref(), Some("first"));
}

#[tokio::test]
async fn nothing_is_written_while_the_second_connection_is_away() {
    let (master, _replica) = pair().await;
    let builder = RedisHandle::builder(master.url()).command_timeout(PATIENCE);
    let handle = builder.connect().unwrap();
    let plain = SessionLayer::new(handle.sessions());
    let cookie = visit(&plain, "", "name", "first").await;
    let client = redis::Client::open(master.url()).unwrap();
    let mut admin = client.get_connection().unwrap();
    let mut most = |clients: u32| {
        let mut config = redis::cmd("CONFIG");
        config.arg("SET").arg("maxclients").arg(clients);
        config.exec(&mut admin).unwrap();
    };
    // There is no place but for the first one, and for what is asked here.
    most(2);
    let waiting = handle.sessions().replicas(1, Duration::from_secs(3));
    let durable = SessionLayer::new(waiting.unwrap());
    // The connection is made when it is needed: until the first attempt has failed nobody knows.
    write(&durable, &cookie, "second").await;
    eventually("it is said", async || handle.warning().is_some()).await;
    for _ in 0..3 {
        let status = write(&durable, &cookie, "third").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        let kept = read(&plain, &cookie, "name").await;
        assert_eq!(kept.as_deref(), Some("second"), "it was written");
    }
    most(10_000);
    eventually("both are there", async || {
        write(&durable, &cookie, "fourth").await == StatusCode::OK
    })
    .await;
}
