//! One task renews every lease of a backend in this process.
//!
//! Floor 3.

use std::sync::Arc;

use tokio::sync::{Semaphore, watch};
use tokio::time::sleep_until;

use crate::lock::held::{AT_ONCE, HeldLocks, Renewals};
use crate::lock::sync::{AtomicBool, Ordering};

type Reconnects = Option<watch::Receiver<u64>>;

/// Renews what is held, each lease at its time and after a reconnect of the connection to it, until
/// nothing is held.
///
/// The task runs where the first of them was taken. Should that runtime end before the others, it
/// moves on to one of theirs, to one that runs by itself if there is any: what is spawned on a
/// runtime of one thread waits until somebody enters that. Where there is none, leases run out, and
/// their holders are told.
///
/// A lock that is let go before it is due costs this task nothing: no timer of its own, at most
/// a look at the list when the first lock it knew of would have been due.
/// Without effect where there is such a task.
pub(crate) fn renew_held(held: &HeldLocks, reconnects: &Reconnects) {
    let mut tried = Vec::new();
    // Until it has begun: a runtime that has ended drops the task here, and its mark says that there
    // is none. Whoever took a lock meanwhile was told that there is one, and left it to that.
    while let Some(home) = held.begin_renewals(&tried) {
        tried.push(home.id());
        let started = Arc::new(AtomicBool::new(false));
        let mark = Mark {
            held: held.clone(),
            reconnects: reconnects.clone(),
            started: started.clone(),
            over: false,
        };
        home.spawn(renew(held.clone(), reconnects.clone(), mark));
        started.store(true, Ordering::Release);
    }
}

async fn renew(held: HeldLocks, mut reconnects: Reconnects, mut mark: Mark) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    if let Some(epochs) = &mut reconnects {
        epochs.mark_unchanged();
    }
    loop {
        match held.renewals() {
            Renewals::Over => {
                mark.over = true;
                return;
            }
            Renewals::Due(due) => {
                for lock in due {
                    // Nobody closes it, so there is always one in the end.
                    let place = places.clone().acquire_owned().await.ok();
                    lock.renew(place);
                }
            }
            Renewals::At(next) => tokio::select! {
                () = sleep_until(next) => {}
                () = held.due_earlier() => {}
                () = changed(&mut reconnects) => held.reconnected(),
            },
        }
    }
}

/// Resolves at the next reconnect; never where there are none.
async fn changed(reconnects: &mut Reconnects) {
    if let Some(epochs) = reconnects
        && epochs.changed().await.is_ok()
    {
        return;
    }
    std::future::pending::<()>().await;
}

/// The task's mark: a runtime that drops the task takes it along to the next one.
struct Mark {
    held: HeldLocks,
    reconnects: Reconnects,
    /// Whether it was dropped by the runtime that ran it, and not by one that had ended before.
    started: Arc<AtomicBool>,
    over: bool,
}

impl Drop for Mark {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        self.held.renewals_ended();
        // Else who started it sees to the next one.
        if self.started.load(Ordering::Acquire) {
            renew_held(&self.held, &self.reconnects);
        }
    }
}

#[cfg(test)]
mod tests;
