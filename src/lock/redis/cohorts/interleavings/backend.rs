//! Redis, as far as one lock and its line are concerned: what the scripts do.
//!
//! Floor 4.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::lock::lease::{Fence, Lease};

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
    Busy(By, u8),
    /// To a release of this token, which got in line with the other one.
    GrantedAgain(By, u8, u8, Lease),
    /// A release found nothing, and got nobody in line.
    NotHeld(By, u8, u8),
    /// The connection was lost: what became of the command nobody knows.
    Lost(Command),
    /// Published by whoever let go.
    Message(u8, Lease, Others),
}

#[derive(Debug, Default)]
pub(super) struct Redis {
    pub(super) holder: Option<(u8, Instant)>,
    pub(super) line: VecDeque<u8>,
    fence: u64,
}

impl Redis {
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
                    let others = !self.line.is_empty();
                    answers.push_back(Answer::Granted(by, token, self.lease(sent), others));
                } else {
                    if line && !self.line.contains(&token) {
                        self.line.push_back(token);
                    }
                    answers.push_back(Answer::Busy(by, token));
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
                answers.extend(match Some(first) == again {
                    true => Some(Answer::GrantedAgain(by, token, first, self.lease(sent))),
                    false => message,
                });
            }
        }
    }

    fn grant(&mut self, token: u8) -> Option<Answer> {
        let until = Instant::now() + LEASE;
        // More than a process uses up by itself.
        self.fence += 100_000;
        self.holder = Some((token, until));
        let lease = Lease::until(Fence::new(self.fence), until);
        let others = !self.line.is_empty();
        (token != RIVAL).then_some(Answer::Message(token, lease, others))
    }

    fn lease(&self, sent: Instant) -> Lease {
        Lease::confirmed(Fence::new(self.fence), sent, LEASE)
    }
}
