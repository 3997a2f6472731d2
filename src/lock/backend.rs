//! The port: what a lock needs from whatever keeps it.
//!
//! Floor 2.

use std::future::Future;
use std::time::Duration;

use tokio::sync::watch;

use crate::lock::error::LockError;
use crate::lock::held::HeldLocks;
use crate::lock::holder::Holder;
use crate::lock::lease::{Claim, Lease};
use crate::lock::lock_key::LockKey;

/// Keeps locks: in memory, in Redis, in what you have.
///
/// # Contract
/// 1. **Exclusive.** From a grant until its lease's deadline, its renewal or its release, no
///    other owner is granted the key. A [`Lease`] ends, on this process's monotonic clock,
///    before the backend gives the key away: count from before the request left
///    ([`Lease::confirmed`]).
/// 2. **Idempotent by owner.** Acquiring again what the claim's owner holds is a grant with the
///    same fence, and acquiring again what it waits for keeps its place. So a request whose
///    answer was lost may be sent again.
/// 3. **Fenced.** Of two grants of one key the later one has the larger fence, across release,
///    expiry, and a restart of whatever the backend stores in.
/// 4. **Owned.** `renew` and `release` act only for the owner that holds. An expired lease is
///    not renewed once another owner was granted the key.
/// 5. **Nothing stays.** `release` also takes a waiting claim out of the line. `acquire` that
///    answers [`Busy`](Acquired::Busy) or [`QueueFull`](Acquired::QueueFull) has left nothing
///    behind. When it fails or its future is dropped, the claim may be there, waiting or
///    granted: the caller always follows with [`withdraw`](Self::withdraw).
/// 6. **In line.** Waiters of one process are granted the key first come, first served; between
///    processes the order may differ by a bounded number of grants. A free key with waiters goes
///    to one of them, not to whoever asks next.
/// 7. **Told to operators.** A backend that can [inspect](Self::inspect) a key names the
///    holder's grant as it is, and nothing with which anybody could act in the holder's place.
/// 8. **Bounded.** Every call ends by itself, in error when what stores the locks is silent.
///
/// [`contract`](crate::lock::contract) (feature `testing`) checks this on any backend.
///
/// # Wrong
/// Deleting without looking is the classic: the holder whose lease has run out deletes the lock
/// of its successor, and a third one gets in.
///
/// ```text
/// async fn release(&self, claim: &Claim) -> … {
///     self.store.delete(claim.key.as_str()).await         // whose lock was that?
/// }
/// ```
///
/// Looking first does not help: the lease can run out between the two.
///
/// ```text
///     if self.store.get(key).await? == claim.owner {      // ours …
///         self.store.delete(key).await?                   // … but still, at this moment?
///     }
/// ```
///
/// # Right
/// Compare and delete in one step of the store, and let the same step look after the line.
///
/// ```text
///     let mut slots = self.slots.lock();                  // or one script, one transaction
///     match slots.get(&claim.key) {
///         Some(slot) if slot.owner == claim.owner => grant_next_or_remove(slot),
///         _ => remove_from_line(claim),
///     }
/// ```
pub trait LockBackend: Send + Sync + 'static {
    /// Grants the key to the claim's owner, for the claim's lease.
    ///
    /// With `wait`, a claim that finds the key busy waits in line, no longer than that; without,
    /// it answers at once. Cancel safety: see rule 5.
    ///
    /// # Errors
    /// When the backend cannot tell. The claim may have been granted all the same.
    fn acquire(
        &self,
        claim: &Claim,
        wait: Option<Duration>,
    ) -> impl Future<Output = Result<Acquired, LockError>> + Send;

    /// Makes the lease of the claim's owner as long as new.
    ///
    /// # Errors
    /// When the backend cannot tell; the lease then runs on to its deadline.
    fn renew(&self, claim: &Claim) -> impl Future<Output = Result<Renewed, LockError>> + Send;

    /// Lets go: of the key, to the next in line, or of a place in the line.
    ///
    /// Called from destructors: the first poll must not block, and should send what there is to
    /// send.
    ///
    /// # Errors
    /// When the backend cannot tell. It is called again while the lease may last.
    fn release(&self, claim: &Claim) -> impl Future<Output = Result<Released, LockError>> + Send;

    /// Takes back an `acquire` whose outcome nobody saw, together with whatever of it is still
    /// under way. For a backend whose requests cannot overtake one another that is a release.
    ///
    /// # Errors
    /// As for [`release`](Self::release).
    fn withdraw(&self, claim: &Claim) -> impl Future<Output = Result<Released, LockError>> + Send {
        self.release(claim)
    }

    /// Who holds the key, for operators; `None` where it is free.
    ///
    /// Reads, and changes nothing. The default says that this backend does not tell.
    ///
    /// # Errors
    /// When the backend cannot tell.
    fn inspect(
        &self,
        _key: &LockKey,
    ) -> impl Future<Output = Result<Option<Holder>, LockError>> + Send {
        let mute = "this backend does not tell who holds a lock";
        std::future::ready(Err(LockError::refused(mute)))
    }

    /// The list in which the locks held through this backend are kept. Return clones of one
    /// list, so that a shutdown finds them all; the default is a new one for each layer.
    fn held(&self) -> HeldLocks {
        HeldLocks::default()
    }

    /// Changes whenever a connection was replaced: every held lease whose
    /// [`connection`](Self::connection) is another one than before is then renewed at once.
    fn reconnects(&self) -> Option<watch::Receiver<u64>> {
        None
    }

    /// Which connection leads to whatever keeps this key, for a backend with several. The default says
    /// that all keys share the one of [`reconnects`](Self::reconnects). Asks nobody.
    fn connection(&self, _key: &LockKey) -> u64 {
        self.reconnects().map_or(0, |epochs| *epochs.borrow())
    }
}

/// What became of an acquire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Acquired {
    /// The owner holds the key.
    Granted(Lease),
    /// Somebody else holds it, still at the end of the wait; nothing of the claim is left.
    Busy {
        /// How long the holder's lease lasts, if it neither releases nor renews.
        retry_after: Duration,
    },
    /// Too many wait; nothing of the claim is left.
    QueueFull,
}

/// What became of a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Renewed {
    /// The owner holds the key for a full lease again, under the same fence.
    Renewed(Lease),
    /// The owner does not hold the key any more.
    Lost,
}

/// What became of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Released {
    /// The key is free.
    Freed,
    /// The key is the next waiter's.
    HandedOver,
    /// The owner did not hold the key; if it waited, it does not any more.
    NotHeld,
}
