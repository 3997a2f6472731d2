//! The backend on Redis.
//!
//! Floor 4.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::Value;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::lock::backend::{Acquired, LockBackend, Released, Renewed};
use crate::lock::error::LockError;
use crate::lock::held::HeldLocks;
use crate::lock::lease::{Claim, HAND_OVER, MAX_WAITERS, Owner};
use crate::lock::redis::names::Names;
use crate::lock::redis::reply::{self, Answer};
use crate::lock::redis::waiters::Waiters;
use crate::redis::handle::RedisHandle;
use crate::redis::script::{Script, script};

/// Each begins with what is all there is to do while nobody else wants the key.
static ACQUIRE: Script = script!("acquire_free.lua", "hand_over.lua", "acquire.lua");
static RELEASE: Script = script!("release_alone.lua", "hand_over.lua", "release.lua");
static RENEW: Script = script!("renew.lua");

/// How long Redis keeps a lock's value after its lease, for the sake of the fence. The scripts
/// know it too: it is part of the format.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Locks in Redis, shared by every instance; made by
/// [`RedisHandle::locks`](crate::redis::RedisHandle::locks).
///
/// Each operation is one script and one round trip. A release hands the key to the oldest
/// waiter and wakes it with one message; nobody polls, beyond a look at the lock every few
/// seconds in case a holder died or a message was lost. The keys of a lock are
/// `{prefix}:l1:{name}`, and with `:q` its line. The first stays for a day after the lock was let
/// go or its lease ended, as the floor of the next fence; a value that begins with `0`, or whose
/// time to live is a day or less, is no lock.
///
/// While Redis is away every operation fails at once. Waiting needs `SUBSCRIBE` and `PUBLISH`:
/// where an ACL forbids the first, a request that would have to wait is refused instead; where it
/// forbids the second, those who wait find a free key only at their next look.
#[derive(Clone)]
pub struct RedisLocks {
    pub(super) handle: RedisHandle,
    pub(super) shared: Arc<Shared>,
    max_waiters: usize,
}

/// What all locks of one handle share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) held: HeldLocks,
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
        }
    }
}

impl RedisLocks {
    /// How many may wait for one key, in all instances together, before the next one is
    /// refused. Default 1024.
    #[must_use]
    pub fn with_max_waiters(mut self, max: usize) -> Self {
        self.max_waiters = max;
        self
    }

    /// The locks that this process holds now.
    #[must_use]
    pub fn held(&self) -> HeldLocks {
        self.shared.held.clone()
    }

    /// Asks for the key once; with `line`, gets in line where it is busy.
    pub(super) async fn ask(
        &self,
        claim: &Claim,
        names: &Names,
        line: bool,
    ) -> Result<Answer, LockError> {
        let inbox = self.handle.inbox();
        let most = if line {
            self.max_waiters.to_string()
        } else {
            "-1".to_owned()
        };
        // Once more where the packet came too late, which can mean that this process's idea of
        // Redis's clock was wrong: the answer has put it right.
        for _ in 0..2 {
            let sent = Instant::now();
            let reply = self
                .handle
                .run(
                    &ACQUIRE,
                    &names.all(),
                    &[
                        &token(claim.owner),
                        &keep(claim.lease.get()),
                        (self.handle.now_ms() + self.late_ms())
                            .to_string()
                            .as_bytes(),
                        inbox.channel().as_bytes(),
                        &keep(HAND_OVER),
                        most.as_bytes(),
                    ],
                )
                .await
                .map_err(reply::failed)?;
            let (redis_ms, answer) = reply::acquired(reply, sent, claim)?;
            self.handle.observe_time(redis_ms);
            if let Some(answer) = answer {
                return Ok(answer);
            }
        }
        Err(LockError::refused(
            "the request reached Redis after its time, twice",
        ))
    }

    /// Lets go, and says whether there was anything to let go of.
    pub(super) async fn give_back(&self, claim: &Claim) -> Result<(Released, bool), LockError> {
        let names = Names::new(self.handle.keyspace(), &claim.key);
        let reply = self
            .handle
            .run(
                &RELEASE,
                &names.all(),
                &[
                    &token(claim.owner),
                    self.handle.inbox().channel().as_bytes(),
                    &keep(HAND_OVER),
                ],
            )
            .await
            .map_err(reply::failed)?;
        reply::released(&reply)
    }

    /// How long an acquire may be under way, before Redis refuses it: longer than anybody
    /// waits for its answer, and the clocks may differ by as much again.
    fn late_ms(&self) -> u64 {
        2 * u64::try_from(self.handle.command_timeout().as_millis()).unwrap_or(1_000)
    }
}

impl LockBackend for RedisLocks {
    async fn acquire(&self, claim: &Claim, wait: Option<Duration>) -> Result<Acquired, LockError> {
        let names = Names::new(self.handle.keyspace(), &claim.key);
        if let Some(wait) = wait {
            return self.wait(claim, &names, wait).await;
        }
        Ok(match self.ask(claim, &names, false).await? {
            Answer::Granted(lease) => Acquired::Granted(lease),
            Answer::Busy { left, .. } => Acquired::Busy { retry_after: left },
            Answer::QueueFull => Acquired::QueueFull,
        })
    }

    async fn renew(&self, claim: &Claim) -> Result<Renewed, LockError> {
        let names = Names::new(self.handle.keyspace(), &claim.key);
        let sent = Instant::now();
        let keep = keep(claim.lease.get());
        let reply: Value = self
            .handle
            .run(&RENEW, &[&names.lock], &[&token(claim.owner), &keep])
            .await
            .map_err(reply::failed)?;
        reply::renewed(&reply, sent, claim)
    }

    async fn release(&self, claim: &Claim) -> Result<Released, LockError> {
        self.give_back(claim).await.map(|(released, _)| released)
    }

    /// A release that finds nothing may have overtaken the acquire, on a connection that
    /// replaced the acquire's. One more, when Redis refuses the acquire for its age, settles it.
    async fn withdraw(&self, claim: &Claim) -> Result<Released, LockError> {
        let (released, found) = self.give_back(claim).await?;
        if found {
            return Ok(released);
        }
        sleep(Duration::from_millis(2 * self.late_ms())).await;
        self.release(claim).await
    }

    fn held(&self) -> HeldLocks {
        self.held()
    }

    fn reconnects(&self) -> Option<watch::Receiver<u64>> {
        Some(self.handle.epochs())
    }
}

impl fmt::Debug for RedisLocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            handle,
            shared,
            max_waiters,
        } = self;
        f.debug_struct("RedisLocks")
            .field("handle", handle)
            .field("held", &shared.held)
            .field("max_waiters", max_waiters)
            .finish()
    }
}

/// What names the owner in Redis: format `1`.
fn token(owner: Owner) -> [u8; 17] {
    let mut token = [b'1'; 17];
    token[1..].copy_from_slice(owner.as_bytes());
    token
}

/// For how many milliseconds Redis keeps the value of a lock of this lease.
fn keep(lease: Duration) -> Vec<u8> {
    (lease + DAY).as_millis().to_string().into_bytes()
}
