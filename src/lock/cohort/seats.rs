//! Where in the line they are who were served already.
//!
//! Floor 1.

use std::time::Duration;

use tokio::time::Instant;

use super::Cohort;
use super::tests::claim;
use super::words::Arrival;
use crate::lock::lease::{Claim, Owner};

/// Two in turn are served and come too late to use it: while they are back, each is before those who
/// came after it, also where the line is full.
#[test]
fn whoever_was_served_too_late_comes_before_those_who_came_later() {
    let now = Instant::now();
    let late = |after: u64| Claim {
        seat: Some(now + Duration::from_millis(after)),
        ..claim(Owner::random())
    };
    let asker = claim(Owner::random());
    let mut cohort = Cohort::new(asker.owner);
    assert!(matches!(cohort.arrive(&asker, true, now, 3), Arrival::Ask));
    let mut turns = Vec::new();
    let mut arrive = |cohort: &mut Cohort, claim: &Claim| {
        match cohort.arrive(claim, true, now, 3) {
            Arrival::Wait(place) => turns.push((claim.owner, place.turn)),
            other => panic!("{other:?}"),
        }
        claim.owner
    };
    let third = arrive(&mut cohort, &claim(Owner::random()));
    let fourth = arrive(&mut cohort, &claim(Owner::random()));
    let second = arrive(&mut cohort, &late(2));
    let first = arrive(&mut cohort, &late(1));
    let full = cohort.arrive(&claim(Owner::random()), true, now, 3);
    assert!(matches!(full, Arrival::Full));
    let place = cohort.queue_up(&asker);
    turns.push((asker.owner, place.turn));
    let line = cohort.line.iter().map(|waiter| waiter.owner);
    let expected = [first, second, asker.owner, third, fourth];
    assert_eq!(line.collect::<Vec<_>>(), expected);
}
