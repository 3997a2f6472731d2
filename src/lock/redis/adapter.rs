//! The backend on Redis.
//!
//! Floor 4.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::config::ConfigError;
use crate::lock::backend::{Acquired, LockBackend, Released, Renewed};
use crate::lock::cohort::words::Arrival;
use crate::lock::error::LockError;
use crate::lock::held::HeldLocks;
use crate::lock::holder::Holder;
use crate::lock::lease::{Claim, MAX_WAITERS};
use crate::lock::lock_key::LockKey;
use crate::lock::redis::cohorts::Cohorts;
use crate::lock::redis::names::tag;
use crate::lock::redis::reply;
use crate::lock::redis::waiters::Waiters;
use crate::redis::handle::RedisHandle;
use crate::redis::replicas::Replicas;

/// Locks in Redis, shared by every instance; made by
/// [`RedisHandle::locks`](crate::redis::RedisHandle::locks).
///
/// Each operation is one script and one round trip. A release hands the key to the oldest
/// waiter and wakes it with one message; nobody polls, beyond a look at the lock every two
/// seconds in case a holder died or a message was lost.
///
/// Those of one process who wait for the same key have one place in Redis's line, and pass the key
/// on among themselves without a round trip, first come, first served: as long as the lease has
/// half of its time and is no longer than what the next one asks for. While other processes wait, to
/// those who stood in line here when word of that came, 16 and 50 ms at most, and within its first
/// millisecond to who is back at once; then it is their turn.
///
/// The keys of a lock are
/// `{prefix}:l1:{name}`, and with `:q` its line. As the floor of the next fence the first stays until ten
/// minutes after that of a lock that was let go, and for a day after the lease of one that never was; a
/// value that begins with `0`, or whose time to live is a day or less, is no lock.
///
/// Fences and leases are by Redis's clock. Set back, fences go on from the floor, for as long as it
/// takes the clock to get there and ten minutes more; only of a key whose floor has gone by then does
/// the next fence lag behind, where the clock is set back by more than those ten minutes.
/// Set forward, it ends leases early by the step, in Redis: their holders learn of it at the next renewal,
/// while others may hold the key. A hand-over is never taken for longer than the second that it is made for.
///
/// In a [Cluster](crate::redis#redis-cluster) each key is on its own node, and several keys on several.
/// Who is woken there asks for the key once more.
///
/// Operators read who holds a lock, and for what, where [`Locks::inspect`](crate::lock::Locks::inspect)
/// does (what the bytes before it name lets anybody release the lock):
///
/// ```text
/// redis-cli GETRANGE 'app:l1:{order:7}' 34 -1   # {prefix}:inbox1:{id}@{host}:{pid} {name} {route} {request id}
/// redis-cli GETRANGE 'app:l1:{order:7}' 17 32   # the fence: in microseconds of Redis's clock, since when
/// redis-cli PTTL 'app:l1:{order:7}'             # in ms; what it exceeds 86400000 by is left of the lease
/// redis-cli LLEN 'app:l1:{order:7}:q'           # how many processes wait
/// ```
///
/// While Redis is away every operation fails at once. Waiting needs `SUBSCRIBE` and `PUBLISH`:
/// where an ACL forbids the first, a free key is granted, and a request that would have to wait is
/// refused at once; where it forbids the second, those who wait find a free key only at their next look.
#[derive(Clone)]
pub struct RedisLocks {
    pub(super) handle: RedisHandle,
    pub(super) shared: Arc<Shared>,
    pub(super) max_waiters: usize,
    replicas: Option<Arc<Replicas>>,
}

/// What all locks of one handle share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) held: HeldLocks,
    pub(super) cohorts: Cohorts,
    pub(super) waiters: Waiters,
}

impl RedisHandle {
    /// Locks in this Redis. Asks nobody; all of one handle share their list of held locks.
    #[must_use]
    pub fn locks(&self) -> RedisLocks {
        RedisLocks {
            handle: self.clone(),
            shared: self.slot(),
            max_waiters: MAX_WAITERS,
            replicas: None,
        }
    }
}

impl RedisLocks {
    /// How many of this process may wait for one key, and how many processes, before the next one
    /// is refused. Default 1024.
    #[must_use]
    pub fn with_max_waiters(mut self, max: usize) -> Self {
        self.max_waiters = max;
        self
    }

