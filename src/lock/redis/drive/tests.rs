//! What becomes of a grant that could not be put to use where it came in.
//!
//! Floor 4.

use futures_util::FutureExt;
use tokio::time::{Duration, Instant, advance};

use super::drive;
use crate::lock::cohort::words::{Arrival, Place, Turn};
use crate::lock::lease::{Claim, Fence, LeaseTime};
use crate::lock::lock_key::LockKey;
use crate::lock::redis::adapter::RedisLocks;
use crate::lock::redis::grant::{Grant, Heard};
use crate::lock::redis::reply::Ran;
use crate::redis::handle::RedisHandle;

/// Of a Redis that answers nothing more.
fn locks() -> RedisLocks {
    RedisHandle::connect("redis://127.0.0.1:1").unwrap().locks()
}

/// A claim that is in Redis's line, and what its answer said of Redis's clock.
fn in_line(locks: &RedisLocks, ran: Ran) -> (Claim, Place) {
    let claim = Claim::new(LockKey::new("a").unwrap(), LeaseTime::DEFAULT);
    let cohorts = &locks.shared.cohorts;
    let arrival = cohorts.arrive(&claim, true, 8);
    assert!(matches!(arrival, Arrival::Ask), "{arrival:?}");
    cohorts.set_ran(&claim.key, ran);
    let place = cohorts.queue_up(&claim).expect("it asked");
    (claim, place)
}

fn granted_a_second(claim: &Claim, since: Instant) -> Heard {
    let grant = Grant {
        owner: claim.owner,
        fence: Fence::new(7),
        deadline_ms: 2_000,
        others: false,
    };
    Heard {
        grant,
        since: Some(since),
    }
}

fn ran() -> Ran {
    Ran {
        sent: Instant::now(),
        redis_ms: 1_000,
    }
}

#[tokio::test(start_paused = true)]
async fn a_grant_is_read_by_the_clock_of_its_own_connection_and_by_no_earlier_one() {
    for reconnected in [false, true] {
        let locks = locks();
        let (since, ran) = (Instant::now(), ran());
        let (claim, mut place) = in_line(&locks, ran);
        let waiting = locks.shared.waiters.register(claim.owner, &claim.key);
        let cohorts = &locks.shared.cohorts;
        cohorts.set_waiting(&claim.key, claim.owner, Some(waiting));
        advance(Duration::from_millis(1)).await;
        let since = if reconnected { Instant::now() } else { since };
        locks.shared.waiters.tell(granted_a_second(&claim, since));
        drive(locks, claim.key.clone()).await;
        let turn = place.turn.try_recv().unwrap();
        // It asks again where nothing says when the lease ends, and nobody answers here.
        assert_eq!(matches!(turn, Turn::Failed(_)), reconnected, "{turn:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_came_before_the_line_asks_is_not_used_after_the_answer() {
    let locks = locks();
    let (claim, mut place) = in_line(&locks, ran());
    let waiting = locks.shared.waiters.register(claim.owner, &claim.key);
    let heard = granted_a_second(&claim, Instant::now());
    locks.shared.waiters.tell(heard);
    drive(locks, claim.key.clone()).await;
    let turn = place.turn.try_recv().unwrap();
    assert!(matches!(turn, Turn::Failed(_)), "{turn:?}");
    assert_eq!(waiting.granted().now_or_never(), None);
}
