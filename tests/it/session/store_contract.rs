//! Both stores keep the same contract.

use tower_handoff::redis::RedisHandle;
use tower_handoff::session::{MemorySessions, contract};

use crate::support::redis_server::RedisServer;

/// Ten to the fifth change sets where time does not matter, some thousands elsewhere.
fn rounds() -> u32 {
    match std::env::var_os("TOWER_HANDOFF_LONG") {
        Some(_) => 100_000,
        None => 3_000,
    }
}

#[tokio::test(start_paused = true)]
async fn memory_keeps_the_contract() {
    let store = MemorySessions::new();
    contract::check(&store).await;
    contract::check_merges(&store, 7, rounds()).await;
}

#[tokio::test]
async fn redis_keeps_the_contract() {
    let server = RedisServer::start();
    let store = RedisHandle::connect(&server.url()).unwrap().sessions();
    contract::check(&store).await;
}

#[tokio::test]
async fn redis_merges_as_memory_does() {
    let server = RedisServer::start();
    let store = RedisHandle::connect(&server.url()).unwrap().sessions();
    for seed in [7, 11, 13] {
        contract::check_merges(&store, seed, rounds() / 3).await;
    }
}
