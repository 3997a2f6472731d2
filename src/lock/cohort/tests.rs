//! Random histories of one process's line, against what must never happen.
//!
//! Floor 1.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Cohort;
use super::words::{Arrival, Leave, Step, Turn};
use crate::lock::lease::{Claim, Fence, Lease, LeaseTime, Owner};
use crate::lock::lock_key::LockKey;
use crate::lock::tenure::{BATCH, RESERVED};

const LEASE: Duration = Duration::from_secs(1);

pub(super) fn claim(owner: Owner) -> Claim {
    Claim {
        owner,
        ..Claim::new(LockKey::new("a").unwrap(), LeaseTime::new(LEASE).unwrap())
    }
}

/// The cohort, its claims, and a backend that grants at most one token at a time.
struct World {
    cohort: Cohort,
    now: Instant,
    random: u64,
    /// In the order of their arrival.
    line: Vec<Owner>,
    turns: HashMap<Owner, oneshot::Receiver<Turn>>,
    asker: Option<Owner>,
    holder: Option<(Owner, Lease)>,
    driven: bool,
    last_fence: u64,
    next_fence: u64,
    since_limit: Option<u64>,
    others: bool,
    granted: u32,
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            cohort: Cohort::new(Owner::random()),
            now: Instant::now(),
            random: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            line: Vec::new(),
            turns: HashMap::new(),
            asker: None,
            holder: None,
            driven: false,
            last_fence: 0,
            next_fence: 1,
            since_limit: None,
            others: false,
            granted: 0,
        }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % bound
    }

    fn one_in_line(&mut self) -> Option<Owner> {
        let len = self.line.len();
        let index = self.below(u64::try_from(len).unwrap().max(1));
        self.line.get(usize::try_from(index).unwrap()).copied()
    }

    /// Somebody was granted the key here: nobody else has it, it is the oldest, the fence grew.
    fn now_held(&mut self, owner: Owner, lease: Lease) {
        let before = self.holder.replace((owner, lease));
        if let Some((before, lease)) = before {
            assert!(lease.deadline() <= self.now, "{before:?} still has it");
        }
        assert!(lease.deadline() > self.now, "a lease that is over");
        assert!(lease.fence().get() > self.last_fence, "fences only grow");
        self.last_fence = lease.fence().get();
        self.granted += 1;
        if let Some(passed) = &mut self.since_limit {
            *passed += 1;
            assert!(*passed <= BATCH + 1, "others wait for more than a batch");
        }
    }

    /// Looks who has been told something.
    fn look(&mut self) {
        let mut told = Vec::new();
        for (at, owner) in self.line.iter().enumerate() {
            let turn = self.turns.get_mut(owner).expect("in line").try_recv();
            match turn {
                Ok(Turn::Granted(lease)) => told.push((at, *owner, Some(lease))),
                Ok(Turn::Full | Turn::Failed(_)) => told.push((at, *owner, None)),
                Err(oneshot::error::TryRecvError::Empty) => {}
                Err(oneshot::error::TryRecvError::Closed) => panic!("forgotten: {owner:?}"),
            }
        }
        let grants = told.iter().filter(|(.., lease)| lease.is_some());
        assert!(grants.count() <= 1, "two are granted the key");
        for (at, owner, lease) in told {
            if let Some(lease) = lease {
                assert_eq!(at, 0, "first come, first served");
                self.now_held(owner, lease);
            }
            self.turns.remove(&owner);
        }
        let turns = &self.turns;
        self.line.retain(|owner| turns.contains_key(owner));
        assert!(
            self.line.is_empty() || self.driven,
            "nobody asks for the line"
        );
    }

    fn arrive(&mut self) {
        let (owner, wait) = (Owner::random(), self.below(4) > 0);
        let free = self.asker.is_none() && self.line.is_empty();
        match self.cohort.arrive(&claim(owner), wait, self.now, 8) {
            Arrival::Ask => {
                assert!(free && self.holder_until().is_none(), "somebody was first");
                self.asker = Some(owner);
            }
            Arrival::Wait(place) => {
                assert!(wait && self.line.len() < 8);
                self.driven |= place.drive;
                self.line.push(owner);
                self.turns.insert(owner, place.turn);
            }
            Arrival::Busy(_) => assert!(!wait),
            Arrival::Full => assert!(wait && self.line.len() >= 8),
            Arrival::Again(_) => panic!("a newcomer holds nothing"),
        }
    }

    fn holder_until(&self) -> Option<Instant> {
        let deadline = self.holder?.1.deadline();
        (deadline > self.now).then_some(deadline)
    }

    fn backend_grants(&mut self) -> Lease {
        self.next_fence = self.next_fence.max(self.last_fence + RESERVED + 1);
        self.others = self.below(2) == 0;
        self.since_limit = self.others.then_some(0);
        Lease::until(Fence::new(self.next_fence), self.now + LEASE)
    }

    fn answer_asker(&mut self) {
        let Some(asker) = self.asker.take() else {
            return;
        };
        match self.below(3) {
            0 => {
                let lease = self.backend_grants();
                assert!(self.cohort.granted(asker, lease, self.others, self.now));
                self.now_held(asker, lease);
            }
            1 => {
                let place = self.cohort.queue_up(&claim(asker));
                self.driven |= place.drive;
                self.line.insert(0, asker);
                self.turns.insert(asker, place.turn);
            }
            _ => {
                self.cohort.asked_in_vain(asker);
            }
        }
    }

    fn drive(&mut self) {
        if !self.driven {
            return;
        }
        match self.cohort.step(self.now) {
            Step::Over(_) => {
                assert!(self.line.is_empty(), "they still wait");
                self.driven = false;
            }
            Step::Rest(_) => assert!(self.asker.is_some() || self.holder_until().is_some()),
            Step::Ask(token) => {
                assert!(self.holder_until().is_none(), "it is held here");
                match self.below(4) {
                    0 => assert!(self.cohort.fail(token, || Turn::Full)),
                    1 => {}
                    _ => {
                        let lease = self.backend_grants();
                        assert!(self.cohort.granted(token, lease, self.others, self.now));
                    }
                }
            }
        }
    }

    fn let_go(&mut self) {
        let Some((owner, lease)) = self.holder.take() else {
            return;
        };
        match self.cohort.leave(owner, self.now) {
            Leave::Passed => {
                assert!(lease.deadline() >= self.now + LEASE / 2, "hardly any time");
            }
            Leave::Release { ended, again } => {
                assert_eq!(ended.last, Some(lease.fence()), "the last fence is known");
                assert_eq!(again, self.line.first().copied());
            }
            Leave::Unknown | Leave::Settled => assert!(lease.deadline() <= self.now),
            Leave::Withdraw(_) => panic!("it had more than a place in line"),
        }
    }

    fn go_away(&mut self) {
        if let Some(owner) = self.one_in_line() {
            self.line.retain(|waiting| *waiting != owner);
            self.turns.remove(&owner);
            // Its withdrawal comes at once, or never.
            if self.below(2) == 0 {
                let leave = self.cohort.leave(owner, self.now);
                assert!(
                    matches!(leave, Leave::Settled | Leave::Withdraw(_)),
                    "{leave:?}"
                );
            }
        }
    }

    fn step(&mut self) {
        match self.below(16) {
            0..=4 => self.arrive(),
            5..=6 => self.answer_asker(),
            7..=9 => self.drive(),
            10..=12 => self.let_go(),
            13 => self.go_away(),
            14 => self.now += Duration::from_micros(1 + self.random % 40_000),
            _ => {
                if self.below(20) == 0 {
                    self.now += LEASE;
                }
                self.now += Duration::from_micros(20);
            }
        }
        self.look();
    }
}

#[test]
fn one_at_a_time_in_order_under_growing_fences_and_nobody_is_forgotten() {
    let mut granted = 0;
    for seed in 1..400 {
        let mut world = World::new(seed);
        for _ in 0..500 {
            world.step();
        }
        // All who still wait are served, or told, in a bounded number of steps.
        for _ in 0..2_000 {
            world.answer_asker();
            world.look();
            world.drive();
            world.look();
            world.now += Duration::from_millis(1);
            world.let_go();
            world.look();
        }
        assert!(
            world.line.is_empty(),
            "seed {seed}: somebody waits for ever"
        );
        assert!(world.cohort.is_over(), "seed {seed}: {:?}", world.cohort);
        granted += world.granted;
    }
    assert!(granted > 10_000, "{granted} grants are no history");
}
