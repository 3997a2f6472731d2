//! A session in Redis, for its record to be damaged.

use redis::{Commands, Connection};
use tower_handoff::session::{RedisSessions, SessionLayer, Undecodable, Users};

use super::super::support::request;
use super::OK;
use crate::support::patient::patient;
use crate::support::redis_server::RedisServer;

pub(super) struct World {
    pub(super) redis: Connection,
    _server: RedisServer,
    pub(super) store: RedisSessions,
    pub(super) users: Users,
    pub(super) cookie: String,
    pub(super) key: String,
    /// What was stored before the damage.
    pub(super) good: Vec<u8>,
}

impl World {
    pub(super) fn new() -> Self {
        let server = RedisServer::start();
        let client = redis::Client::open(server.url()).unwrap();
        let store = patient(&server.url()).sessions();
        Self {
            redis: client.get_connection().unwrap(),
            _server: server,
            users: Users::new(store.clone()),
            store,
            cookie: String::new(),
            key: String::new(),
            good: Vec::new(),
        }
    }

    pub(super) fn layer(&self, undecodable: Undecodable) -> SessionLayer {
        SessionLayer::new(self.store.clone()).with_undecodable(undecodable)
    }

    /// Ada logs in; what is stored then.
    pub(super) async fn fresh(&mut self) -> Vec<u8> {
        let () = redis::cmd("FLUSHALL").query(&mut self.redis).unwrap();
        let answer = request(&self.layer(Undecodable::Error), "", async |session| {
            session.bind("ada").unwrap();
            session.set_label("d\u{e9}sktop").unwrap();
            session.set("n", &41).unwrap();
            session.set("text", "some text").unwrap();
            OK
        })
        .await;
        self.cookie = answer.token();
        let keys: Vec<String> = self.redis.keys("app:s1:*").unwrap();
        self.key.clone_from(&keys[0]);
        self.good = self.stored().unwrap();
        self.good.clone()
    }

    pub(super) fn stored(&mut self) -> Option<Vec<u8>> {
        self.redis.get(&self.key).unwrap()
    }

    /// Whether a time-out that was damaged was over at once.
    pub(super) fn is_over(&self, after: Option<&Vec<u8>>, bytes: &[u8]) -> bool {
        after.is_none() && bytes.get(97..113) != self.good.get(97..113)
    }

    pub(super) fn damage(&mut self, bytes: &[u8]) {
        let mut set = redis::cmd("SET");
        let set = set.arg(&self.key).arg(bytes).arg("KEEPTTL");
        let () = set.query(&mut self.redis).unwrap();
    }
}
