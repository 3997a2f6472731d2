//! Sessions and locks keep their contracts on a cluster.

use tower_handoff::redis::RedisHandle;
use tower_handoff::{lock, session};

use crate::support::redis_cluster::RedisCluster;

#[tokio::test]
async fn locks_keep_the_contract() {
    let cluster = RedisCluster::shared().await;
    let handle = RedisHandle::connect(&cluster.url()).expect("a good url");
    lock::contract::check(&handle.locks()).await;
}

#[tokio::test]
async fn sessions_keep_the_contract() {
    let cluster = RedisCluster::shared().await;
    let store = RedisHandle::connect(&cluster.url()).expect("a good url");
    session::contract::check(&store.sessions()).await;
    session::contract::check_merges(&store.sessions(), 7, 500).await;
}
