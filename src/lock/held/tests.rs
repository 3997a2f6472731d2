//! What a shutdown waits for, on a clock of its own.
//!
//! Floor 2.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Duration, advance, sleep};

use super::*;
use crate::lock::due::Due;

/// A lock whose release is answered, or fails for good, after a time.
struct Slow {
    key: LockKey,
    owner: Owner,
    held: HeldLocks,
    answer: Duration,
    /// The most releases that were under way at a time.
    most: Arc<AtomicUsize>,
}

impl Held for Slow {
    fn key(&self) -> &LockKey {
        &self.key
    }

    fn due(&self, _: Instant) -> Option<Due> {
        None
    }

    fn reconnected(&self) {}

    fn renew(self: Arc<Self>, _: Option<OwnedSemaphorePermit>) {}

    fn home(&self) -> Option<&Handle> {
        None
    }

    fn take_away(self: Arc<Self>) {
        let under_way = self.held.leave(&self.owner);
        let now = self.held.lock().under_way;
        self.most.fetch_max(now, Ordering::Relaxed);
        tokio::spawn(async move {
            sleep(self.answer).await;
            drop(under_way);
        });
    }
}

/// How long it takes to let go of so many, on the test's clock, and how many are under way at most.
async fn the_end_of(count: usize, answer: Duration) -> (Duration, usize) {
    let (held, most) = (HeldLocks::default(), Arc::default());
    for _ in 0..count {
        let owner = Owner::random();
        let lock = Slow {
            key: LockKey::new("a").expect("a key"),
            owner,
            held: held.clone(),
            answer,
            most: Arc::clone(&most),
        };
        let listed = held.add(owner, Arc::new(lock));
        assert_eq!(listed, Ok(true));
    }
    let begun = Instant::now();
    held.release_all().await;
    assert!(held.names().is_empty());
    (begun.elapsed(), most.load(Ordering::Relaxed))
}

#[tokio::test(start_paused = true)]
async fn the_end_takes_turns_where_the_backend_answers() {
    let (took, most) = the_end_of(3 * AT_ONCE, Duration::from_millis(100)).await;
    assert_eq!(most, AT_ONCE);
    assert!(took < Duration::from_millis(400), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn of_a_silent_backend_the_end_awaits_one_attempt_and_not_one_a_turn() {
    let time_out = Duration::from_secs(5);
    let (took, _) = the_end_of(10 * AT_ONCE, time_out).await;
    assert!(took < BLIP + time_out + BLIP / 10, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_has_its_second_however_long_ago_the_list_was_closed() {
    let held = HeldLocks::default();
    let under_way = held.begin().expect("it is open");
    held.close();
    advance(Duration::from_secs(3_600)).await;
    assert!(!under_way.has_kept_waiting(), "nobody waits for it");
    let end = held.clone();
    let end = tokio::spawn(async move { end.release_all().await });
    tokio::task::yield_now().await;
    assert!(!under_way.has_kept_waiting(), "a second is not over");
    advance(BLIP + Duration::from_millis(1)).await;
    assert!(under_way.has_kept_waiting());
    drop(under_way);
    end.await.expect("it ends");
}

/// A lock that is renewed as soon as that is asked for, and counts.
struct Renewed {
    key: LockKey,
    due: Mutex<Instant>,
    counts: Arc<[AtomicUsize; 2]>,
}

const LEASE: Duration = Duration::from_secs(30);

impl Held for Renewed {
    fn key(&self) -> &LockKey {
        &self.key
    }

    fn due(&self, _: Instant) -> Option<Due> {
        self.counts[0].fetch_add(1, Ordering::Relaxed);
        Some(Due::early(*self.due.lock().expect("no panic"), LEASE / 30))
    }

    fn reconnected(&self) {}

    fn renew(self: Arc<Self>, _: Option<OwnedSemaphorePermit>) {
        self.counts[1].fetch_add(1, Ordering::Relaxed);
        *self.due.lock().expect("no panic") = Instant::now() + LEASE / 3;
    }

    fn home(&self) -> Option<&Handle> {
        None
    }

    fn take_away(self: Arc<Self>) {}
}

/// As the renewal task does, for a time of the test's clock: how often a lock was looked at, and how
/// often it was renewed, on the average.
async fn renewed_for(time: Duration, locks: u32) -> (usize, usize) {
    let (held, counts) = (HeldLocks::default(), Arc::default());
    let begun = Instant::now();
    for number in 0..locks {
        let lock = Renewed {
            key: LockKey::new("a").expect("a key"),
            due: Mutex::new(begun + LEASE / 3 * number / locks),
            counts: Arc::clone(&counts),
        };
        let listed = held.add(Owner::random(), Arc::new(lock));
        assert_eq!(listed, Ok(true));
    }
    while begun.elapsed() < time {
        match held.renewals() {
            Renewals::Over => panic!("they are held"),
            Renewals::Due(due) => due.into_iter().for_each(|lock| lock.renew(None)),
            Renewals::At(next) => tokio::time::sleep_until(next).await,
        }
    }
    let each = |count: usize| counts[count].load(Ordering::Relaxed) / locks as usize;
    (each(0), each(1))
}

#[tokio::test(start_paused = true)]
async fn however_many_are_held_they_are_looked_at_for_some_hundredths_of_the_time() {
    // Two looks for each that is renewed, one of which finds it.
    let few = renewed_for(LEASE, 10).await;
    assert!(few.0 <= 70 && few.1 == 3, "{few:?}");
    // With what is due in ten milliseconds, whatever their number, it would be 6 000.
    let many = renewed_for(LEASE, 5_000).await;
    assert!(many.0 <= 1_400 && (3..=4).contains(&many.1), "{many:?}");
}
