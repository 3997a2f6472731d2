//! Both backends keep the contract.

use tower_handoff::lock::{LockBackend, contract};

use super::rig::on_both;

on_both!(keeps_the_contract);

async fn keeps_the_contract(locks: impl LockBackend) {
    contract::check(&locks).await;
}

#[tokio::test(start_paused = true)]
async fn memory_keeps_the_contract_on_a_paused_clock() {
    contract::check(&tower_handoff::lock::MemoryLocks::new()).await;
}
