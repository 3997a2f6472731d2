//! Both stores keep the same contract.

use std::collections::HashMap;
use std::sync::Mutex;

use tower_handoff::session::{
    MemorySessions, NewSession, Revoke, Save, SaveOutcome, SessionId, SessionRecord, SessionStore,
    StoreError, UserSession, Verdict, VerifierHash, contract,
};

use crate::support::patient::patient;
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
    let store = patient(&server.url()).sessions();
    contract::check(&store).await;
}

#[tokio::test]
async fn redis_merges_as_memory_does() {
    let server = RedisServer::start();
    let store = patient(&server.url()).sessions();
    for seed in [7, 11, 13] {
        contract::check_merges(&store, seed, rounds() / 3).await;
    }
}

/// Reads, lets others run, and writes: the mistake that the contract's docs warn of.
struct NotAtomic(MemorySessions, Mutex<HashMap<SessionId, SessionRecord>>);

impl SessionStore for NotAtomic {
    fn now_ms(&self) -> u64 {
        self.0.now_ms()
    }

    async fn load(&self, id: &SessionId) -> Result<Option<SessionRecord>, StoreError> {
        let now_ms = self.now_ms();
        let record = self.1.lock().unwrap().get(id).cloned();
        Ok(record.filter(|record| record.expires_ms() > now_ms))
    }

    async fn create(&self, id: &SessionId, new: &NewSession<'_>) -> Result<bool, StoreError> {
        let free = self.load(id).await?.is_none();
        let mut rows = self.1.lock().unwrap();
        rows.entry(*id).or_insert_with(|| new.record(self.now_ms()));
        Ok(free)
    }

    async fn save(&self, id: &SessionId, save: &Save<'_>) -> Result<SaveOutcome, StoreError> {
        let current = self.load(id).await?;
        tokio::task::yield_now().await;
        let (outcome, record) = save.apply(current.as_ref(), self.now_ms());
        if let Some(record) = record {
            self.1.lock().unwrap().insert(*id, record);
        }
        Ok(outcome)
    }

    async fn renew(&self, id: &SessionId, verifier: &VerifierHash) -> Result<bool, StoreError> {
        let current = self.load(id).await?;
        let renewed = current.and_then(|record| record.renewed(verifier, self.now_ms()));
        let row = renewed.map(|record| self.1.lock().unwrap().insert(*id, record));
        Ok(row.is_some())
    }

    async fn destroy(&self, id: &SessionId, verifier: &VerifierHash) -> Result<bool, StoreError> {
        let current = self.load(id).await?;
        let owned = current.map(|record| record.verify(verifier, self.now_ms()));
        let owned = owned == Some(Verdict::Current);
        Ok(owned && self.1.lock().unwrap().remove(id).is_some())
    }

    async fn sessions_of(&self, user: &str) -> Result<Vec<UserSession>, StoreError> {
        let now_ms = self.now_ms();
        let rows = self.1.lock().unwrap();
        let live = rows.iter().filter(|(_, row)| row.expires_ms() > now_ms);
        let theirs = live.filter(|(_, row)| row.user() == Some(user));
        Ok(theirs.map(|(id, row)| UserSession::new(*id, row)).collect())
    }

    async fn revoke(&self, user: &str, which: Revoke) -> Result<u64, StoreError> {
        let ended: Vec<_> = self.sessions_of(user).await?;
        let ended = ended.iter().filter(|session| which.ends(session.id()));
        let rows = &mut self.1.lock().unwrap();
        Ok(ended
            .filter_map(|session| rows.remove(session.id()))
            .count() as u64)
    }
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "got lost")]
async fn the_suite_finds_a_store_that_is_not_atomic() {
    let store = NotAtomic(MemorySessions::new(), Mutex::default());
    contract::check(&store).await;
}
