//! A master and a replica: real processes of the test's own.

use super::eventually::eventually;
use super::redis_server::{RedisServer, free_port};

/// A master, and a replica that follows it.
pub(crate) async fn pair() -> (RedisServer, RedisServer) {
    let master = RedisServer::start();
    let port = master.port().to_string();
    let replica = RedisServer::start_on(free_port(), &["--replicaof", "127.0.0.1", &port]);
    is_followed(&master).await;
    (master, replica)
}

/// Waits for a replica that has caught up.
pub(crate) async fn is_followed(master: &RedisServer) {
    eventually("it is followed", async || {
        let info = master.command(&["INFO", "replication"]);
        let info: String = redis::from_redis_value(info).expect("text");
        info.contains("state=online")
    })
    .await;
}
