//! Each message of the inbox, from where it comes in to the one who waits for it.
//!
//! Floor 4.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use crate::lock::lease::Owner;
use crate::lock::lock_key::LockKey;
use crate::lock::redis::adapter::{RedisLocks, Shared};
use crate::lock::redis::grant::{Grant, Heard, wanted};
use crate::lock::redis::waiters::Waiting;

impl RedisLocks {
    /// An ear for messages to `token`.
    pub(super) fn listen(&self, key: &LockKey, token: Owner) -> Waiting {
        self.handle.hear(|| {
            let (shared, is_cluster) = (self.shared.clone(), self.handle.is_cluster());
            let connected = Mutex::new((self.handle.epochs(), Instant::now()));
            Box::new(move |message| {
                let mut connected = connected.lock().unwrap_or_else(PoisonError::into_inner);
                let (epochs, since) = &mut *connected;
                if epochs.has_changed().unwrap_or(true) {
                    epochs.mark_unchanged();
                    *since = Instant::now();
                }
                shared.deliver(message, (!is_cluster).then_some(*since));
            })
        });
        self.shared.waiters.register(token, key)
    }
}

impl Shared {
    /// Puts a message to use on the spot where that can be, so that whoever waits is woken and
    /// nobody in between; else it is for those who listen.
    ///
    /// `since` then, messages come from the Redis of the moment; none in a Cluster, whose grants cannot
    /// be put to use: heard through another node than the one that the key is on, one may be of a script
    /// that counted nobody who heard it, and passed the key on.
    fn deliver(&self, message: &[u8], since: Option<Instant>) {
        let Self {
            waiters, cohorts, ..
        } = self;
        if let Some(grant) = Grant::parse(message) {
            let heard = Heard { grant, since };
            let read = |ran| heard.lease(ran, Instant::now());
            let used = |key| cohorts.heard(&key, grant.owner, grant.others, read);
            if !waiters.key_of(grant.owner).is_some_and(used) {
                waiters.tell(heard);
            }
        } else if let Some(owner) = wanted(message)
            && let Some(key) = waiters.key_of(owner)
        {
            cohorts.others_wait(&key, owner);
        }
    }
}
