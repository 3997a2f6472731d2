//! Waiting in line.
//!
//! Floor 4.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use tokio::time::{Duration, Instant, sleep_until};

use crate::lock::backend::Acquired;
use crate::lock::error::LockError;
use crate::lock::lease::{Claim, end_of};
use crate::lock::redis::adapter::RedisLocks;
use crate::lock::redis::names::Names;
use crate::lock::redis::reply::{self, Answer};
use crate::lock::redis::waiters::Wake;
use crate::random;

/// How soon a waiter looks at the lock without having been woken, and how rarely at last.
const FIRST_LOOK: Duration = Duration::from_secs(1);
const LAST_LOOK: Duration = Duration::from_secs(5);

/// How long a waiter puts up with a connection that is being replaced.
const BLIP: Duration = Duration::from_secs(1);

impl RedisLocks {
    /// Acquires, waiting in line no longer than `wait`.
    ///
    /// Woken by the grant itself, so that it costs no further round trip. What can go wrong with
    /// a message is made good by asking again, which is harmless, as an acquire is idempotent:
    /// at once after a reconnect, else every few seconds.
    pub(super) async fn wait(
        &self,
        claim: &Claim,
        names: &Names,
        wait: Duration,
    ) -> Result<Acquired, LockError> {
        let end = end_of(wait);
        let inbox = self.handle.inbox();
        // Nobody gets in line whom no message would reach. Where the inbox was never needed
        // before, this asks for it, and the lock is most likely free.
        if !is_ready(inbox.ready()) {
            match self.ask(claim, names, false).await? {
                Answer::Granted(lease) => return Ok(Acquired::Granted(lease)),
                _ => inbox.ready().await.map_err(reply::failed)?,
            }
        }
        let mut epochs = self.handle.epochs();
        let mut waiting = self
            .shared
            .waiters
            .register(claim.owner, || inbox.messages());
        let mut pause = FIRST_LOOK;
        let mut in_line = false;
        let mut trouble: Option<Instant> = None;
        loop {
            epochs.mark_unchanged();
            let asked = match inbox.ready().await {
                Ok(()) => self.ask(claim, names, true).await,
                Err(error) => Err(reply::failed(error)),
            };
            let now = Instant::now();
            let (ran, left) = match asked {
                Ok(Answer::Granted(lease)) => return Ok(Acquired::Granted(lease)),
                Ok(Answer::Busy { ran, left }) => (ran, left),
                Ok(Answer::QueueFull) => return Ok(Acquired::QueueFull),
                // Only who stands in line already has something to lose by giving up.
                Err(error) if !in_line => return Err(error),
                Err(error) => {
                    let until = *trouble.get_or_insert(now + BLIP);
                    if now >= until.min(end) || !error.may_pass() {
                        // Whatever this error is of, the place in line is to be given up.
                        return Err(error.after_others());
                    }
                    tokio::select! {
                        _ = epochs.changed() => {}
                        () = sleep_until((now + BLIP / 10).min(end)) => {}
                    }
                    continue;
                }
            };
            in_line = true;
            trouble = None;
            let jitter = Duration::from_millis(random::below(50));
            let look = (now + pause.min(left + jitter)).min(end);
            pause = (pause * 3 / 2).min(LAST_LOOK);
            tokio::select! {
                wake = waiting.woken() => {
                    if let Wake::Granted(grant) = wake
                        && let Some(lease) = grant.lease(ran, Instant::now())
                    {
                        return Ok(Acquired::Granted(lease));
                    }
                    // Messages were missed, or the grant was read too late and may be another's
                    // by now: ask again.
                }
                _ = epochs.changed() => {}
                () = sleep_until(look) => {
                    if Instant::now() >= end {
                        // What was granted at the last moment goes on to the next in line.
                        self.give_back(claim)
                            .await
                            .map_err(LockError::after_others)?;
                        return Ok(Acquired::Busy { retry_after: left });
                    }
                }
            }
        }
    }
}

/// Whether `ready` has nothing to wait for.
fn is_ready<E>(ready: impl Future<Output = Result<(), E>>) -> bool {
    let polled = pin!(ready).poll(&mut Context::from_waker(Waker::noop()));
    matches!(polled, Poll::Ready(Ok(())))
}
