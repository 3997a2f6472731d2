//! One task renews every lease of a backend in this process.
//!
//! Floor 3.

use tokio::sync::watch;
use tokio::time::{Duration, Instant, sleep_until};

use crate::lock::held::{HeldLocks, Renewals};

/// Leases due within this time are renewed together, so that their commands leave together.
const TOGETHER: Duration = Duration::from_millis(10);

/// Renews what is held, each lease at its time and all of them after a reconnect, and ends when
/// nothing is held.
///
/// It runs where the first of them was taken. Should that runtime end before the others, their
/// leases run out, and their holders are told, unless somebody takes another lock meanwhile.
///
/// A lock that is let go before it is due costs this task nothing: no timer of its own, at most
/// a look at the list when the first lock it knew of would have been due.
pub(crate) async fn renew_held(held: HeldLocks, mut reconnects: Option<watch::Receiver<u64>>) {
    let mut ended = Ended(Some(held.clone()));
    if let Some(epochs) = &mut reconnects {
        epochs.mark_unchanged();
    }
    let mut until = Instant::now();
    loop {
        match held.renewals(until) {
            Renewals::Over => {
                ended.0 = None;
                return;
            }
            Renewals::Due(due) => {
                for lock in due {
                    lock.renew();
                }
                until = Instant::now();
            }
            Renewals::At(next) => tokio::select! {
                () = sleep_until(next) => until = Instant::now() + TOGETHER,
                () = held.due_earlier() => until = Instant::now(),
                () = changed(&mut reconnects) => until = far_off(),
            },
        }
    }
}

/// Resolves at the next reconnect; never where there are none.
async fn changed(reconnects: &mut Option<watch::Receiver<u64>>) {
    if let Some(epochs) = reconnects
        && epochs.changed().await.is_ok()
    {
        return;
    }
    std::future::pending::<()>().await;
}

fn far_off() -> Instant {
    // Longer than any lease.
    Instant::now() + Duration::from_secs(7 * 24 * 60 * 60)
}

/// Says that the task is gone when its runtime dropped it.
struct Ended(Option<HeldLocks>);

impl Drop for Ended {
    fn drop(&mut self) {
        if let Some(held) = &self.0 {
            held.renewals_ended();
        }
    }
}
