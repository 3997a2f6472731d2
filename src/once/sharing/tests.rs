//! Looks that are shared, one at a time.
//!
//! Floor 6.

use futures_util::FutureExt;
use tokio::sync::Semaphore;

use super::*;
use crate::lock::lease::Claim;
use crate::lock::memory::MemoryLocks;
use crate::once::store::{Begun, OnceStore};

/// Answers each look when it is let, by how many there were before.
struct Counting {
    looks: Mutex<u64>,
    answers: Semaphore,
}

impl OnceStore for Counting {
    type Locks = MemoryLocks;

    fn locks(&self) -> MemoryLocks {
        MemoryLocks::new()
    }

    async fn look(&self, _: &LockKey) -> Result<Found, LockError> {
        let number = {
            let mut looks = self.looks.lock().expect("no panic");
            *looks += 1;
            *looks
        };
        self.answers.acquire().await.expect("open").forget();
        Ok(Found::Running(number.to_string()))
    }

    async fn begin(&self, _: &Claim, _: &str) -> Result<Begun, LockError> {
        Ok(Begun::Lost)
    }

    async fn finish(&self, _: &Claim, _: Bytes, _: Duration) -> Result<bool, LockError> {
        Ok(false)
    }
}

struct World {
    sharing: Sharing,
    counting: Arc<Counting>,
    store: Arc<dyn ErasedStore>,
}

impl World {
    fn new() -> Self {
        let counting = Arc::new(Counting {
            looks: Mutex::new(0),
            answers: Semaphore::new(0),
        });
        Self {
            sharing: Sharing::default(),
            store: counting.clone(),
            counting,
        }
    }

    /// One who has begun to look.
    fn comes(&self) -> impl Future<Output = Found> + Unpin + use<> {
        let sharer = self.sharing.join(&LockKey::new("a").expect("a key"));
        let store = self.store.clone();
        let mut looks = Box::pin(async move { sharer.look(&store).await.expect("an answer") });
        assert!((&mut looks).now_or_never().is_none());
        looks
    }

    fn looks(&self) -> u64 {
        *self.counting.looks.lock().expect("no panic")
    }
}

fn of(number: u64) -> Found {
    Found::Running(number.to_string())
}

#[tokio::test(start_paused = true)]
async fn those_who_come_while_a_look_is_under_way_share_the_next_one() {
    let world = World::new();
    let first = world.comes();
    let others: Vec<_> = (0..100).map(|_| world.comes()).collect();
    assert_eq!(world.looks(), 1);
    world.counting.answers.add_permits(1);
    assert_eq!(first.await, of(1));
    world.counting.answers.add_permits(1);
    for other in others {
        assert_eq!(other.await, of(2), "sent after it came");
    }
    assert_eq!(world.looks(), 2);
    assert!(world.sharing.lock().is_empty(), "nothing is left behind");
}

#[tokio::test(start_paused = true)]
async fn a_look_goes_on_without_the_one_who_sent_it() {
    let world = World::new();
    let (first, second, third) = (world.comes(), world.comes(), world.comes());
    drop(first);
    world.counting.answers.add_permits(8);
    let (second, third) = tokio::join!(second, third);
    assert_eq!((second, third), (of(2), of(2)));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_ever_for_one_who_does_not_go_on() {
    let world = World::new();
    let stuck = world.comes();
    world.counting.answers.add_permits(8);
    assert_eq!(world.comes().await, of(2));
    drop(stuck);
}

/// Whoever looks for itself, as somebody stands still, keeps nobody else from sharing.
#[tokio::test(start_paused = true)]
async fn who_has_given_up_on_a_shared_look_has_no_place_in_it() {
    let world = World::new();
    let stuck = world.comes();
    let alone = world.comes();
    let (alone, ()) = tokio::join!(alone, async {
        sleep(2 * PATIENCE).await;
        assert_eq!(world.looks(), 2, "it looks for itself");
        drop(stuck);
        let next = world.comes();
        assert_eq!(world.looks(), 3, "at once");
        world.counting.answers.add_permits(2);
        assert_eq!(next.await, of(3));
    });
    assert_eq!(alone, of(2));
}

#[tokio::test(start_paused = true)]
async fn a_look_that_takes_long_is_shared_all_the_same() {
    let world = World::new();
    let all: Vec<_> = (0..100).map(|_| world.comes()).collect();
    let answers = async {
        for _ in 0..2 {
            sleep(4 * PATIENCE).await;
            world.counting.answers.add_permits(1);
        }
        assert_eq!(world.looks(), 2, "of all together");
    };
    let (found, ()) = tokio::join!(futures_util::future::join_all(all), answers);
    assert_eq!((&found[0], &found[99]), (&of(1), &of(2)));
}
