//! Redis, as far as one lock and its line are concerned: what the scripts do.
//!
//! Floor 4.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::lock::lease::{Fence, Lease, Owner};
use crate::lock::redis::grant::Grant;
use crate::lock::redis::reply::Ran;

pub(super) const LEASE: Duration = Duration::from_secs(1);

/// The token of the other process.
pub(super) const RIVAL: u8 = 100;

/// Who asks, or lets go; of the two the driver takes back what nobody here wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Claim(usize),
    Driver,
}

/// With when it was sent.
#[derive(Debug, Clone, Copy)]
pub(super) enum Command {
    Ask(By, u8, Line, Instant),
    Release(By, u8, Again, Instant),
}

/// Whether to get in line.
pub(super) type Line = bool;

/// The token to get in line with.
pub(super) type Again = Option<u8>;

/// Whether others wait.
pub(super) type Others = bool;

#[derive(Debug, Clone, Copy)]
pub(super) enum Answer {
    Granted(By, u8, Lease, Others),
    Busy(By, u8, Ran),
    /// To a release of this token, which got in line with the other one.
    GrantedAgain(By, u8, u8, Lease),
    InLineAgain(By, u8, u8, Ran),
    /// A release found nothing, and got nobody in line.
    NotHeld(By, u8, u8),
    /// The connection was lost: what became of the command nobody knows.
    Lost(Command),
    /// Published by whoever let go.
    Message(Grant),
    /// Published by whoever got in line for what this token holds.
    Wanted(u8),
}

impl Answer {
    pub(super) fn is_published(&self) -> bool {
        matches!(self, Self::Message(_) | Self::Wanted(_))
    }
}

pub(super) fn owner(token: u8) -> Owner {
    Owner::from_bytes([token; 16])
}

pub(super) fn token(owner: Owner) -> u8 {
    owner.as_bytes()[0]
}

#[derive(Debug)]
pub(super) struct Redis {
    pub(super) holder: Option<(u8, Instant)>,
    pub(super) line: VecDeque<u8>,
    /// Whether the lock's value says that others wait.
    pub(super) wanted: bool,
    fence: u64,
    started: Instant,
}

impl Redis {
    pub(super) fn start() -> Self {
        Self {
            holder: None,
            line: VecDeque::new(),
            wanted: false,
            fence: 0,
            started: Instant::now(),
        }
    }

    /// Its clock, at an instant of this process's.
    fn ms(&self, at: Instant) -> u64 {
        u64::try_from((at - self.started).as_millis()).unwrap() + 1_000_000
    }

    /// What is left until then, in ms.
    pub(super) fn left(&self, deadline_ms: u64) -> u64 {
        deadline_ms.saturating_sub(self.ms(Instant::now()))
    }

    fn ran(&self, sent: Instant) -> Ran {
        let redis_ms = self.ms(Instant::now());
        Ran { sent, redis_ms }
    }

    pub(super) fn is_free(&self) -> bool {
        self.holder.is_none_or(|(_, until)| until <= Instant::now())
    }

    pub(super) fn rival_holds(&self) -> bool {
        self.holder.is_some_and(|(holder, _)| holder == RIVAL)
    }

    pub(super) fn carry_out(&mut self, command: Command, answers: &mut VecDeque<Answer>) {
        match command {
            Command::Ask(by, token, line, sent) => {
                if self.is_free() {
                    let first = self.line.pop_front().unwrap_or(token);
                    answers.extend(self.grant(first).filter(|_| first != token));
                }
                if self.holder.is_some_and(|(holder, _)| holder == token) {
                    self.holder = Some((token, Instant::now() + LEASE));
                    let granted = Answer::Granted(by, token, self.lease(sent), self.wanted);
                    answers.push_back(granted);
                } else {
                    if line && !self.line.contains(&token) {
                        self.line.push_back(token);
                        let newly = !std::mem::replace(&mut self.wanted, true);
                        let holder = self.holder.filter(|_| newly);
                        answers.extend(holder.map(|(holder, _)| Answer::Wanted(holder)));
                    }
                    answers.push_back(Answer::Busy(by, token, self.ran(sent)));
                }
            }
            Command::Release(by, token, again, sent) => {
                self.line.retain(|waiting| *waiting != token);
                if self.holder.is_none_or(|(holder, _)| holder != token) {
                    answers.extend(again.map(|again| Answer::NotHeld(by, token, again)));
                    return;
                }
                self.holder = None;
                let newly = again.filter(|again| !self.line.contains(again));
                self.line.extend(newly);
                let Some(first) = self.line.pop_front() else {
                    return;
                };
                let message = self.grant(first);
                if Some(first) == again {
                    let lease = self.lease(sent);
                    answers.push_back(Answer::GrantedAgain(by, token, first, lease));
                    return;
                }
                answers.extend(message);
                let in_line = again.map(|again| (again, self.ran(sent)));
                answers
                    .extend(in_line.map(|(again, ran)| Answer::InLineAgain(by, token, again, ran)));
            }
        }
    }

    fn grant(&mut self, token: u8) -> Option<Answer> {
        let until = Instant::now() + LEASE;
        // More than a process uses up by itself.
        self.fence += 100_000;
        self.holder = Some((token, until));
        self.wanted = !self.line.is_empty();
        let grant = Grant {
            owner: owner(token),
            fence: Fence::new(self.fence),
            deadline_ms: self.ms(until),
            others: self.wanted,
        };
        (token != RIVAL).then_some(Answer::Message(grant))
    }

    fn lease(&self, sent: Instant) -> Lease {
        Lease::confirmed(Fence::new(self.fence), sent, LEASE)
    }
}
