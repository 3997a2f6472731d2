//! Lists of a user's sessions that change while somebody walks them, on one Redis; on a Cluster:
//! `redis::cluster::lists`.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::{join, join_all};
use tokio::time::timeout;
use tower_handoff::redis::RedisHandle;
use tower_handoff::session::{RedisSessions, SessionId, SessionLayer, SessionStore, Users};

use super::support::request;
use super::users::{id_of, listed, log_in};
use crate::support::eventually::PATIENCE;
use crate::support::redis_server::RedisServer;

/// More than the 500 of a page.
const MANY: usize = 700;

/// An answer that comes late is no outage here, however busy the machine.
fn store(server: &RedisServer) -> RedisSessions {
    let builder = RedisHandle::builder(server.url()).command_timeout(PATIENCE);
    builder.connect().expect("good").sessions()
}

/// Sessions of Ada's, in the order of their deadlines: cookies and ids.
async fn many(layer: &SessionLayer) -> Vec<(String, SessionId)> {
    let mut all = Vec::with_capacity(MANY);
    for _ in 0..MANY {
        let cookie = log_in(layer, "", "ada").await.token();
        let id = id_of(layer, &cookie).await.expect("it is there");
        all.push((cookie, id));
    }
    all
}

#[tokio::test]
async fn a_list_has_all_who_stay_while_those_in_front_of_them_log_out() {
    let server = RedisServer::start();
    let store = store(&server);
    let (layer, users) = (SessionLayer::new(store.clone()), Users::new(store));
    let all = many(&layer).await;
    let (leave, stay) = all.split_at(100);
    let leaving = async {
        for (cookie, _) in leave {
            request(&layer, cookie, async |session| {
                assert!(session.destroy().await.expect("it is there"));
                http::StatusCode::OK
            })
            .await;
        }
    };
    let (found, ()) = join(listed(&users, "ada"), leaving).await;
    let stay: BTreeSet<_> = stay.iter().map(|(_, id)| *id).collect();
    let missed = stay.difference(&found).count();
    assert_eq!(missed, 0, "of {} who stay", stay.len());
    let ended = users.revoke_all("ada").await.expect("ended");
    assert_eq!(ended, stay.len() as u64);
}

/// Deadlines of the same millisecond are no place to go on from.
#[tokio::test]
async fn sessions_with_one_deadline_are_listed_once_and_all_ended() {
    let server = RedisServer::start();
    let store = store(&server);
    let layer = SessionLayer::new(store.clone());
    for _ in 0..MANY / 50 {
        join_all((0..50).map(|_| log_in(&layer, "", "ada"))).await;
    }
    let ids = server.command(&["ZRANGE", "app:u1:{ada}", "0", "-1"]);
    let ids: Vec<String> = redis::from_redis_value(ids).expect("ids");
    let mut same = vec!["ZADD", "app:u1:{ada}"];
    ids.iter().for_each(|id| same.extend(["9999999999999", id]));
    server.command(&same);
    let users = Users::new(store.clone());
    let listed = timeout(PATIENCE, store.sessions_of("ada"));
    let listed = listed.await.expect("it ends").expect("listed");
    let once: BTreeSet<_> = listed.iter().map(|session| *session.id()).collect();
    assert_eq!((listed.len(), once.len()), (MANY, MANY));
    let ended = timeout(PATIENCE, users.revoke_all("ada"));
    assert_eq!(ended.await.expect("it ends").expect("ended"), MANY as u64);
    assert_eq!(server.command(&["DBSIZE"]), redis::Value::Int(0));
}

/// One that now ends sooner stands no further to the front: a walk may be past that place.
#[tokio::test]
async fn no_entry_moves_to_the_front() {
    let server = RedisServer::start();
    let store = store(&server);
    let layer = SessionLayer::new(store.clone());
    let cookie = log_in(&layer, "", "ada").await.token();
    let deadline = || {
        let scores = ["ZRANGE", "app:u1:{ada}", "0", "-1", "WITHSCORES"];
        let scores: Vec<String> = redis::from_redis_value(server.command(&scores)).expect("text");
        scores[1].parse::<f64>().expect("a number")
    };
    let before = deadline();
    let minute = Duration::from_secs(60);
    request(&layer, &cookie, async |session| {
        let expiry = tower_handoff::session::SessionExpiry::new(minute, minute);
        session.set_expiry(expiry.expect("in range")).expect("set");
        http::StatusCode::OK
    })
    .await;
    assert!(deadline() >= before);
    assert_eq!(listed(&Users::new(store), "ada").await.len(), 1);
}
