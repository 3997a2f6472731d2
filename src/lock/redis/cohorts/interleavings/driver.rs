//! Whoever asks for the line, as `drive.rs` does it, from one await to the next.
//!
//! Floor 4.

use futures_util::FutureExt;
use tokio::time::Instant;

use super::World;
use super::backend::{By, owner, token};
use crate::lock::cohort::words::Step;
use crate::lock::redis::waiters::Waiting;

/// What asks for the line: `drive`, at its awaits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Driver {
    Spawned,
    Asking(u8),
    /// Waits for the message to this token.
    Listening(u8),
    /// Asked for this token in vain, and soon asks again.
    Pausing(u8),
    Resting(Option<Instant>),
}

/// As that of `drive`.
#[derive(Debug)]
pub(super) struct Stand {
    pub(super) token: u8,
    pub(super) waiting: Waiting,
    pub(super) in_line: bool,
    pub(super) asked: bool,
}

impl World {
    /// Whoever asks for the line wakes up.
    pub(super) fn drive(&mut self) {
        self.news = false;
        let replaced = std::mem::take(&mut self.replaced);
        if let Some(Driver::Listening(token)) = self.driver
            && !replaced
            && let Some(stand) = &self.stand
            && let Some(heard) = stand.waiting.granted().now_or_never()
        {
            let ran = self.cohorts.ran(&self.key);
            if let Some(lease) = heard.lease(ran, Instant::now()) {
                self.hand_in(token, lease, heard.grant.others);
            }
        }
        self.step();
    }

    pub(super) fn step(&mut self) {
        if let Some((owner, waiting)) = self.cohorts.take_waiting(&self.key) {
            let asked = self.cohorts.asks(&self.key, owner);
            self.stand = Some(Stand {
                token: token(owner),
                waiting,
                in_line: asked,
                asked,
            });
        }
        self.driver = match self.cohorts.step(&self.key) {
            Step::Over(left_behind) => {
                let stand = self.stand.take();
                if let Some(owner) = left_behind {
                    self.take_back(token(owner));
                } else if let Some(Stand { token, waiting, .. }) = stand {
                    self.cohorts.keep_ear(&self.key, owner(token), waiting);
                }
                None
            }
            Step::Rest(until) => Some(Driver::Resting(until)),
            Step::Ask(owner) => {
                let token = token(owner);
                let known = self.stand.take().filter(|stand| stand.token == token);
                let mut stand = known.unwrap_or_else(|| Stand {
                    token,
                    waiting: self.listen(token),
                    in_line: false,
                    asked: false,
                });
                let asked = std::mem::take(&mut stand.asked);
                if !asked {
                    stand.waiting.forget();
                    self.ask(By::Driver, token, true);
                }
                self.stand = Some(stand);
                Some(match asked {
                    true => Driver::Listening(token),
                    false => Driver::Asking(token),
                })
            }
        };
    }
}
