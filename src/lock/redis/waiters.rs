//! Brings each message of the inbox to the one who waits for it.
//!
//! Floor 4.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{broadcast, mpsc};

use crate::lock::lease::Owner;
use crate::lock::redis::grant::Grant;

/// Those of this process who wait in line, by owner.
#[derive(Debug, Clone, Default)]
pub(super) struct Waiters(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    waiting: HashMap<Owner, mpsc::UnboundedSender<Wake>>,
    /// Whether a task reads the inbox.
    reading: bool,
}

/// Why a waiter wakes up.
#[derive(Debug)]
pub(super) enum Wake {
    Granted(Grant),
    /// Messages were missed: look at the lock.
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
    ///
    /// The first one starts the task that reads the inbox; it ends with the connection's handle.
    pub(super) fn register(
        &self,
        owner: Owner,
        messages: impl FnOnce() -> broadcast::Receiver<Bytes>,
    ) -> Waiting {
        let (wake, wakes) = mpsc::unbounded_channel();
        let mut state = self.lock();
        state.waiting.insert(owner, wake);
        if !state.reading {
            state.reading = true;
            tokio::spawn(read(Reading(self.clone()), messages()));
        }
        drop(state);
        Waiting {
            waiters: self.clone(),
            owner,
            wakes,
        }
    }

    fn deliver(&self, grant: Grant) {
        // Nobody waits for a grant whose waiter gave up: its withdrawal passes the key on.
        if let Some(waiter) = self.lock().waiting.get(&grant.owner) {
            let _ = waiter.send(Wake::Granted(grant));
        }
    }

    fn wake_all(&self) {
        for waiter in self.lock().waiting.values() {
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
        self.waiters.lock().waiting.remove(&self.owner);
    }
}

async fn read(reading: Reading, mut messages: broadcast::Receiver<Bytes>) {
    loop {
        match messages.recv().await {
            Ok(message) => {
                if let Some(grant) = Grant::parse(&message) {
                    reading.0.deliver(grant);
                }
            }
            Err(broadcast::error::RecvError::Lagged(_)) => reading.0.wake_all(),
            // The connection's handle is gone, and everybody who waited with it.
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

/// The task's mark; a runtime that drops the task takes it away, so that the next one starts anew.
struct Reading(Waiters);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.lock().reading = false;
    }
}
