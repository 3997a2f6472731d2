//! Asking and waiting in Redis's line, on behalf of those of this process who wait for a key.
//!
//! Floor 4.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use tokio::time::{Duration, Instant, sleep_until};

use crate::lock::backend::Released;
use crate::lock::cohort::words::{Step, Turn};
use crate::lock::error::LockError;
use crate::lock::lease::{Lease, LeaseTime, Owner};
use crate::lock::lock_key::LockKey;
use crate::lock::redis::adapter::RedisLocks;
use crate::lock::redis::ask::Asked;
use crate::lock::redis::names::tag;
use crate::lock::redis::reply::{self, Answer};
use crate::lock::redis::waiters::Waiting;
use crate::lock::send_off::until_done;
use crate::random;
use crate::redis::inbox::Inbox;

/// How soon the line's task looks at the lock without having been woken, and how rarely at last: a key
/// that was handed to a process that stopped comes to the next one so late, and it costs Redis one script
/// every two seconds for each key and process that waits for it.
const FIRST_LOOK: Duration = Duration::from_secs(1);
const LAST_LOOK: Duration = Duration::from_secs(2);

/// How long those who wait put up with a connection that is being replaced.
const BLIP: Duration = Duration::from_secs(1);

/// Where the line stands in Redis, as its task knows it.
struct Stand {
    token: Owner,
    waiting: Waiting,
    /// Whether the token is in Redis's line, so that there is something to lose by giving up.
    in_line: bool,
    /// Whether it has just been asked for, by a claim or with a release.
    asked: bool,
    pause: Duration,
    trouble: Option<Instant>,
}

impl Stand {
    fn new(token: Owner, waiting: Waiting, asked: bool) -> Self {
        Self {
            token,
            waiting,
            in_line: asked,
            asked,
            pause: FIRST_LOOK,
            trouble: None,
        }
    }
}

/// Runs while anybody of this process waits for `key`.
///
/// Woken by the grant itself, so that it costs no further round trip. What can go wrong with a
/// message is made good by asking again, which is harmless, as an acquire is idempotent: at once
/// after a reconnect, else every two seconds. Where a runtime drops this task, and with it those who
/// wait there, somebody who waits in another one takes over; their claims are withdrawn like any others.
pub(super) fn drive(locks: RedisLocks, key: LockKey) -> impl Future<Output = ()> + Send {
    let mark = Mark {
        locks: locks.clone(),
        key: key.clone(),
        over: false,
    };
    async move {
        // All of it, also where this is dropped before it begins.
        let mut mark = mark;
        ask_for_the_line(&locks, key).await;
        mark.over = true;
    }
}

/// The task's mark, which a runtime that has ended drops with the task.
struct Mark {
    locks: RedisLocks,
    key: LockKey,
    over: bool,
}

impl Drop for Mark {
    fn drop(&mut self) {
        if !self.over {
            self.locks.shared.cohorts.orphan(&self.key);
        }
    }
}

async fn ask_for_the_line(locks: &RedisLocks, key: LockKey) {
    let Some((mut longest, news)) = locks.shared.cohorts.terms(&key) else {
        return;
    };
    let mut epochs = locks.handle.reconnects_at(&tag(&key));
    let mut stand: Option<Stand> = None;
    loop {
        epochs.mark_unchanged();
        // What is read next knows of all news up to here: told of them again, it would ask twice.
        pin!(news.notified()).enable();
        if let Some((token, waiting)) = locks.shared.cohorts.take_waiting(&key) {
            // Else the key is held under it.
            let asked = locks.shared.cohorts.asks(&key, token);
            stand = Some(Stand::new(token, waiting, asked));
        }
        match locks.shared.cohorts.step(&key) {
            Step::Over(left_behind) => {
                if let Some(token) = left_behind {
                    locks.take_back(&key, token, longest);
                } else if let Some(Stand { token, waiting, .. }) = stand {
                    locks.shared.cohorts.keep_ear(&key, token, waiting);
                }
                return;
            }
            Step::Rest(until) => {
                // Where it is held here, its ear is open or it is limited: from now on others in the
                // fleet reach this process.
                let _ = locks.inbox(&key).ready().await;
                let end = until.unwrap_or_else(|| Instant::now() + LAST_LOOK);
                tokio::select! {
                    () = news.notified() => {}
                    () = sleep_until(end) => {}
                }
            }
            Step::Ask(token) => {
                let lease = locks.shared.cohorts.next_lease(&key).unwrap_or(longest);
                longest = longest.max(lease);
                let known = stand.take().filter(|stand| stand.token == token);
                let stand =
                    stand
                        .insert(known.unwrap_or_else(|| {
                            Stand::new(token, locks.listen(&key, token), false)
                        }));
                let left = if std::mem::take(&mut stand.asked) {
                    LAST_LOOK
                } else {
                    let ready = locks.inbox(&key).ready().await;
                    // What was heard before the question is no answer to it.
                    stand.waiting.forget();
                    let asked = match ready {
                        Ok(()) => {
                            let asked = Asked {
                                key: &key,
                                token,
                                lease,
                                // Whoever is served will be told of at its renewal.
                                note: "",
                                line: true,
                            };
                            locks.ask(asked).await
                        }
                        Err(error) => Err(reply::failed(error)),
                    };
                    match locks.settle(&key, stand, longest, asked) {
                        Next::Wait(left) => left,
                        Next::Step => continue,
                        Next::Pause(until) => {
                            tokio::select! {
                                () = epochs.changed() => {}
                                () = news.notified() => {}
                                () = sleep_until(until) => {}
                            }
                            continue;
                        }
                    }
                };
                let jitter = Duration::from_millis(random::below(50));
                let look = Instant::now() + stand.pause.min(left + jitter);
                stand.pause = (stand.pause * 3 / 2).min(LAST_LOOK);
                tokio::select! {
                    biased;
                    // What was heard before may be of another Redis, whatever was asked since.
                    () = epochs.changed() => {}
                    // What was no use on the spot: too late, or before this one knew of the clock of the
                    // Redis that sent it.
                    heard = stand.waiting.granted() => {
                        let ran = locks.shared.cohorts.ran(&key);
                        if let Some(lease) = heard.lease(ran, Instant::now()) {
                            locks.hand_in(&key, token, lease, heard.grant.others, longest);
                        }
                        // Else it may be another's by now: ask again.
                    }
                    () = news.notified() => {}
                    () = sleep_until(look) => {}
                }
            }
        }
    }
}

