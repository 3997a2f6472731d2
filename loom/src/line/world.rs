//! What a process has to do with the line: who comes, waits, asks and lets go, as `turn.rs` and `drive.rs`
//! do it, and what of Redis's it hears.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use loom::future::block_on;
use loom::sync::Mutex;
use loom::thread;

use super::LEASE;
use super::redis::{Message, RIVAL, Redis, Released};
use crate::lock::cohort::words::{Arrival, Ended, Leave, Place, Step, Turn};
use crate::lock::lease::{Claim, Lease, LeaseTime, Owner};
use crate::lock::lock_key::LockKey;
use crate::lock::note::Note;
use crate::lock::redis::cohorts::Cohorts;
use crate::lock::redis::reply::Ran;
use crate::lock::redis::waiters::Waiting;
use crate::lock::sync::Notify;
use crate::notify::unpoisoned;
use crate::telemetry::lock_meter::LockMeter;

/// Longer than any line here.
pub(super) const MAX: usize = 8;

#[derive(Default)]
pub(super) struct World {
    pub(super) cohorts: Cohorts,
    redis: Mutex<Redis>,
    /// Grants that could not be put to use where they came in, and what wakes whoever asks for the line.
    mail: Mutex<Vec<(Owner, Lease, bool)>>,
    message: Notify,
    /// Whose tenure was said to be wanted by others, last.
    pub(super) wanted: Mutex<Option<Owner>>,
    /// Wakes the other process.
    rivals_turn: Notify,
    /// Who had the key, one after the other.
    pub(super) order: Mutex<Vec<Owner>>,
    /// Whether no message would reach this process at the moment.
    deaf: bool,
    drivers: Mutex<Vec<thread::JoinHandle<()>>>,
}

impl World {
    pub(super) fn deaf(self) -> Self {
        Self { deaf: true, ..self }
    }

    fn redis<T>(&self, script: impl FnOnce(&mut Redis) -> T) -> T {
        let (answer, messages) = {
            let mut redis = unpoisoned(self.redis.lock());
            (script(&mut redis), redis.take_published())
        };
        for message in messages {
            self.deliver(message);
        }
        answer
    }

    /// As `deliver` of `delivery.rs`.
    fn deliver(&self, message: Message) {
        let rival = Owner::from_bytes(RIVAL);
        match message {
            Message::Granted(token, ..) if token == rival => self.rivals_turn.notify_one(),
            Message::Granted(token, lease, others) => {
                let read = |ran: Option<Ran>| ran.map(|_| lease);
                if !self.cohorts.heard(&key(), token, others, read) {
                    unpoisoned(self.mail.lock()).push((token, lease, others));
                    self.message.notify_one();
                }
            }
            Message::Wanted(token) if token == rival => {}
            Message::Wanted(token) => {
                self.cohorts.others_wait(&key(), token);
                *unpoisoned(self.wanted.lock()) = Some(token);
            }
        }
    }

    /// Another process, which wants the key once.
    pub(super) async fn rival(&self) {
        let token = Owner::from_bytes(RIVAL);
        if self.redis(|redis| redis.ask(token)).is_none() {
            self.rivals_turn.notified().await;
        }
        self.now_held(token);
        self.redis(|redis| redis.release(token, None));
    }

    pub(super) fn now_held(&self, token: Owner) {
        unpoisoned(self.order.lock()).push(token);
    }

    /// As `ask_first` and `wait` of `turn.rs`.
    pub(super) async fn acquire(self: &Arc<Self>, number: u8) -> Claim {
        let claim = claim(number);
        match self.cohorts.arrive(&claim, true, MAX) {
            Arrival::Ask => {
                let (key, token) = (&claim.key, claim.owner);
                if let Some((lease, others)) = self.redis(|redis| redis.ask(token)) {
                    self.cohorts.granted_unheard(key, token, lease, others);
                    self.now_held(token);
                    return claim;
                }
                // What was let go here is still on its way to Redis, or a rival was faster.
                self.cohorts.set_ran(key, Ran);
                let place = self.cohorts.queue_up(&claim).expect("it asked");
                self.cohorts.set_waiting(key, token, Some(Waiting));
                self.wait(place).await;
            }
            Arrival::Wait(place) => self.wait(place).await,
            other => panic!("{other:?}"),
        }
        self.now_held(claim.owner);
        claim
    }

