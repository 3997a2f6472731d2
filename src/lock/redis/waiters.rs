//! Brings each message of the inbox to the one who waits for it.
//!
//! Floor 4.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::lock::lease::Owner;
use crate::lock::lock_key::LockKey;
use crate::lock::redis::cohorts::Cohorts;
use crate::lock::redis::grant::{Grant, wanted};

/// Those of this process who wait in line, by owner.
#[derive(Debug, Clone, Default)]
pub(super) struct Waiters(Arc<Mutex<HashMap<Owner, Ears>>>);

#[derive(Debug)]
struct Ears {
    key: LockKey,
    /// One owner can have several, each of which hears all: who got in line under a token and who
    /// asks for the line find out only later that the other one listens too.
    grants: Vec<mpsc::UnboundedSender<Grant>>,
}

/// A place among the waiters; dropped, it is given up.
#[derive(Debug)]
pub(super) struct Waiting {
    waiters: Waiters,
    owner: Owner,
    grants: mpsc::UnboundedReceiver<Grant>,
}

impl Waiters {
    /// Registers a waiter, before it gets in line, so that no message can come too early.
    pub(super) fn register(&self, owner: Owner, key: &LockKey) -> Waiting {
        let (tell, grants) = mpsc::unbounded_channel();
        let mut waiters = self.lock();
        let ears = waiters.entry(owner).or_insert_with(|| Ears {
            key: key.clone(),
            grants: Vec::new(),
        });
        ears.grants.push(tell);
        Waiting {
            waiters: self.clone(),
            owner,
            grants,
        }
    }

    /// Puts a message to use on the spot where that can be, so that whoever waits is woken and
    /// nobody in between; else it is for those who listen. Of a Cluster's grants it cannot: heard
    /// through another node than the one that the key is on, it may be of a script that counted
    /// nobody who heard it, and passed the key on.
    pub(super) fn deliver(&self, message: &[u8], cohorts: &Cohorts, is_cluster: bool) {
        if let Some(grant) = Grant::parse(message) {
            let Some(key) = self.key_of(grant.owner) else {
                // Nobody waits for a grant whose waiter gave up: its withdrawal passes the key on.
                return;
            };
            let read = |ran: Option<_>| grant.lease(ran?, Instant::now());
            if is_cluster || !cohorts.heard(&key, grant.owner, grant.others, read) {
                self.tell(grant);
            }
        } else if let Some(owner) = wanted(message)
            && let Some(key) = self.key_of(owner)
        {
            cohorts.others_wait(&key, owner);
        }
    }

    fn tell(&self, grant: Grant) {
        if let Some(ears) = self.lock().get(&grant.owner) {
            for ear in &ears.grants {
                let _ = ear.send(grant);
            }
        }
    }

    fn key_of(&self, owner: Owner) -> Option<LockKey> {
        self.lock().get(&owner).map(|ears| ears.key.clone())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Owner, Ears>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// The next grant that could not be put to use where it came in. Cancel safe.
    pub(super) async fn granted(&mut self) -> Grant {
        match self.grants.recv().await {
            Some(grant) => grant,
            // The sender is in the map until `self` is dropped.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.grants.close();
        if let Entry::Occupied(mut ears) = self.waiters.lock().entry(self.owner) {
            let grants = &mut ears.get_mut().grants;
            grants.retain(|ear| !ear.is_closed());
            if grants.is_empty() {
                ears.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A claim that gets in line and the one who asks for the line can have an ear each.
    #[test]
    fn of_two_ears_for_one_owner_each_hears_whichever_closes() {
        for closes in [0, 1] {
            let (waiters, cohorts) = (Waiters::default(), Cohorts::default());
            let message = b"1abcdefghijklmnop170000000000000100017000000010001";
            let (owner, key) = (Owner::from_bytes(*b"abcdefghijklmnop"), LockKey::new("a"));
            let key = key.unwrap();
            let mut ears = Vec::from([(); 2].map(|()| waiters.register(owner, &key)));
            waiters.deliver(message, &cohorts, false);
            for ear in &mut ears {
                let grant = ear.grants.try_recv();
                assert_eq!(grant.map(|grant| grant.owner), Ok(owner));
            }
            drop(ears.remove(closes));
            waiters.deliver(message, &cohorts, true);
            let grant = ears[0].grants.try_recv();
            assert_eq!(grant.map(|grant| grant.owner), Ok(owner));
            drop(ears);
            assert!(waiters.lock().is_empty());
        }
    }
}