enum Next {
    /// In line; the holder's lease lasts so long.
    Wait(Duration),
    /// Things have changed here.
    Step,
    /// A blip: ask again then.
    Pause(Instant),
}

impl RedisLocks {
    /// Where the key is, this process's channel.
    pub(super) fn inbox(&self, key: &LockKey) -> Inbox<'_> {
        self.handle.inbox(|| tag(key))
    }

    /// Puts an answer to use, or back where nobody is left to use it.
    fn settle(
        &self,
        key: &LockKey,
        stand: &mut Stand,
        lease: LeaseTime,
        asked: Result<Answer, LockError>,
    ) -> Next {
        let token = stand.token;
        match asked {
            Ok(Answer::Granted {
                lease: granted,
                others,
            }) => {
                self.hand_in(key, token, granted, others, lease);
                Next::Step
            }
            Ok(Answer::Busy { ran, left }) => {
                (stand.in_line, stand.trouble) = (true, None);
                self.shared.cohorts.set_ran(key, ran);
                if self.shared.cohorts.asks(key, token) {
                    return Next::Wait(left);
                }
                // Whoever was the last to wait took the claim back while it was asked for.
                self.take_back(key, token, lease);
                Next::Step
            }
            Ok(Answer::QueueFull) => {
                self.shared.cohorts.fail(key, token, || Turn::Full);
                Next::Step
            }
            Err(error) => {
                let now = Instant::now();
                let until = *stand.trouble.get_or_insert(now + BLIP);
                if stand.in_line && now < until && error.may_pass() {
                    return Next::Pause(now + BLIP / 10);
                }
                let failed = error.clone().settled();
                self.shared
                    .cohorts
                    .fail(key, token, || Turn::Failed(failed.clone()));
                // A claim may have asked under this token before, and not have heard the answer.
                self.take_back(key, token, lease);
                Next::Step
            }
        }
    }

    /// `longest` is what the grant can last for in Redis.
    fn hand_in(&self, key: &LockKey, token: Owner, lease: Lease, others: bool, longest: LeaseTime) {
        if !self.shared.cohorts.granted(key, token, lease, others) {
            self.take_back(key, token, longest);
        }
    }

    /// Takes a claim back that nobody here wants any more, however long Redis is away, while those
    /// who come next are served.
    pub(super) fn take_back(&self, key: &LockKey, token: Owner, lease: LeaseTime) {
        let (locks, key) = (self.clone(), key.clone());
        let under_way = self.shared.held.under_way();
        tokio::spawn(until_done(lease.get(), under_way, move || {
            let (locks, key) = (locks.clone(), key.clone());
            async move {
                // Granted after all: by the answer to a release, or to the same claim asking again.
                if locks.shared.cohorts.holds(&key, token) {
                    return Ok(Released::NotHeld);
                }
                locks.withdraw_token(&key, token, lease).await
            }
        }));
    }
}

/// Whether `ready` has nothing to wait for.
pub(super) fn is_ready<E>(ready: impl Future<Output = Result<(), E>>) -> bool {
    let polled = pin!(ready).poll(&mut Context::from_waker(Waker::noop()));
    matches!(polled, Poll::Ready(Ok(())))
}

#[cfg(test)]
mod tests;
