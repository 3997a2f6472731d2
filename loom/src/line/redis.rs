//! Redis, as far as one lock and its line are concerned: what the scripts do, and publish.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::LEASE;
use crate::lock::lease::{Fence, Lease, Owner};

/// The token of another process.
pub(super) const RIVAL: [u8; 16] = [100; 16];

#[derive(Default)]
pub(super) struct Redis {
    pub(super) holder: Option<Owner>,
    pub(super) line: VecDeque<Owner>,
    fence: u64,
    /// Whether the lock's value says that others wait.
    wanted: bool,
    published: Vec<Message>,
}

/// What is published to a process.
pub(super) enum Message {
    /// To a token, and whether others wait.
    Granted(Owner, Lease, bool),
    /// Others want what this token holds.
    Wanted(Owner),
}

pub(super) enum Released {
    /// Nobody is in line again.
    Over,
    InLineAgain,
    GrantedAgain(Lease),
}

impl Redis {
    fn grant(&mut self, token: Owner) -> Lease {
        if self.holder != Some(token) {
            self.fence += 1_000;
        }
        (self.holder, self.wanted) = (Some(token), !self.line.is_empty());
        Lease::until(Fence::new(self.fence), Instant::now() + LEASE)
    }

    /// With whether others wait; none where it is held, and `token` is in line then.
    pub(super) fn ask(&mut self, token: Owner) -> Option<(Lease, bool)> {
        let Some(holder) = self.holder.filter(|holder| *holder != token) else {
            let lease = self.grant(token);
            return Some((lease, self.wanted));
        };
        if !self.line.contains(&token) {
            self.line.push_back(token);
            if !std::mem::replace(&mut self.wanted, true) {
                self.published.push(Message::Wanted(holder));
            }
        }
        None
    }

    /// Lets go, and may get in line again in the same breath.
    pub(super) fn release(&mut self, token: Owner, again: Option<Owner>) -> Released {
        if self.holder != Some(token) {
            self.line.retain(|waiting| *waiting != token);
            return Released::Over;
        }
        self.holder = None;
        if let Some(again) = again.filter(|again| !self.line.contains(again)) {
            self.line.push_back(again);
        }
        let Some(next) = self.line.pop_front() else {
            return Released::Over;
        };
        let lease = self.grant(next);
        if Some(next) == again {
            return Released::GrantedAgain(lease);
        }
        let granted = Message::Granted(next, lease, self.wanted);
        self.published.push(granted);
        match again {
            Some(_) => Released::InLineAgain,
            None => Released::Over,
        }
    }

    pub(super) fn take_published(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.published)
    }
}
