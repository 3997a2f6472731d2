//! Sessions while their slots move, and what a login costs.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tower::{Layer, service_fn};
use tower_handoff::session::{Session, SessionExpiry, SessionLayer, SessionStore};

use super::connect;
use crate::support::eventually::eventually;
use crate::support::evidence::oneshot;
use crate::support::redis_cluster::RedisCluster;

/// One request; returns the cookie to go on with.
pub(super) async fn request<F: Future<Output = ()>>(
    layer: &SessionLayer,
    cookie: &str,
    handler: impl FnOnce(Session) -> F,
) -> String {
    let (status, set) = answer(layer, cookie, handler).await;
    assert_eq!(status, 200);
    set.unwrap_or_else(|| cookie.to_owned())
}

/// One request: its status, and the cookie that was set.
pub(super) async fn answer<F: Future<Output = ()>>(
    layer: &SessionLayer,
    cookie: &str,
    handler: impl FnOnce(Session) -> F,
) -> (StatusCode, Option<String>) {
    let mut handler = Some(handler);
    let service = layer.layer(service_fn(move |request: Request<()>| {
        let session = Session::from_extensions(request.extensions());
        let session = session.expect("the layer is there").clone();
        let done = (handler.take().expect("called once"))(session);
        async move {
            done.await;
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        }
    }));
    let request = Request::get("/").header("cookie", cookie).body(());
    let answer = oneshot(service, request.expect("a request"))
        .await
        .expect("infallible");
    let set = answer.headers().get("set-cookie");
    let set = set.map(|value| value.to_str().expect("text").split(';').next());
    (answer.status(), set.flatten().map(str::to_owned))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_are_exact_while_their_slots_move() {
    let cluster = RedisCluster::start().await;
    let handle = connect(&cluster).await;
    let layer = SessionLayer::new(handle.sessions());
    let mut cookies = Vec::new();
    for _ in 0..4 {
        let cookie = request(&layer, "", async |session| {
            session.set("n", &0).expect("small");
        });
        cookies.push(cookie.await);
    }
    let writing: Vec<_> = cookies
        .iter()
        .cloned()
        .map(|cookie| {
            let layer = layer.clone();
            tokio::spawn(async move {
                for _ in 0..300 {
                    request(&layer, &cookie, async |session| {
                        session.increment("n", 1).await.expect("written");
                    })
                    .await;
                    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
                }
            })
        })
        .collect();
    let keys = (0..3).flat_map(|node| {
        let keys = cluster.nodes[node].command(&["KEYS", "app:s1:*"]);
        redis::from_redis_value::<Vec<String>>(keys).expect("keys")
    });
    let slots: Vec<u16> = keys.map(|key| cluster.slot_of(&key)).collect();
    assert_eq!(slots.len(), cookies.len(), "one key for each session");
    let cluster = tokio::task::spawn_blocking(move || {
        for _ in 0..6 {
            for slot in &slots {
                cluster.move_slot(*slot, (cluster.owner(*slot) + 1) % 3);
            }
        }
        cluster
    });
    let _cluster = cluster.await.expect("moved");
    for writer in writing {
        writer.await.expect("every request was answered 200");
    }
    for cookie in &cookies {
        request(&layer, cookie, async |session| {
            let n: Option<u32> = session.get("n").await.expect("read");
            assert_eq!(n, Some(300));
        })
        .await;
    }
}

#[tokio::test]
async fn a_login_is_two_commands_and_the_users_list_works_over_all_nodes() {
    let cluster = RedisCluster::start().await;
    let handle = connect(&cluster).await;
    let layer = SessionLayer::new(handle.sessions());
    let scripts = || -> u64 {
        let counts = cluster.nodes.iter().map(|node| node.command_counts());
        let runs = counts.flat_map(|counts| {
            ["evalsha", "eval"].map(|name| counts.get(name).copied().unwrap_or(0))
        });
        runs.sum()
    };
    let login = async || {
        request(&layer, "", async |session| {
            session.bind("ada").expect("a name");
        })
        .await
    };
    let mut cookies = Vec::new();
    // So often that every node knows the scripts, and that the list has more than a page.
    for _ in 0..120 {
        cookies.push(login().await);
    }
    let before = scripts();
    cookies.push(login().await);
    assert_eq!(scripts() - before, 2, "the list, then the session");

    let store = handle.sessions();
    let listed = async || store.sessions_of("ada").await.expect("listed").len();
    assert_eq!(listed().await, 121);
    // A logout takes itself off the list.
    let entries = async || {
        let count = super::command(&["ZCARD", "app:u1:{ada}"]);
        handle.wire().send(count).await.expect("counted")
    };
    request(&layer, &cookies[0], async |session| {
        session.destroy().await.expect("ended");
    })
    .await;
    eventually("the entry goes too", async || {
        entries().await == redis::Value::Int(120)
    })
    .await;
    let one = *store.sessions_of("ada").await.expect("listed")[70].id();
    let ended = store
        .revoke("ada", tower_handoff::session::Revoke::Others(one))
        .await;
    assert_eq!(ended.expect("ended"), 119);
    assert_eq!(listed().await, 1);
    assert_eq!(entries().await, redis::Value::Int(1));
}

#[tokio::test]
async fn an_entry_that_a_fail_over_lost_comes_back_with_the_next_renewal() {
    let cluster = RedisCluster::shared().await;
    let handle = connect(&cluster).await;
    let second = std::time::Duration::from_secs(1);
    let expiry = SessionExpiry::new(10 * second, 60 * second).expect("in range");
    let layer = SessionLayer::new(handle.sessions()).with_expiry(expiry);
    let cookie = request(&layer, "", async |session| {
        session.bind("lost").expect("a name");
    });
    let cookie = cookie.await;
    let forget = super::command(&["DEL", "app:u1:{lost}"]);
    let forgotten = handle.wire().send(forget).await.expect("carried out");
    assert_eq!(forgotten, redis::Value::Int(1), "there was a list");
    eventually("it is listed", async || {
        // The renewal window is a second.
        request(&layer, &cookie, async |session| {
            assert!(session.exists().await.expect("read"));
        })
        .await;
        let listed = handle.sessions().sessions_of("lost").await;
        listed.expect("listed").len() == 1
    })
    .await;
}

/// Where the entry was made and the session is about to be saved: whoever walks in between must not
/// take the entry off the list.
#[tokio::test]
async fn a_walk_between_a_login_s_two_commands_leaves_its_entry() {
    let cluster = RedisCluster::shared().await;
    let handle = connect(&cluster).await;
    let (wire, store) = (handle.wire(), handle.sessions());
    let layer = SessionLayer::new(handle.sessions());
    let bound = request(&layer, "", async |session| {
        session.bind("between").expect("a name");
    });
    bound.await;
    let listed = async || store.sessions_of("between").await.expect("listed");
    let key = format!("app:s1:{{{}}}", listed().await[0].id());
    let record = wire.send(super::command(&["GET", &key])).await;
    let record: Vec<u8> = redis::from_redis_value(record.expect("read")).expect("bytes");
    let not_yet = wire.send(super::command(&["DEL", &key])).await;
    assert_eq!(not_yet.expect("carried out"), redis::Value::Int(1));

    assert_eq!(listed().await.len(), 0);
    let ended = store.revoke("between", tower_handoff::session::Revoke::All);
    assert_eq!(ended.await.expect("nothing to end"), 0);

    let mut save = redis::cmd("SET");
    save.arg(&key).arg(record).arg("PX").arg(60_000);
    wire.send(save).await.expect("saved");
    assert_eq!(listed().await.len(), 1, "the entry is there");
    let ended = store.revoke("between", tower_handoff::session::Revoke::All);
    assert_eq!(ended.await.expect("ended"), 1);
}

/// Of a session that was read before it ended, and is saved after.
#[tokio::test]
async fn an_entry_whose_deadline_is_over_is_not_an_error() {
    let put = include_str!("../../../../src/session/redis/put.lua");
    let enter = include_str!("../../../../src/session/redis/enter.lua");
    let cluster = RedisCluster::shared().await;
    let wire = connect(&cluster).await.wire();
    let script = format!("{put}\n{enter}");
    let enter = super::command(&["EVAL", &script, "1", "app:u1:{over}", "id", "1", ""]);
    assert_eq!(wire.send(enter).await.expect("run"), redis::Value::Int(0));
    let list = super::command(&["EXISTS", "app:u1:{over}"]);
    assert_eq!(wire.send(list).await.expect("read"), redis::Value::Int(0));
}
