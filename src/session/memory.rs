//! Sessions in this process's memory: for one instance, for tests, for a first run.
//! Floor 4.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::session::error::{StoreError, StoreErrorKind};
use crate::session::id::SessionId;
use crate::session::record::{SessionRecord, Verdict};
use crate::session::save::{NewSession, Save, SaveOutcome};
use crate::session::store::SessionStore;
use crate::session::token::VerifierHash;
use crate::session::user_session::{Revoke, UserSession};

/// Sessions in memory, with the same contract as those in Redis.
///
/// Gone when the process ends, and seen by this process alone; cheap to clone, the clones share
/// the sessions. Expired sessions are dropped as new ones come. A store that is full of live
/// sessions refuses new ones ([`StoreErrorKind::Unavailable`]): it ends nobody's session early.
///
/// Time is tokio's, so tests may pause it.
#[derive(Clone)]
pub struct MemorySessions(Arc<Shared>);

struct Shared {
    capacity: usize,
    started: Instant,
    started_ms: u64,
    shelf: Mutex<Shelf>,
}

#[derive(Default)]
struct Shelf {
    records: HashMap<SessionId, SessionRecord>,
    /// The same sessions, the first to expire first.
    by_expiry: BTreeSet<(u64, SessionId)>,
    /// Those that belong to somebody.
    by_user: HashMap<Box<str>, BTreeSet<SessionId>>,
}

impl MemorySessions {
    /// Sessions a store holds by default.
    pub const DEFAULT_CAPACITY: usize = 100_000;

    /// An empty store for [`DEFAULT_CAPACITY`](Self::DEFAULT_CAPACITY) sessions.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(Self::DEFAULT_CAPACITY)
    }

    /// An empty store for `capacity` sessions, each as large as the layer's limits allow.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH);
        Self(Arc::new(Shared {
            capacity,
            started: Instant::now(),
            started_ms: wall.map_or(0, |since| since.as_millis() as u64),
            shelf: Mutex::default(),
        }))
    }

    /// How many sessions are held, those included that expired since the last one was created.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shelf().records.len()
    }

    /// Whether no session is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn now(&self) -> u64 {
        self.0.started_ms + self.0.started.elapsed().as_millis() as u64
    }

    /// Nothing panics while the lock is held, and a panic would leave both maps whole.
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.0.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    fn live(&self, id: &SessionId, now_ms: u64) -> Option<&SessionRecord> {
        self.records
            .get(id)
            .filter(|record| record.expires_ms() > now_ms)
    }

    fn put(&mut self, id: SessionId, record: SessionRecord) {
        self.remove(&id);
        self.by_expiry.insert((record.expires_ms(), id));
        if let Some(user) = record.user() {
            match self.by_user.get_mut(user) {
                Some(ids) => ids.insert(id),
                None => self.by_user.entry(user.into()).or_default().insert(id),
            };
        }
        self.records.insert(id, record);
    }

    fn remove(&mut self, id: &SessionId) {
        let Some(old) = self.records.remove(id) else {
            return;
        };
        self.by_expiry.remove(&(old.expires_ms(), *id));
        let Some(user) = old.user() else {
            return;
        };
        if let Some(ids) = self.by_user.get_mut(user) {
            ids.remove(id);
            if ids.is_empty() {
                self.by_user.remove(user);
            }
        }
    }

    fn live_of(
        &self,
        user: &str,
        now_ms: u64,
    ) -> impl Iterator<Item = (SessionId, &SessionRecord)> {
        let ids = self.by_user.get(user).into_iter().flatten();
        ids.filter_map(move |id| Some((*id, self.live(id, now_ms)?)))
    }

    fn drop_expired(&mut self, now_ms: u64) {
        while let Some(&(expires_ms, id)) = self.by_expiry.first() {
            if expires_ms > now_ms {
                break;
            }
            self.remove(&id);
        }
    }
}

