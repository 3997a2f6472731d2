//! Those who wait for a message, and what each of them has not used yet.
//!
//! Floor 4.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::lock::lease::Owner;
use crate::lock::lock_key::LockKey;
use crate::lock::redis::grant::Heard;

/// Those of this process who wait in line, by owner. Several can share an owner's ear: who got in
/// line under a token and who asks for the line find out only later that the other one listens too.
#[derive(Debug, Clone, Default)]
pub(super) struct Waiters(Arc<Mutex<HashMap<Owner, Arc<Ear>>>>);

/// Every claim that may have to wait has one, most of them for nothing: it is one allocation.
#[derive(Debug)]
struct Ear {
    key: LockKey,
    /// The last grant that could not be put to use where it came in.
    grant: Mutex<Option<Heard>>,
    news: Notify,
}

/// A place among the waiters; dropped, it is given up.
#[derive(Debug)]
pub(super) struct Waiting {
    waiters: Waiters,
    owner: Owner,
    ear: Arc<Ear>,
}

impl Waiters {
    /// Registers a waiter, before it gets in line, so that no message can come too early.
    pub(super) fn register(&self, owner: Owner, key: &LockKey) -> Waiting {
        let mut waiters = self.lock();
        let ear = waiters.entry(owner).or_insert_with(|| {
            Arc::new(Ear {
                key: key.clone(),
                grant: Mutex::default(),
                news: Notify::new(),
            })
        });
        Waiting {
            waiters: self.clone(),
            owner,
            ear: Arc::clone(ear),
        }
    }

    /// Leaves a grant to those who listen for it. Nobody does where the waiter gave up: its
    /// withdrawal passes the key on.
    pub(super) fn tell(&self, heard: Heard) {
        if let Some(ear) = self.lock().get(&heard.grant.owner) {
            *ear.grant() = Some(heard);
            ear.news.notify_one();
        }
    }

    /// What `owner` waits for.
    pub(super) fn key_of(&self, owner: Owner) -> Option<LockKey> {
        self.lock().get(&owner).map(|ear| ear.key.clone())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Owner, Arc<Ear>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ear {
    fn grant(&self) -> MutexGuard<'_, Option<Heard>> {
        self.grant.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// The next grant that could not be put to use where it came in. Cancel safe.
    pub(super) async fn granted(&self) -> Heard {
        loop {
            let heard = self.ear.grant().take();
            match heard {
                Some(heard) => return heard,
                None => self.ear.news.notified().await,
            }
        }
    }

    /// Forgets what came so far, before the same is asked for: if it was good, the answer says so, and
    /// if it was not, it would be read by that answer's clock.
    pub(super) fn forget(&self) {
        *self.ear.grant() = None;
    }
}

#[cfg(test)]
impl Waiting {
    /// What it has not used yet.
    pub(super) fn told(&self) -> Option<Heard> {
        *self.ear.grant()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut waiters = self.waiters.lock();
        // Its own and the list's: nobody clones one but under this lock.
        if Arc::strong_count(&self.ear) == 2 {
            waiters.remove(&self.owner);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::lock::redis::grant::Grant;

    /// A claim that gets in line and the one who asks for the line can listen both.
    #[test]
    fn of_two_who_listen_for_one_owner_the_one_who_stays_hears_whatever_came() {
        for goes in [0, 1] {
            let waiters = Waiters::default();
            let message = b"1abcdefghijklmnop170000000000000100017000000010001";
            let grant = Grant::parse(message).unwrap();
            let heard = Heard { grant, since: None };
            let key = LockKey::new("a").unwrap();
            let mut both = Vec::from([(); 2].map(|()| waiters.register(grant.owner, &key)));
            waiters.tell(heard);
            drop(both.remove(goes));
            for again in [false, true] {
                if again {
                    waiters.tell(heard);
                }
                assert_eq!(both[0].granted().now_or_never(), Some(heard));
                assert_eq!(both[0].granted().now_or_never(), None);
            }
            waiters.tell(heard);
            both[0].forget();
            assert_eq!(both[0].granted().now_or_never(), None);
            assert_eq!(waiters.key_of(grant.owner), Some(key));
            drop(both);
            assert!(waiters.lock().is_empty());
        }
    }
}
