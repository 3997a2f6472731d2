//! How long a process passes the key on within itself, once others are known to wait or may do so unheard.
//!
//! Floor 1.

use std::time::Duration;

use tokio::time::Instant;

use super::Cohort;
use super::tests::claim;
use super::words::{Arrival, Leave, Place};
use crate::lock::lease::{Fence, Lease, Owner};
use crate::lock::tenure::BATCH;

const LEASE: Duration = Duration::from_secs(1);

/// What this process may have heard of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Nothing,
    /// Before the grant itself.
    Early,
    WithTheGrant,
    Later,
    /// Whoever asked for the line is gone, and with it the ear for any word.
    NobodyListens,
}

/// How often the key is passed on among `tasks`, each of which holds it for `hold` and comes back in the
/// end, before it goes back to the backend; 99 times at most.
fn passed_on(word: Word, tasks: usize, hold: Duration) -> u64 {
    let mut now = Instant::now();
    let mut all: Vec<_> = (0..tasks).map(|_| Owner::random()).collect();
    let mut cohort = Cohort::new(all[0]);
    let arrival = cohort.arrive(&claim(all[0]), true, now, 64);
    assert!(matches!(arrival, Arrival::Ask), "{arrival:?}");
    let mut places: Vec<Place> = vec![cohort.queue_up(&claim(all[0]))];
    for owner in &all[1..] {
        match cohort.arrive(&claim(*owner), true, now, 64) {
            Arrival::Wait(place) => places.push(place),
            arrival => panic!("{arrival:?}"),
        }
    }
    if word == Word::Early {
        cohort.others_wait(all[0], now);
    }
    let lease = Lease::until(Fence::new(1), now + LEASE);
    assert!(cohort.granted(all[0], lease, word == Word::WithTheGrant, now));
    match word {
        Word::Later => cohort.others_wait(all[0], now),
        Word::NobodyListens => cohort.orphaned(now),
        Word::Nothing | Word::Early | Word::WithTheGrant => {}
    }
    for passed in 0..99 {
        now += hold;
        match cohort.leave(all[passed], now) {
            Leave::Passed => {}
            Leave::Release { .. } => return passed as u64,
            leave => panic!("{leave:?}"),
        }
        let back = Owner::random();
        match cohort.arrive(&claim(back), true, now, 64) {
            Arrival::Wait(place) => places.push(place),
            arrival => panic!("{arrival:?}"),
        }
        all.push(back);
    }
    99
}

#[test]
fn those_here_go_on_for_a_batch_or_a_moment_where_others_wait_or_may_do_so_unheard() {
    let (quick, slow) = (Duration::from_millis(1), Duration::from_millis(12));
    // As long as the next one has half of a lease.
    assert_eq!(passed_on(Word::Nothing, 40, quick), 99);
    assert_eq!(passed_on(Word::Nothing, 40, slow), 41);
    let limited = [
        Word::Early,
        Word::WithTheGrant,
        Word::Later,
        Word::NobodyListens,
    ];
    for word in limited {
        assert_eq!(passed_on(word, 40, quick), BATCH, "{word:?}");
        assert_eq!(passed_on(word, 40, slow), 4, "{word:?}: 48 ms");
        // Of whom nobody may hear there may be none.
        let few = match word {
            Word::NobodyListens => BATCH,
            _ => 2,
        };
        // Those who stood here then, and of those who came back who is quicker than a hand-over.
        assert_eq!(passed_on(word, 3, quick), few, "{word:?}");
        let quicker = Duration::from_micros(100);
        assert_eq!(passed_on(word, 3, quicker), few.max(9), "{word:?}");
        assert_eq!(passed_on(word, 3, quicker / 10), BATCH, "{word:?}");
    }
}
