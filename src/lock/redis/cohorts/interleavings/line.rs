//! What `turn.rs` does with a line, from one await to the next, and what comes in from Redis.
//!
//! Floor 4.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::backend::{Again, Answer, By, Command, LEASE, owner, token};
use super::driver::Driver;
use super::{Stage, World};
use crate::lock::cohort::words::{Arrival, Ended, Leave, Turn};
use crate::lock::error::LockError;
use crate::lock::lease::{Claim, Lease, LeaseTime};
use crate::lock::note::Note;
use crate::lock::redis::grant::Heard;
use crate::lock::redis::waiters::Waiting;
use crate::telemetry::lock_meter::LockMeter;

impl World {
    fn claim(&self, at: usize) -> Claim {
        Claim {
            key: self.key.clone(),
            owner: owner(u8::try_from(at).unwrap()),
            lease: LeaseTime::new(LEASE).unwrap(),
            note: Note::default(),
            meter: LockMeter::named(LockMeter::UNNAMED),
            seat: None,
        }
    }

    pub(super) fn arrive(&mut self, wait: bool) {
        let is_new = |stage: &Stage| matches!(stage, Stage::New);
        let at = self.stages.iter().position(is_new).unwrap();
        let claim = self.claim(at);
        self.stages[at] = match self.cohorts.arrive(&claim, wait, 8) {
            Arrival::Ask => {
                // The first one finds that no message would reach it yet, and does not get in line.
                let line = wait && at > 0;
                let ear = line.then(|| self.listen(token(claim.owner)));
                self.ask(By::Claim(at), token(claim.owner), line);
                Stage::Asking { wait, ear }
            }
            Arrival::Wait(place) => {
                self.spawn(place.drive);
                Stage::Waiting(place.turn)
            }
            Arrival::Busy(_) => Stage::Over,
            other => panic!("{other:?}"),
        };
        if wait {
            self.order.push(at);
        }
    }

    pub(super) fn listen(&self, token: u8) -> Waiting {
        self.waiters.register(owner(token), &self.key)
    }

    pub(super) fn ask(&mut self, by: By, token: u8, line: bool) {
        let ask = Command::Ask(by, token, line, Instant::now());
        self.commands.push_back(ask);
    }

    fn release(&mut self, by: By, token: u8, again: Again) {
        let release = Command::Release(by, token, again, Instant::now());
        self.commands.push_back(release);
    }

    fn spawn(&mut self, drive: bool) {
        if drive {
            assert_eq!(self.driver, None, "two ask for one line");
            self.driver = Some(Driver::Spawned);
        }
    }

    /// A client goes away, or lets go.
    pub(super) fn leave(&mut self, at: usize) {
        let claim = self.claim(at);
        self.stages[at] = Stage::Over;
        self.order.retain(|waiting| *waiting != at);
        self.cohorts.asked_in_vain(&claim);
        self.let_go(at);
    }

    /// Also once more, where nobody knows what became of the first time.
    fn let_go(&mut self, at: usize) {
        let (by, claim) = (By::Claim(at), self.claim(at));
        match self.cohorts.leave(&claim) {
            Leave::Passed | Leave::Settled => {}
            Leave::Withdraw(owner) => {
                let ended = Ended {
                    token: owner,
                    last: None,
                };
                self.cohorts.unsettled(&claim, ended);
                self.release(by, token(owner), None);
            }
            Leave::Release { ended, again } => {
                self.cohorts.unsettled(&claim, ended);
                if let Some(owner) = again {
                    let waiting = Some(self.listen(token(owner)));
                    self.cohorts.set_waiting(&self.key, owner, waiting);
                }
                self.release(by, token(ended.token), again.map(token));
            }
            Leave::Unknown => {
                let overdue = self.cohorts.take_unsettled(&claim);
                let owner = overdue.map_or(claim.owner, |ended| ended.token);
                if let Some(ended) = overdue {
                    self.cohorts.unsettled(&claim, ended);
                }
                self.release(by, token(owner), None);
            }
        }
    }