    /// Has every grant wait until `replicas` replicas have it, 1 or more, for `within` at most, from
    /// 1 ms to the command time-out: a fail-over then finds the lock held, at least for as long as the
    /// lease was when it was granted, as renewals wait for nobody. It stays an efficiency lock;
    /// correctness comes from the fence that the resource checks. What it promises is in the
    /// [module](crate::redis#durability).
    ///
    /// Where fewer acknowledge in time, the lock is let go again and the answer is that of a backend
    /// that is away.
    ///
    /// It costs a grant two round trips and what the replicas take, out of the lease's time: where they
    /// do not answer, twice `within`, and once the command time-out more where Redis does not. This
    /// process has a second connection, on which all who ask for as many replicas and as much time wait
    /// together; others wait for one another, so ask for the same everywhere. Renewals and releases wait
    /// for nobody. A key that is passed on within the process is asked for and waited for again. The
    /// Redis user needs `INFO`, `PUBLISH` and `WAIT`; in a Cluster, where all this is so for each node,
    /// `EVAL`, `SET` and `DEL` on `{prefix}:w1:*` instead of `PUBLISH`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_handoff::redis::RedisHandle;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_handoff::ConfigError> {
    /// let redis = RedisHandle::connect("redis://127.0.0.1:6379")?;
    /// let locks = redis.locks().replicas(1, Duration::from_millis(200))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// A number or a time out of range.
    pub fn replicas(self, replicas: u8, within: Duration) -> Result<Self, ConfigError> {
        let replicas = Replicas::new(&self.handle, replicas, within)?;
        Ok(Self {
            replicas: Some(Arc::new(replicas)),
            ..self
        })
    }

    /// The locks that this process holds now.
    #[must_use]
    pub fn held(&self) -> HeldLocks {
        self.shared.held.clone()
    }
}

impl RedisLocks {
    async fn ask_or_wait(
        &self,
        claim: &Claim,
        wait: Option<Duration>,
    ) -> Result<Acquired, LockError> {
        let arrival = self
            .shared
            .cohorts
            .arrive(claim, wait.is_some(), self.max_waiters);
        match arrival {
            Arrival::Ask => self.ask_first(claim, wait).await,
            Arrival::Again(lease) => Ok(Acquired::Granted(lease)),
            Arrival::Busy(until) => {
                let retry_after = until.map_or(claim.lease.get(), |until| {
                    until.saturating_duration_since(Instant::now())
                });
                Ok(Acquired::Busy { retry_after })
            }
            Arrival::Full => Ok(Acquired::QueueFull),
            Arrival::Wait(place) => {
                self.wait(claim, place, wait.unwrap_or_default(), claim.lease.get())
                    .await
            }
        }
    }
}

impl LockBackend for RedisLocks {
    async fn acquire(&self, claim: &Claim, wait: Option<Duration>) -> Result<Acquired, LockError> {
        let Some(replicas) = &self.replicas else {
            return self.ask_or_wait(claim, wait).await;
        };
        let acquired = self.ask_or_wait(claim, wait).await?;
        let Acquired::Granted(granted) = acquired else {
            return Ok(acquired);
        };
        // Who waited, or was passed the key on, holds what a server granted that may not be the master
        // any more: the one that is waited on has to know of it.
        let writing = Self {
            handle: replicas.writer(),
            ..self.clone()
        };
        // Whoever is told of a failure withdraws the claim.
        let renewed = writing.renew(claim).await.map_err(LockError::unavailable)?;
        let Renewed::Renewed(lease) = renewed else {
            return Err(LockError::unavailable(
                "the lock was lost as soon as granted",
            ));
        };
        replicas
            .have(&writing.handle)
            .await
            .map_err(reply::failed)?;
        if lease.deadline() <= Instant::now() {
            return Err(LockError::unavailable(
                "the lease ended before enough replicas had it",
            ));
        }
        Ok(Acquired::Granted(lease.with_path(granted.path())))
    }

    async fn renew(&self, claim: &Claim) -> Result<Renewed, LockError> {
        let cohorts = &self.shared.cohorts;
        let Some(token) = cohorts.token_of(claim) else {
            return Ok(Renewed::Lost);
        };
        let Some((lease, others)) = self.renew_token(claim, token).await? else {
            cohorts.lost(&claim.key, token);
            return Ok(Renewed::Lost);
        };
        if others {
            cohorts.others_wait(&claim.key, token);
        }
        let renewed = cohorts.renewed(claim, token, lease.deadline());
        Ok(renewed.map_or(Renewed::Lost, Renewed::Renewed))
    }

    async fn release(&self, claim: &Claim) -> Result<Released, LockError> {
        self.let_go(claim, false).await
    }

    /// A release that finds nothing may have overtaken the acquire, on a connection that
    /// replaced the acquire's. One more, when Redis refuses the acquire for its age, settles it.
    async fn withdraw(&self, claim: &Claim) -> Result<Released, LockError> {
        self.let_go(claim, true).await
    }

    async fn inspect(&self, key: &LockKey) -> Result<Option<Holder>, LockError> {
        self.holder_of(key).await
    }

    fn held(&self) -> HeldLocks {
        self.held()
    }

    fn reconnects(&self) -> Option<watch::Receiver<u64>> {
        Some(self.handle.epochs())
    }

    fn connection(&self, key: &LockKey) -> u64 {
        self.handle.connection_at(|| tag(key))
    }
}

impl fmt::Debug for RedisLocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            handle,
            shared,
            max_waiters,
            replicas,
        } = self;
        f.debug_struct("RedisLocks")
            .field("handle", handle)
            .field("held", &shared.held)
            .field("max_waiters", max_waiters)
            .field("replicas", replicas)
            .finish()
    }
}
