//! Lists of a user's sessions that change, or are damaged, while somebody walks them.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join;
use redis::{Value, from_redis_value};
use tokio::time::timeout;
use tower_handoff::redis::Wire;
use tower_handoff::session::{
    Revoke, SessionExpiry, SessionId, SessionLayer, SessionStore, StoreErrorKind,
};

use super::sessions::request;
use super::{command, connect};
use crate::support::eventually::PATIENCE;
use crate::support::redis_cluster::RedisCluster;

/// More than two pages of 100.
const MANY: usize = 250;

/// So many logins, and their ids in the order of the list.
async fn log_in(layer: &SessionLayer, wire: &Wire, user: &str, times: usize) -> Vec<String> {
    for _ in 0..times {
        request(layer, "", async |session| {
            session.bind(user).expect("a name");
        })
        .await;
    }
    let ids = wire
        .send(command(&["ZRANGE", &list(user), "0", "-1"]))
        .await;
    from_redis_value(ids.expect("read")).expect("ids")
}

fn list(user: &str) -> String {
    format!("app:u1:{{{user}}}")
}

fn key(id: &str) -> String {
    format!("app:s1:{{{id}}}")
}

/// What the next login does to entries whose time is over: dead ones, in front of the living.
#[tokio::test]
async fn revoking_all_ends_all_while_entries_in_front_of_them_go() {
    let cluster = RedisCluster::shared().await;
    let handle = connect(&cluster).await;
    let (wire, store) = (handle.wire(), handle.sessions());
    let layer = SessionLayer::new(handle.sessions());
    let ids = log_in(&layer, &wire, "front", MANY).await;
    let (dead, living) = ids.split_at(150);
    for id in dead {
        let ended = wire.send(command(&["DEL", &key(id)])).await;
        assert_eq!(ended.expect("carried out"), Value::Int(1));
    }
    let going = async {
        for id in dead {
            let gone = wire.send(command(&["ZREM", &list("front"), id])).await;
            assert_eq!(gone.expect("carried out"), Value::Int(1));
        }
    };
    let (ended, ()) = join(store.revoke("front", Revoke::All), going).await;
    let mut survive = 0;
    for id in living {
        let there = wire.send(command(&["EXISTS", &key(id)])).await;
        survive += usize::from(there.expect("read") == Value::Int(1));
    }
    assert_eq!(survive, 0, "{ended:?} were said to be ended");
    assert_eq!(ended.expect("ended"), living.len() as u64);
}

#[tokio::test]
async fn a_list_has_all_who_stay_while_those_in_front_of_them_log_out() {
    let cluster = RedisCluster::shared().await;
    let handle = connect(&cluster).await;
    let (wire, store) = (handle.wire(), handle.sessions());
    let layer = SessionLayer::new(handle.sessions());
    let mut cookies = Vec::new();
    for _ in 0..100 {
        let login = request(&layer, "", async |session| {
            session.bind("leaving").expect("a name");
        });
        cookies.push(login.await);
    }
    let ids = log_in(&layer, &wire, "leaving", MANY - 100).await;
    let leaving = async {
        for cookie in &cookies {
            request(&layer, cookie, async |session| {
                assert!(session.destroy().await.expect("it is there"));
            })
            .await;
        }
    };
    let (found, ()) = join(store.sessions_of("leaving"), leaving).await;
    let found: BTreeSet<String> = (found.expect("listed").iter())
        .map(|session| session.id().to_string())
        .collect();
    let missed: Vec<_> = ids[100..]
        .iter()
        .filter(|id| !found.contains(*id))
        .collect();
    assert!(missed.is_empty(), "{} who stay", missed.len());
}

/// Deadlines of the same millisecond are no place to go on from.
#[tokio::test]
async fn sessions_with_one_deadline_are_listed_once_and_all_ended() {
    let cluster = RedisCluster::shared().await;
    let handle = connect(&cluster).await;
    let (wire, store) = (handle.wire(), handle.sessions());
    let layer = SessionLayer::new(handle.sessions());
    let ids = log_in(&layer, &wire, "same", MANY).await;
    let mut same = command(&["ZADD", &list("same")]);
    for id in &ids {
        same.arg("9999999999999").arg(id);
    }
    wire.send(same).await.expect("carried out");
    let listed = timeout(PATIENCE, store.sessions_of("same"));
    let listed = listed.await.expect("it ends").expect("listed");
    let once: BTreeSet<SessionId> = listed.iter().map(|session| *session.id()).collect();
    assert_eq!((listed.len(), once.len()), (MANY, MANY));
    let ended = timeout(PATIENCE, store.revoke("same", Revoke::All));
    assert_eq!(ended.await.expect("it ends").expect("ended"), MANY as u64);
}

#[tokio::test]
async fn an_entry_that_is_no_id_is_said_once_and_keeps_nobody_from_the_others() {
    let cluster = RedisCluster::shared().await;
    let handle = connect(&cluster).await;
    let (wire, store) = (handle.wire(), handle.sessions());
    let minute = Duration::from_secs(60);
    let expiry = SessionExpiry::new(minute, minute).expect("in range");
    let layer = SessionLayer::new(handle.sessions()).with_expiry(expiry);
    let damage = async || {
        let mut add = command(&["ZADD", &list("hurt"), "1", "no id", "9999999999999"]);
        add.arg(b"\xff\xfe");
        wire.send(add).await.expect("carried out");
    };
    log_in(&layer, &wire, "hurt", 3).await;
    damage().await;
    let error = store.sessions_of("hurt").await.expect_err("not all of it");
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    assert_eq!(store.sessions_of("hurt").await.expect("listed").len(), 3);
    damage().await;
    let error = store.revoke("hurt", Revoke::All).await;
    let error = error.expect_err("who the entry was of is not known");
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    assert_eq!(store.sessions_of("hurt").await.expect("listed"), []);
    let left = wire.send(command(&["EXISTS", &list("hurt")])).await;
    assert_eq!(left.expect("read"), Value::Int(0), "nothing is left of it");
}