impl SessionStore for MemorySessions {
    fn now_ms(&self) -> u64 {
        self.now()
    }

    async fn load(&self, id: &SessionId) -> Result<Option<SessionRecord>, StoreError> {
        Ok(self.shelf().live(id, self.now()).cloned())
    }

    async fn create(&self, id: &SessionId, new: &NewSession<'_>) -> Result<bool, StoreError> {
        let now = self.now();
        let mut shelf = self.shelf();
        shelf.drop_expired(now);
        if shelf.records.contains_key(id) {
            return Ok(false);
        }
        if shelf.records.len() >= self.0.capacity {
            return Err(StoreError::new(StoreErrorKind::Unavailable)
                .with_source("as many sessions as the memory store may hold"));
        }
        shelf.put(*id, new.record(now));
        Ok(true)
    }

    async fn save(&self, id: &SessionId, save: &Save<'_>) -> Result<SaveOutcome, StoreError> {
        let now = self.now();
        let mut shelf = self.shelf();
        let (outcome, record) = save.apply(shelf.live(id, now), now);
        if let Some(record) = record {
            shelf.put(*id, record);
        }
        Ok(outcome)
    }

    async fn renew(&self, id: &SessionId, verifier: &VerifierHash) -> Result<bool, StoreError> {
        let now = self.now();
        let mut shelf = self.shelf();
        let renewed = shelf
            .live(id, now)
            .and_then(|record| record.renewed(verifier, now));
        let found = renewed.is_some();
        if let Some(record) = renewed {
            shelf.put(*id, record);
        }
        Ok(found)
    }

    async fn destroy(&self, id: &SessionId, verifier: &VerifierHash) -> Result<bool, StoreError> {
        let now = self.now();
        let mut shelf = self.shelf();
        let verdict = shelf
            .live(id, now)
            .map(|record| record.verify(verifier, now));
        let found = verdict == Some(Verdict::Current);
        if found {
            shelf.remove(id);
        }
        Ok(found)
    }

    async fn sessions_of(&self, user: &str) -> Result<Vec<UserSession>, StoreError> {
        let (now, shelf) = (self.now(), self.shelf());
        let theirs = shelf.live_of(user, now);
        Ok(theirs
            .map(|(id, record)| UserSession::new(id, record))
            .collect())
    }

    async fn revoke(&self, user: &str, which: Revoke) -> Result<u64, StoreError> {
        let (now, mut shelf) = (self.now(), self.shelf());
        let theirs = shelf.live_of(user, now).map(|(id, _)| id);
        let ended: Vec<_> = theirs.filter(|id| which.ends(id)).collect();
        for id in &ended {
            shelf.remove(id);
        }
        Ok(ended.len() as u64)
    }
}

impl Default for MemorySessions {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemorySessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared {
            capacity,
            started: _,
            started_ms: _,
            shelf: _,
        } = &*self.0;
        f.debug_struct("MemorySessions")
            .field("capacity", capacity)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::expiry::SessionExpiry;
    use crate::session::record::Version;
    use crate::session::terms::Terms;
    use crate::session::token::Token;

    #[tokio::test(start_paused = true)]
    async fn expired_sessions_leave_nothing_behind() {
        let store = MemorySessions::new();
        for user in [Some("ada"), Some("eve"), None] {
            let token = Token::random();
            let terms = Terms {
                user: user.map(Into::into),
                ..Terms::default()
            };
            let new = NewSession {
                verifier: token.hash(),
                version: Version::next(),
                expiry: SessionExpiry::default(),
                terms: &terms,
                fields: &[],
            };
            assert!(store.create(token.id(), &new).await.unwrap());
        }
        tokio::time::advance(SessionExpiry::default().idle()).await;
        let mut shelf = store.shelf();
        shelf.drop_expired(store.now());
        assert!(shelf.records.is_empty() && shelf.by_expiry.is_empty());
        assert!(shelf.by_user.is_empty());
    }
}