    pub(super) fn answer(&mut self) {
        match self.answers.pop_front().unwrap() {
            Answer::Granted(By::Claim(at), token, lease, _) => {
                if matches!(self.stages[at], Stage::Asking { .. }) {
                    self.cohorts
                        .granted_unheard(&self.key, owner(token), lease, false);
                    self.now_held(at, lease);
                }
            }
            Answer::Busy(By::Claim(at), token, ran) => match &mut self.stages[at] {
                Stage::Asking { wait: true, ear } => {
                    let waiting = ear.take();
                    self.cohorts.set_ran(&self.key, ran);
                    let place = self.cohorts.queue_up(&self.claim(at)).unwrap();
                    if waiting.is_some() {
                        self.cohorts.set_waiting(&self.key, owner(token), waiting);
                    }
                    self.spawn(place.drive);
                    self.stages[at] = Stage::Waiting(place.turn);
                }
                Stage::Asking { wait: false, .. } => {
                    self.cohorts.set_ran(&self.key, ran);
                    self.cohorts.asked_in_vain(&self.claim(at));
                    self.stages[at] = Stage::Over;
                }
                _ => {}
            },
            Answer::Granted(By::Driver, token, lease, others) => {
                assert_eq!(self.driver, Some(Driver::Asking(token)));
                self.hand_in(token, lease, others);
                self.step();
            }
            Answer::Busy(By::Driver, token, ran) => {
                assert_eq!(self.driver, Some(Driver::Asking(token)));
                self.stand.as_mut().unwrap().in_line = true;
                self.cohorts.set_ran(&self.key, ran);
                if self.cohorts.asks(&self.key, owner(token)) {
                    self.driver = Some(Driver::Listening(token));
                } else {
                    self.take_back(token);
                    self.step();
                }
            }
            Answer::GrantedAgain(.., token, lease) => self.hand_in(token, lease, false),
            Answer::InLineAgain(.., ran) => self.cohorts.set_ran(&self.key, ran),
            Answer::NotHeld(.., again) => {
                self.cohorts.set_waiting(&self.key, owner(again), None);
            }
            Answer::Lost(command) => self.lost(command),
            message @ (Answer::Message(_) | Answer::Wanted(_)) => self.hear(message),
        }
    }

    /// A message may be read before the answers that came ahead of it: those have further to go.
    pub(super) fn overtake(&mut self) {
        let at = self.answers.iter().skip(1).position(Answer::is_published);
        let message = at.and_then(|at| self.answers.remove(at + 1));
        self.hear(message.unwrap());
    }

    /// As `deliver` of `delivery.rs`.
    fn hear(&mut self, message: Answer) {
        match message {
            Answer::Message(grant) => {
                let since = Some(self.since);
                let heard = Heard { grant, since };
                let read = |ran| heard.lease(ran, Instant::now());
                let used = |key| self.cohorts.heard(&key, grant.owner, grant.others, read);
                if !self.waiters.key_of(grant.owner).is_some_and(used) {
                    self.waiters.tell(heard);
                }
            }
            Answer::Wanted(token) => {
                if let Some(key) = self.waiters.key_of(owner(token)) {
                    self.cohorts.others_wait(&key, owner(token));
                }
            }
            answer => panic!("{answer:?}"),
        }
    }

    pub(super) fn hand_in(&mut self, token: u8, lease: Lease, others: bool) {
        let of_use = self.cohorts.granted(&self.key, owner(token), lease, others);
        if !of_use {
            self.take_back(token);
        }
    }

    /// What was under way gets no answer; messages get lost without anybody knowing.
    pub(super) fn cut(&mut self, reached: bool) {
        self.cuts -= 1;
        self.replaced = true;
        let answers = std::mem::take(&mut self.answers).into_iter();
        let asked = answers.filter_map(|answer| match answer {
            Answer::Granted(by, token, ..) | Answer::Busy(by, token, _) => {
                Some(Command::Ask(by, token, true, Instant::now()))
            }
            Answer::GrantedAgain(by, token, again, _)
            | Answer::InLineAgain(by, token, again, _)
            | Answer::NotHeld(by, token, again) => {
                Some(Command::Release(by, token, Some(again), Instant::now()))
            }
            Answer::Lost(command) => Some(command),
            Answer::Message(_) | Answer::Wanted(_) => None,
        });
        let mut lost: Vec<_> = asked.collect();
        for command in std::mem::take(&mut self.commands) {
            if reached {
                self.redis.carry_out(command, &mut VecDeque::new());
            }
            lost.push(command);
        }
        self.answers.extend(lost.into_iter().map(Answer::Lost));
    }

    fn lost(&mut self, command: Command) {
        match command {
            Command::Ask(By::Claim(at), ..) => {
                if matches!(self.stages[at], Stage::Asking { .. }) {
                    self.leave(at);
                }
            }
            Command::Ask(By::Driver, token, ..) => {
                assert_eq!(self.driver, Some(Driver::Asking(token)));
                if self.stand.as_ref().is_some_and(|stand| stand.in_line) {
                    self.driver = Some(Driver::Pausing(token));
                } else {
                    let away = || Turn::Failed(LockError::not_sent("the connection was lost"));
                    self.cohorts.fail(&self.key, owner(token), away);
                    self.take_back(token);
                    self.step();
                }
            }
            Command::Release(by, token, again, _) => {
                if let Some(again) = again {
                    self.cohorts.set_waiting(&self.key, owner(again), None);
                }
                match by {
                    By::Claim(at) => self.let_go(at),
                    By::Driver => self.take_back(token),
                }
            }
        }
    }

    pub(super) fn take_back(&mut self, token: u8) {
        if !self.cohorts.holds(&self.key, owner(token)) {
            self.release(By::Driver, token, None);
        }
    }
}
