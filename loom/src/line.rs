//! The line of one process for one key, whose claims come and go on several threads.
//!
//! Redis is a model that answers at once, and in which nobody else wants the key; leases do not end.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use loom::future::block_on;
use loom::sync::Mutex;
use loom::thread;
use tokio::time::{Instant, advance};

use super::cohorts::Cohorts;
use super::waiters::Waiting;
use crate::explore_with;
use crate::lock::cohort::words::{Arrival, Ended, Leave, Place, Step, Turn};
use crate::lock::lease::{Claim, Fence, Lease, LeaseTime, Owner};
use crate::lock::lock_key::LockKey;
use crate::lock::note::Note;
use crate::lock::sync::Notify;
use crate::notify::unpoisoned;
use crate::telemetry::lock_meter::LockMeter;

const LEASE: Duration = Duration::from_secs(3_600);

/// Longer than any line here.
const MAX: usize = 8;

#[derive(Default)]
struct World {
    cohorts: Cohorts,
    redis: Mutex<Redis>,
    /// Wakes whoever asks for the line, as a message does.
    message: Notify,
    drivers: Mutex<Vec<thread::JoinHandle<()>>>,
}

#[derive(Default)]
struct Redis {
    holder: Option<Owner>,
    line: VecDeque<Owner>,
    fence: u64,
    messages: Vec<(Owner, Lease)>,
}

impl Redis {
    fn grant(&mut self, token: Owner) -> Lease {
        if self.holder != Some(token) {
            self.fence += 1_000;
        }
        self.holder = Some(token);
        Lease::until(Fence::new(self.fence), Instant::now() + LEASE)
    }

    /// None where it is held.
    fn ask(&mut self, token: Owner) -> Option<Lease> {
        if self.holder.is_none_or(|holder| holder == token) {
            return Some(self.grant(token));
        }
        if !self.line.contains(&token) {
            self.line.push_back(token);
        }
        None
    }

    /// Lets go, and may get in line again in the same breath. A grant to that one is the answer.
    fn release(&mut self, token: Owner, again: Option<Owner>) -> Option<Lease> {
        if self.holder != Some(token) {
            self.line.retain(|waiting| *waiting != token);
            return None;
        }
        self.holder = None;
        if let Some(again) = again.filter(|again| !self.line.contains(again)) {
            self.line.push_back(again);
        }
        let next = self.line.pop_front()?;
        let lease = self.grant(next);
        if Some(next) == again {
            return Some(lease);
        }
        self.messages.push((next, lease));
        None
    }
}

impl World {
    fn redis<T>(&self, act: impl FnOnce(&mut Redis) -> T) -> T {
        act(&mut *unpoisoned(self.redis.lock()))
    }

    /// As `ask_first` and `wait` of `turn.rs`.
    async fn acquire(self: &Arc<Self>, number: u8) -> Claim {
        let claim = claim(number);
        match self.cohorts.arrive(&claim, true, MAX) {
            Arrival::Ask => {
                let (key, token) = (&claim.key, claim.owner);
                if let Some(lease) = self.redis(|redis| redis.ask(token)) {
                    assert!(self.cohorts.granted(key, token, lease, true), "it asked");
                    return claim;
                }
                // What was let go here is still on its way to Redis.
                let place = self.cohorts.queue_up(&claim).expect("it asked");
                self.cohorts.set_waiting(key, token, Some(Waiting));
                self.wait(place).await;
            }
            Arrival::Wait(place) => self.wait(place).await,
            other => panic!("{other:?}"),
        }
        claim
    }

    async fn wait(self: &Arc<Self>, mut place: Place) {
        if place.drive {
            self.spawn_driver();
        }
        self.turn(&mut place).await;
    }

    fn spawn_driver(self: &Arc<Self>) {
        let world = self.clone();
        let driver = thread::spawn(move || block_on(world.drive()));
        unpoisoned(self.drivers.lock()).push(driver);
    }

