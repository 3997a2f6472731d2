//! Brings each message of the inbox to the one who waits for it.
//!
//! Floor 4.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{broadcast, mpsc};

use crate::lock::lease::Owner;
use crate::lock::redis::grant::{Grant, wanted};

/// Those of this process who wait in line, by owner.
#[derive(Debug, Clone, Default)]
pub(super) struct Waiters(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// One owner can have several ears, each of which hears all: who got in line under a token and
    /// who asks for the line find out only later that the other one listens too.
    waiting: HashMap<Owner, Vec<mpsc::UnboundedSender<Wake>>>,
    /// Whether a task reads the inbox.
    reading: bool,
}

/// Why a waiter wakes up.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wake {
    Granted(Grant),
    /// Others wait for what is held here.
    Wanted,
    /// Messages were missed, or nobody reads them any more: look at the lock.
    LookAgain,
}

/// A place among the waiters; dropped, it is given up.
#[derive(Debug)]
pub(super) struct Waiting {
    waiters: Waiters,
    owner: Owner,
    wakes: mpsc::UnboundedReceiver<Wake>,
}

impl Waiters {
    /// Registers a waiter, before it gets in line, so that no message can come too early.
    pub(super) fn register(
        &self,
        owner: Owner,
        messages: impl FnOnce() -> broadcast::Receiver<Bytes>,
    ) -> Waiting {
        let (wake, wakes) = mpsc::unbounded_channel();
        self.lock().waiting.entry(owner).or_default().push(wake);
        let waiting = Waiting {
            waiters: self.clone(),
            owner,
            wakes,
        };
        self.read_on(messages);
        waiting
    }

    /// Starts the task that reads the inbox where there is none. It ends with the connection's
    /// handle, or with the runtime it was started in: whoever has an ear is woken then, to call this.
    pub(super) fn read_on(&self, messages: impl FnOnce() -> broadcast::Receiver<Bytes>) {
        // A runtime that is shutting down drops the task at once, and its mark takes the lock.
        let reading = mem::replace(&mut self.lock().reading, true);
        if !reading {
            tokio::spawn(read(Reading(self.clone()), messages()));
        }
    }

    fn deliver(&self, owner: Owner, wake: Wake) {
        // Nobody waits for a grant whose waiter gave up: its withdrawal passes the key on.
        for waiter in self.lock().waiting.get(&owner).into_iter().flatten() {
            let _ = waiter.send(wake);
        }
    }

    fn wake_all(&self) {
        for waiter in self.lock().waiting.values().flatten() {
            let _ = waiter.send(Wake::LookAgain);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// The next reason to wake up. Cancel safe.
    pub(super) async fn woken(&mut self) -> Wake {
        match self.wakes.recv().await {
            Some(wake) => wake,
            // The sender is in the map until `self` is dropped.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.wakes.close();
        if let Entry::Occupied(mut ears) = self.waiters.lock().waiting.entry(self.owner) {
            ears.get_mut().retain(|ear| !ear.is_closed());
            if ears.get().is_empty() {
                ears.remove();
            }
        }
    }
}

async fn read(reading: Reading, mut messages: broadcast::Receiver<Bytes>) {
    loop {
        match messages.recv().await {
            Ok(message) => {
                if let Some(grant) = Grant::parse(&message) {
                    reading.0.deliver(grant.owner, Wake::Granted(grant));
                } else if let Some(owner) = wanted(&message) {
                    reading.0.deliver(owner, Wake::Wanted);
                }
            }
            Err(broadcast::error::RecvError::Lagged(_)) => reading.0.wake_all(),
            // The connection's handle is gone, and everybody who waited with it.
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

/// The task's mark; a runtime that drops the task takes it away, so that those who wait elsewhere start anew.
struct Reading(Waiters);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.lock().reading = false;
        self.0.wake_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Outside of any runtime a task is dropped at once, as it is in one that shuts down.
    #[test]
    fn a_reader_that_cannot_be_started_blocks_nobody() {
        let waiters = Waiters::default();
        let (tell, told) = std::sync::mpsc::channel();
        let inside = waiters.clone();
        std::thread::spawn(move || {
            let inbox = broadcast::Sender::new(1);
            let register = || drop(inside.register(Owner::random(), || inbox.subscribe()));
            let started = std::panic::catch_unwind(std::panic::AssertUnwindSafe(register));
            tell.send(started.is_err()).unwrap();
        });
        let ended = told.recv_timeout(std::time::Duration::from_secs(20));
        assert!(ended.expect("it does not wait for itself"));
        let state = waiters.lock();
        assert!(!state.reading && state.waiting.is_empty());
    }

    /// A claim that gets in line and the one who asks for the line can have an ear each.
    #[tokio::test]
    async fn of_two_ears_for_one_owner_each_hears_whichever_closes() {
        for closes in [0, 1] {
            let (waiters, inbox) = (Waiters::default(), broadcast::Sender::new(1));
            let owner = Owner::random();
            let mut ears =
                Vec::from([(); 2].map(|()| waiters.register(owner, || inbox.subscribe())));
            waiters.deliver(owner, Wake::Wanted);
            for ear in &mut ears {
                let wake = ear.wakes.try_recv();
                assert!(matches!(wake, Ok(Wake::Wanted)), "{wake:?}");
            }
            drop(ears.remove(closes));
            waiters.deliver(owner, Wake::LookAgain);
            let wake = ears[0].wakes.try_recv();
            assert!(matches!(wake, Ok(Wake::LookAgain)), "{wake:?}");
            drop(ears);
            assert!(waiters.lock().waiting.is_empty());
        }
    }
}
