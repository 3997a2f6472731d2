//! What `turn.rs` and `drive.rs` do with a line, from one await to the next.
//!
//! Floor 4.

use std::collections::VecDeque;

use futures_util::FutureExt;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::time::Instant;

use super::backend::{Again, Answer, By, Command};
use super::{Driver, Stage, World};
use crate::lock::cohort::words::{Arrival, Ended, Leave, Step, Turn};
use crate::lock::error::LockError;
use crate::lock::lease::{Claim, Lease, LeaseTime, Owner};
use crate::lock::note::Note;
use crate::lock::redis::cohorts::interleavings::backend::LEASE;
use crate::telemetry::lock_meter::LockMeter;

fn owner(token: u8) -> Owner {
    Owner::from_bytes([token; 16])
}

fn token(owner: Owner) -> u8 {
    owner.as_bytes()[0]
}

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
                self.ask(By::Claim(at), token(claim.owner), wait && at > 0);
                Stage::Asking { wait }
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

    fn ask(&mut self, by: By, token: u8, line: bool) {
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
                    self.cohorts.set_waiting(&self.key, owner, None);
                    self.asked = Some(token(owner));
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
                    self.cohorts.granted(&self.key, owner(token), lease, true);
                    self.now_held(at, lease);
                }
            }
            Answer::Busy(By::Claim(at), token) => match self.stages[at] {
                Stage::Asking { wait: true } => {
                    let place = self.cohorts.queue_up(&self.claim(at)).unwrap();
                    if at > 0 {
                        self.cohorts.set_waiting(&self.key, owner(token), None);
                        self.asked = Some(token);
                    }
                    self.spawn(place.drive);
                    self.stages[at] = Stage::Waiting(place.turn);
                }
                Stage::Asking { wait: false } => {
                    self.cohorts.asked_in_vain(&self.claim(at));
                    self.stages[at] = Stage::Over;
                }
                _ => {}
            },
            Answer::Granted(By::Driver, token, lease, others) => {
                assert_eq!(self.driver, Some(Driver::Asking(token)));
                self.hand_in(token, lease, others);
                self.step(None);
            }
            Answer::Busy(By::Driver, token) => {
                assert_eq!(self.driver, Some(Driver::Asking(token)));
                self.in_line = Some(token);
                if self.cohorts.asks(&self.key, owner(token)) {
                    self.driver = Some(Driver::Listening(token));
                } else {
                    self.take_back(token);
                    self.step(None);
                }
            }
            Answer::GrantedAgain(.., token, lease) => self.hand_in(token, lease, false),
            Answer::NotHeld(.., again) => {
                self.cohorts.set_waiting(&self.key, owner(again), None);
                self.asked = None;
            }
            Answer::Lost(command) => self.lost(command),
            message @ Answer::Message(..) => self.hear(message),
        }
    }

    /// A message may be read before the answers that came ahead of it: those have further to go.
    pub(super) fn overtake(&mut self) {
        let is_message = |answer: &Answer| matches!(answer, Answer::Message(..));
        let at = self.answers.iter().position(is_message);
        let message = at.and_then(|at| self.answers.remove(at));
        self.hear(message.unwrap());
    }

    fn hear(&mut self, message: Answer) {
        let Answer::Message(token, lease, others) = message else {
            return;
        };
        let ears = [
            Driver::Asking(token),
            Driver::Listening(token),
            Driver::Pausing(token),
        ];
        let drives = self.driver.is_some_and(|driver| ears.contains(&driver));
        let asks = matches!(
            self.stages[usize::from(token)],
            Stage::Asking { wait: true }
        );
        if !(drives || asks && token > 0) && self.asked != Some(token) {
            return;
        }
        let read = |_| Some(lease).filter(|lease| lease.deadline() > Instant::now());
        if !self.cohorts.heard(&self.key, owner(token), others, read) {
            self.mail.push(message);
        }
    }

    fn hand_in(&mut self, token: u8, lease: Lease, others: bool) {
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
            Answer::Granted(by, token, ..) | Answer::Busy(by, token) => {
                Some(Command::Ask(by, token, true, Instant::now()))
            }
            Answer::GrantedAgain(by, token, again, _) | Answer::NotHeld(by, token, again) => {
                Some(Command::Release(by, token, Some(again), Instant::now()))
            }
            Answer::Lost(command) => Some(command),
            Answer::Message(..) => None,
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
                if self.in_line == Some(token) {
                    self.driver = Some(Driver::Pausing(token));
                } else {
                    let away = || Turn::Failed(LockError::not_sent("the connection was lost"));
                    self.cohorts.fail(&self.key, owner(token), away);
                    self.take_back(token);
                    self.step(None);
                }
            }
            Command::Release(by, token, again, _) => {
                if let Some(again) = again {
                    self.cohorts.set_waiting(&self.key, owner(again), None);
                    self.asked = None;
                }
                match by {
                    By::Claim(at) => self.let_go(at),
                    By::Driver => self.take_back(token),
                }
            }
        }
    }

    fn take_back(&mut self, token: u8) {
        if !self.cohorts.holds(&self.key, owner(token)) {
            self.release(By::Driver, token, None);
        }
    }

    /// Whoever asks for the line wakes up.
    pub(super) fn drive(&mut self) {
        (self.news, self.replaced) = (false, false);
        let mut known = None;
        if let Some(Driver::Pausing(token)) = self.driver {
            known = Some(token);
        }
        if let Some(Driver::Listening(token)) = self.driver {
            known = Some(token);
            for mail in std::mem::take(&mut self.mail) {
                if let Answer::Message(to, lease, others) = mail
                    && to == token
                    && lease.deadline() > Instant::now()
                {
                    self.hand_in(token, lease, others);
                }
            }
        }
        self.step(known);
    }

    fn step(&mut self, known: Again) {
        let asked = self.asked.take();
        self.driver = match self.cohorts.step(&self.key) {
            Step::Over(left_behind) => {
                if let Some(owner) = left_behind {
                    self.release(By::Driver, token(owner), None);
                }
                (self.mail, self.in_line) = (Vec::new(), None);
                None
            }
            Step::Rest(until) => {
                // What was asked for in place of the one who asks stays known to it.
                self.asked = asked;
                Some(Driver::Resting(until))
            }
            Step::Ask(owner) if asked == Some(token(owner)) => {
                self.in_line = asked;
                Some(Driver::Listening(token(owner)))
            }
            Step::Ask(owner) => {
                if known != Some(token(owner)) {
                    (self.mail, self.in_line) = (Vec::new(), None);
                }
                self.ask(By::Driver, token(owner), true);
                Some(Driver::Asking(token(owner)))
            }
        };
    }

    /// What everybody was told by the last event, and whether it may be so.
    pub(super) fn look(&mut self) {
        match self.cohorts.terms(&self.key) {
            Some((_, news)) => self.news |= news.notified().now_or_never().is_some(),
            None => {
                assert_eq!(self.driver, None, "who asks for the line was forgotten");
                (self.news, self.asked) = (false, None);
            }
        }
        for at in 0..self.stages.len() {
            let Stage::Waiting(turn) = &mut self.stages[at] else {
                continue;
            };
            match turn.try_recv() {
                Ok(Turn::Granted(lease)) => self.now_held(at, lease),
                Ok(Turn::Failed(_)) if self.cuts == 0 => {
                    self.order.retain(|waiting| *waiting != at);
                    self.stages[at] = Stage::Over;
                }
                Err(TryRecvError::Empty) => {
                    assert!(self.driver.is_some(), "nobody asks for the line");
                }
                other => panic!("{other:?}"),
            }
        }
        let now = Instant::now();
        let live = |stage: &&Stage| matches!(stage, Stage::Holding(it) if it.deadline() > now);
        let holders = self.stages.iter().filter(live).count();
        let rivals = usize::from(self.redis.rival_holds());
        assert!(holders + rivals <= 1, "two hold the key");
    }

    fn now_held(&mut self, at: usize, lease: Lease) {
        let fence = lease.fence().get();
        assert!(fence > self.last_fence, "fences only grow");
        self.last_fence = fence;
        if self.order.contains(&at) {
            assert_eq!(self.order.remove(0), at, "first come, first served");
        }
        self.stages[at] = Stage::Holding(lease);
    }
}
