//! Whoever was served too late to use it, or asks again, is where it was in the line of locks in memory.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use tokio::time::{advance, sleep};
use tower_handoff::lock::{
    Acquired, Claim, LeaseTime, LockBackend, LockError, LockKey, MemoryLocks,
};

use super::late::HeldUp;
use super::rig::ms;

type Wait<'a> = Pin<Box<dyn Future<Output = Result<Acquired, LockError>> + Send + 'a>>;

fn claim() -> Claim {
    Claim::new(LockKey::new("a").unwrap(), LeaseTime::DEFAULT)
}

/// What has come of a wait, looked at once.
fn looked_at(wait: &mut Wait<'_>) -> Option<Acquired> {
    wait.now_or_never().map(Result::unwrap)
}

/// The grant of the first is read when its lease is over, and it asks again under another name.
#[tokio::test(start_paused = true)]
async fn whoever_reads_its_grant_too_late_comes_before_those_who_came_later() {
    let (_, locks) = HeldUp::new(MemoryLocks::new(), |_| 1);
    let locks = locks.with_wait(ms(600_000)).unwrap();
    let served = Arc::new(Mutex::new(Vec::new()));
    let mut users = Vec::new();
    for number in 0..4 {
        let (locks, served) = (locks.clone(), served.clone());
        users.push(tokio::spawn(async move {
            let lock = locks.acquire(LockKey::new("a").unwrap()).await.unwrap();
            served.lock().unwrap().push(number);
            sleep(ms(50)).await;
            lock.check().unwrap();
        }));
        sleep(ms(10)).await;
    }
    for user in users {
        user.await.unwrap();
    }
    assert_eq!(*served.lock().unwrap(), [1, 0, 2, 3]);
}

/// Nobody looks at the first wait for as long as a hand-over is reserved for it; a newcomer has the next
/// one served, and takes the last place.
#[tokio::test(start_paused = true)]
async fn a_wait_that_goes_on_too_late_is_back_where_it_was_also_in_a_full_line() {
    let locks = MemoryLocks::new().with_max_waiters(2);
    let (holder, claims) = (claim(), [claim(), claim(), claim(), claim()]);
    let held = locks.acquire(&holder, None).await.unwrap();
    assert!(matches!(held, Acquired::Granted(_)));
    let mut waits = claims
        .each_ref()
        .map(|claim| -> Wait<'_> { Box::pin(locks.acquire(claim, Some(ms(600_000)))) });
    for at in [0, 1] {
        assert_eq!(looked_at(&mut waits[at]), None);
    }
    locks.release(&holder).await.unwrap();
    assert_eq!(looked_at(&mut waits[2]), None);
    advance(ms(1_001)).await;
    for at in [3, 0] {
        assert_eq!(looked_at(&mut waits[at]), None);
    }
    let full = locks.acquire(&claim(), Some(ms(600_000))).await.unwrap();
    assert_eq!(full, Acquired::QueueFull);
    for at in [1, 0, 2, 3] {
        let served = looked_at(&mut waits[at]);
        assert!(
            matches!(served, Some(Acquired::Granted(_))),
            "{at}: {served:?}"
        );
        locks.release(&claims[at]).await.unwrap();
    }
}

/// Its future was dropped, and its claim was not taken back: the same claim again keeps its place.
#[tokio::test(start_paused = true)]
async fn whoever_asks_again_while_it_waits_keeps_its_place_and_is_woken() {
    let locks = MemoryLocks::new();
    let [holder, first, second] = [claim(), claim(), claim()];
    let held = locks.acquire(&holder, None).await.unwrap();
    assert!(matches!(held, Acquired::Granted(_)));
    let wait = |claim| -> Wait<'_> { Box::pin(locks.acquire(claim, Some(ms(600_000)))) };
    assert_eq!(looked_at(&mut wait(&first)), None);
    let mut later = wait(&second);
    assert_eq!(looked_at(&mut later), None);
    let mut again = wait(&first);
    assert_eq!(looked_at(&mut again), None);
    locks.release(&holder).await.unwrap();
    let served = [&mut later, &mut again].map(looked_at);
    assert!(
        matches!(served, [None, Some(Acquired::Granted(_))]),
        "{served:?}"
    );
}