    async fn wait(self: &Arc<Self>, mut place: Place) {
        if place.drive {
            self.spawn_driver();
        }
        self.turn(&mut place).await;
    }

    /// Gets in line behind those who are here.
    pub(super) fn stand_in_line(self: &Arc<Self>, number: u8) -> Place {
        match self.cohorts.arrive(&claim(number), true, MAX) {
            Arrival::Wait(place) => {
                if place.drive {
                    self.spawn_driver();
                }
                place
            }
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn spawn_driver(self: &Arc<Self>) {
        let world = self.clone();
        let driver = thread::spawn(move || block_on(world.drive()));
        unpoisoned(self.drivers.lock()).push(driver);
    }

    /// As `turn` of `turn.rs`.
    pub(super) async fn turn(self: &Arc<Self>, place: &mut Place) {
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
    pub(super) fn let_go(&self, claim: &Claim) {
        let (ended, again) = match self.cohorts.leave(claim) {
            Leave::Passed | Leave::Settled => return,
            Leave::Withdraw(token) => (Ended { token, last: None }, None),
            Leave::Release { ended, again } => (ended, again),
            Leave::Unknown => {
                let token = claim.owner;
                (Ended { token, last: None }, None)
            }
        };
        let reached = again.filter(|_| !self.deaf);
        if let Some(token) = again {
            let waiting = reached.map(|_| Waiting);
            self.cohorts.set_waiting(&claim.key, token, waiting);
        }
        let released = self.redis(|redis| redis.release(ended.token, reached));
        match (released, reached) {
            (Released::GrantedAgain(lease), Some(token)) => self.hand_in(token, lease, false),
            (Released::InLineAgain, _) => self.cohorts.set_ran(&claim.key, Ran),
            (_, Some(token)) => self.cohorts.set_waiting(&claim.key, token, None),
            _ => {}
        }
    }

    fn hand_in(&self, token: Owner, lease: Lease, others: bool) {
        if !self.cohorts.granted(&key(), token, lease, others) {
            self.redis(|redis| redis.release(token, None));
        }
    }

    /// What could not be put to use where it came in.
    fn take_mail(&self, token: Owner) -> Option<(Lease, bool)> {
        let mut mail = unpoisoned(self.mail.lock());
        let at = mail.iter().position(|(to, ..)| *to == token)?;
        let (_, lease, others) = mail.swap_remove(at);
        Some((lease, others))
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
                // What was heard before the question is no answer to it.
                self.take_mail(token);
                match self.redis(|redis| redis.ask(token)) {
                    Some((lease, others)) => {
                        self.hand_in(token, lease, others);
                        continue;
                    }
                    None => self.cohorts.set_ran(&key, Ran),
                }
                if !self.cohorts.asks(&key, token) {
                    self.redis(|redis| redis.release(token, None));
                    continue;
                }
            }
            // In line: a message, or news.
            let (mut told, mut changed) = (pin!(self.message.notified()), pin!(news.notified()));
            let heard = poll_fn(|cx| {
                if let Some(heard) = self.take_mail(token) {
                    return Poll::Ready(Some(heard));
                }
                let told = told.as_mut().poll(cx).is_ready();
                if changed.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(None);
                }
                if told {
                    // For this one, or for one that it is not yet.
                    return Poll::Ready(self.take_mail(token));
                }
                Poll::Pending
            });
            if let Some((lease, others)) = heard.await
                && self.cohorts.ran(&key).is_some()
            {
                self.hand_in(token, lease, others);
            }
        }
    }

    /// Everybody has come and gone.
    pub(super) fn is_over(&self) {
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

pub(super) fn key() -> LockKey {
    LockKey("a")
}

pub(super) fn claim(number: u8) -> Claim {
    Claim {
        key: key(),
        owner: Owner::from_bytes([number; 16]),
        lease: LeaseTime::new(LEASE).unwrap(),
        note: Note::default(),
        meter: LockMeter::named(LockMeter::UNNAMED),
        seat: None,
    }
}
