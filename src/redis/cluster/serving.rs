//! Whether the cluster serves: signs of life, status, warnings.
//!
//! Floor 3.

use std::sync::Arc;

use tokio::time::Instant;

use super::nodes::{Nodes, Phase};
use crate::redis::away::AwayCause;
use crate::redis::beside::Beside;
use crate::redis::error::RedisError;
use crate::redis::failure::Failure;
use crate::redis::queue::{Item, Queued};
use crate::redis::status::{RedisStatus, away, closed};

impl Nodes {
    /// Asks every node for a sign of life, all at once; says how many gave one.
    async fn signs_of_life(&self) -> Result<(usize, Result<(), RedisError>), RedisError> {
        let since = Instant::now();
        self.started().await?;
        if self.is_closed() {
            return Err(closed());
        }
        let asked = self.all().into_iter().map(|link| {
            let (ping, answer) = Queued::new(redis::cmd("PING"), None, since);
            link.enqueue(Item::Command(ping)).map(|()| answer)
        });
        let asked: Vec<_> = asked.collect();
        let (mut alive, mut outcome) = (0, Ok(()));
        for answer in asked {
            let reply = match answer {
                Ok(answer) => answer.reply().await.map(drop),
                Err(error) => Err(error),
            };
            alive += usize::from(reply.is_ok());
            outcome = outcome.and(reply);
        }
        Ok((alive, outcome))
    }

    /// Whether who has which slots is known, and anybody is there who has some.
    pub(crate) async fn serves_some(&self) -> bool {
        let signs = self.signs_of_life().await;
        signs.is_ok_and(|(alive, _)| alive > 0) && self.read().slots.iter().any(Option::is_some)
    }

    /// Asks every node for a sign of life, all at once.
    pub(crate) async fn ping(&self) -> Result<(), RedisError> {
        self.signs_of_life().await?.1?;
        if self.status().is_up() {
            Ok(())
        } else {
            Err(away())
        }
    }

    /// Up where every slot is served; else the first that is not, with its node.
    pub(crate) fn status(&self) -> RedisStatus {
        if self.is_closed() {
            return RedisStatus::away(&Failure::unreachable("closed by this process"));
        }
        let state = self.read();
        if let Some(trouble) = &state.trouble {
            return RedisStatus::away(trouble);
        }
        let free = state.slots.iter().filter(|owner| owner.is_none()).count();
        if free > 0 {
            let reason = format!("{free} of the cluster's slots are served by nobody");
            return RedisStatus::away(&Failure::new(AwayCause::NotReady, reason));
        }
        for (node, link) in &state.links {
            // One that a redirect named, and that has no slot yet, is missed by nobody until it is connected to.
            let owns_some = || (state.slots.iter().flatten()).any(|owner| Arc::ptr_eq(owner, link));
            if link.shared.breaker.is_starting() && !owns_some() {
                continue;
            }
            if let RedisStatus::Away { cause, reason } = link.shared.breaker.status() {
                return RedisStatus::away(&Failure::new(cause, format!("{node}: {reason}")));
            }
        }
        RedisStatus::Up
    }

    /// Whether it is up, where that is known: not before the first look has ended, nor while all that is
    /// missing is the first attempt to connect to a node.
    pub(super) fn is_known_up(&self) -> Option<bool> {
        if *self.phase.borrow() == Phase::Starting {
            return None;
        }
        let is_up = self.status().is_up();
        (is_up || self.wants_a_look()).then_some(is_up)
    }

    /// What the first of those that refuse anything says, with its node.
    pub(crate) fn warning(&self) -> Option<String> {
        let state = self.read();
        let mut links = state.links.iter();
        links.find_map(|(node, link)| {
            let beside = || Beside::of(&link.shared.origin).warning();
            Some(format!("{node}: {}", link.warning().or_else(beside)?))
        })
    }
}