    /// As `turn` of `turn.rs`.
    async fn turn(self: &Arc<Self>, place: &mut Place) {
        let key = key();
        loop {
            let mut orphaned = pin!(self.cohorts.orphaned());
            orphaned.as_mut().enable();
            if self.cohorts.adopt(&key) {
                self.spawn_driver();
            }
            let turn = poll_fn(|cx| {
                if let Poll::Ready(turn) = Pin::new(&mut place.turn).poll(cx) {
                    return Poll::Ready(Some(turn));
                }
                orphaned.as_mut().poll(cx).map(|()| None)
            });
            match turn.await {
                Some(Ok(Turn::Granted(_))) => return,
                None => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// As `let_go` and `end` of `turn.rs`.
    fn let_go(&self, claim: &Claim) {
        let (ended, again) = match self.cohorts.leave(claim) {
            Leave::Passed | Leave::Settled => return,
            Leave::Withdraw(token) => (Ended { token, last: None }, None),
            Leave::Release { ended, again } => (ended, again),
            Leave::Unknown => {
                let token = claim.owner;
                (Ended { token, last: None }, None)
            }
        };
        if let Some(token) = again {
            self.cohorts.set_waiting(&claim.key, token, Some(Waiting));
        }
        let granted = self.redis(|redis| redis.release(ended.token, again));
        self.message.notify_one();
        if let Some((lease, token)) = granted.zip(again) {
            self.hand_in(token, lease);
        }
    }

    fn hand_in(&self, token: Owner, lease: Lease) {
        if !self.cohorts.granted(&key(), token, lease, false) {
            self.redis(|redis| redis.release(token, None));
        }
    }

    /// As `ask_for_the_line` of `drive.rs`, where nothing is waited out.
    async fn drive(self: Arc<Self>) {
        let key = key();
        let Some((_, news)) = self.cohorts.terms(&key) else {
            return;
        };
        let mut asked = None;
        loop {
            pin!(news.notified()).enable();
            if let Some((token, _)) = self.cohorts.take_waiting(&key) {
                asked = Some(token);
            }
            let token = match self.cohorts.step(&key) {
                Step::Over(left_behind) => {
                    if let Some(token) = left_behind {
                        self.redis(|redis| redis.release(token, None));
                    }
                    return;
                }
                Step::Rest(_) => {
                    news.notified().await;
                    continue;
                }
                Step::Ask(token) => token,
            };
            if asked.take() != Some(token) {
                match self.redis(|redis| redis.ask(token)) {
                    Some(lease) => {
                        self.hand_in(token, lease);
                        continue;
                    }
                    None if !self.cohorts.asks(&key, token) => {
                        self.redis(|redis| redis.release(token, None));
                        continue;
                    }
                    None => {}
                }
            }
            // In line: a message, or news.
            let (mut told, mut changed) = (pin!(self.message.notified()), pin!(news.notified()));
            poll_fn(|cx| {
                let told = told.as_mut().poll(cx).is_ready();
                let changed = changed.as_mut().poll(cx).is_ready();
                if told || changed {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            })
            .await;
            let messages = self.redis(|redis| std::mem::take(&mut redis.messages));
            for (to, lease) in messages {
                self.hand_in(to, lease);
            }
        }
    }

    /// Everybody has come and gone.
    fn is_over(&self) {
        loop {
            let driver = unpoisoned(self.drivers.lock()).pop();
            let Some(driver) = driver else { break };
            driver.join().unwrap();
        }
        let here = self.cohorts.terms(&key()).is_some();
        let there = self.redis(|redis| (redis.holder, redis.line.len()));
        assert_eq!((here, there), (false, (None, 0)), "something is left");
    }
}

fn key() -> LockKey {
    LockKey("a")
}

fn claim(number: u8) -> Claim {
    Claim {
        key: key(),
        owner: Owner::from_bytes([number; 16]),
        lease: LeaseTime::new(LEASE).unwrap(),
        note: Note::default(),
        meter: LockMeter::named(LockMeter::UNNAMED),
        seat: None,
    }
}

/// Runs `work` in every way, on a clock that stands still but for what `work` lets pass.
fn explore_line(switches: usize, work: impl Fn(Arc<World>) + Send + Sync + 'static) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    // Its clock, on the one thread that all of loom's run on.
    let _clock = runtime.enter();
    explore_with(switches, move || {
        let world = Arc::new(World::default());
        work(world.clone());
    });
}

/// A grant can be passed on once for each microsecond that it is old.
fn some_time_passes() {
    let advance = pin!(advance(Duration::from_millis(1)));
    let _ = advance.poll(&mut Context::from_waker(Waker::noop()));
}

async fn use_it(world: &Arc<World>, number: u8) {
    let claim = world.acquire(number).await;
    some_time_passes();
    world.let_go(&claim);
}

fn spawn_user(world: &Arc<World>, number: u8) -> thread::JoinHandle<()> {
    let world = world.clone();
    thread::spawn(move || block_on(use_it(&world, number)))
}

/// It is passed the key, or gets it with the release, or asks anew.
pub fn who_comes_while_the_key_is_let_go_is_served() {
    explore_line(3, |world| {
        let first = block_on(world.acquire(1));
        some_time_passes();
        let other = spawn_user(&world, 2);
        world.let_go(&first);
        other.join().unwrap();
        world.is_over();
    });
}

/// Whoever asks for the line rests as long as a claim asks for itself, and is told when that fails.
pub fn who_waits_behind_one_that_asked_in_vain_is_served() {
    explore_line(3, |world| {
        let first = claim(1);
        let arrival = world.cohorts.arrive(&first, true, MAX);
        assert!(matches!(arrival, Arrival::Ask), "{arrival:?}");
        let other = spawn_user(&world, 2);
        world.cohorts.asked_in_vain(&first);
        other.join().unwrap();
        world.is_over();
    });
}

/// A runtime ends, and drops whoever asks for the line before that has begun, while the claim that asked
/// for itself fails: somebody who waits in another runtime finds that it is up to the line, and to it.
pub fn a_line_whose_driver_is_dropped_finds_another_one() {
    explore_line(2, |world| {
        let first = claim(1);
        let arrival = world.cohorts.arrive(&first, true, MAX);
        assert!(matches!(arrival, Arrival::Ask), "{arrival:?}");
        let arrival = world.cohorts.arrive(&claim(2), true, MAX);
        let Arrival::Wait(mut place) = arrival else {
            panic!("{arrival:?}");
        };
        assert!(place.drive, "it is the first to wait");
        let ends = {
            let world = world.clone();
            thread::spawn(move || world.cohorts.orphan(&key()))
        };
        let fails = {
            let world = world.clone();
            thread::spawn(move || world.cohorts.asked_in_vain(&first))
        };
        block_on(world.turn(&mut place));
        world.let_go(&claim(2));
        ends.join().unwrap();
        fails.join().unwrap();
        world.is_over();
    });
}

/// A client goes away while the key is let go, and takes nothing along.
pub fn who_leaves_the_line_while_it_is_served_leaves_nothing() {
    explore_line(3, |world| {
        let first = block_on(world.acquire(1));
        some_time_passes();
        let goes = {
            let world = world.clone();
            thread::spawn(move || {
                let claim = claim(2);
                match world.cohorts.arrive(&claim, true, MAX) {
                    Arrival::Ask => world.cohorts.asked_in_vain(&claim),
                    Arrival::Wait(place) => {
                        if place.drive {
                            world.spawn_driver();
                        }
                        drop(place);
                        world.let_go(&claim);
                    }
                    other => panic!("{other:?}"),
                }
            })
        };
        world.let_go(&first);
        goes.join().unwrap();
        world.is_over();
    });
}
