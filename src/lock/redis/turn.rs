//! One claim's way through its process's line, in and out.
//!
//! Floor 4.

use std::pin::pin;

use tokio::sync::oneshot::error::RecvError;
use tokio::task::yield_now;
use tokio::time::{Duration, Instant, sleep, sleep_until};

use crate::lock::backend::{Acquired, Released};
use crate::lock::cohort::words::{Ended, Leave, Place, Turn};
use crate::lock::error::LockError;
use crate::lock::lease::{Claim, Fence, LeaseTime, Owner, end_of};
use crate::lock::lock_key::LockKey;
use crate::lock::redis::adapter::RedisLocks;
use crate::lock::redis::ask::{Asked, Parting};
use crate::lock::redis::cohorts::Cohorts;
use crate::lock::redis::drive::{drive, is_ready};
use crate::lock::redis::reply::{Answer, Answered};

/// The one who asks in its own name; dropped, it leaves that to those who came after it.
struct Asking<'a> {
    cohorts: &'a Cohorts,
    claim: &'a Claim,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        // Without effect where it was granted the key, or has got in line.
        self.cohorts.asked_in_vain(self.claim);
    }
}

impl RedisLocks {
    /// Asks for a key that nobody else here wants, without a task of its own.
    pub(super) async fn ask_first(
        &self,
        claim: &Claim,
        wait: Option<Duration>,
    ) -> Result<Acquired, LockError> {
        let (key, token, cohorts) = (&claim.key, claim.owner, &self.shared.cohorts);
        let end = wait.map(end_of);
        let _asking = Asking { cohorts, claim };
        // Nobody gets in line whom no message would reach. Where the inbox was never needed
        // before, the lock is most likely free.
        let line = wait.is_some() && is_ready(self.inbox(key).ready());
        let waiting = line.then(|| self.listen(key, token));
        let asked = Asked {
            key,
            token,
            lease: claim.lease,
            note: claim.note.as_str(),
            line,
        };
        let left = match self.ask(asked).await? {
            Answer::Granted { lease, others } => {
                cohorts.granted_unheard(key, token, lease, others);
                return Ok(Acquired::Granted(lease));
            }
            Answer::QueueFull => return Ok(Acquired::QueueFull),
            Answer::Busy { ran, left } => {
                cohorts.set_ran(key, ran);
                left
            }
        };
        let busy = Acquired::Busy { retry_after: left };
        let Some(end) = end else {
            return Ok(busy);
        };
        match cohorts.queue_up(claim) {
            Some(place) => {
                if waiting.is_some() {
                    cohorts.set_waiting(key, token, waiting);
                }
                let wait = end.saturating_duration_since(Instant::now());
                self.wait(claim, place, wait, left).await
            }
            // Withdrawn meanwhile.
            None => Ok(busy),
        }
    }

    /// Waits for its turn. Dropped, it keeps its place until the claim is withdrawn.
    pub(super) async fn wait(
        &self,
        claim: &Claim,
        mut place: Place,
        wait: Duration,
        left: Duration,
    ) -> Result<Acquired, LockError> {
        claim.waits();
        if place.drive {
            // Before any await: with its budget used up, a task is sent away from there, and the request
            // may be dropped then, while the others in line take it that they have a driver.
            tokio::spawn(drive(self.clone(), claim.key.clone()));
        }
        let busy = Acquired::Busy { retry_after: left };
        let turn = tokio::select! {
            biased;
            turn = self.turn(claim, &mut place) => turn,
            () = sleep_until(end_of(wait)) => {
                place.turn.close();
                match place.turn.try_recv() {
                    // Granted at the last moment: better late than passed on.
                    Ok(turn) => Ok(turn),
                    Err(_) => {
                        if self.let_go(claim, false).await.is_err() {
                            // It knows that the key is held, whatever becomes of its place: that is
                            // not for a request that may run unguarded where nobody can tell.
                            let left = self.shared.cohorts.take_unsettled(claim);
                            let token = left.map_or(claim.owner, |left| left.token);
                            self.take_back(&claim.key, token, claim.lease);
                        }
                        return Ok(busy);
                    }
                }
            }
        };
        match turn {
            Ok(Turn::Granted(lease)) => Ok(Acquired::Granted(lease)),
            Ok(Turn::Full) => Ok(Acquired::QueueFull),
            Ok(Turn::Failed(error)) => Err(error),
            // Taken out of the line by a withdrawal, or by the same claim asking once more.
            Err(_) => Ok(busy),
        }
    }

    /// What becomes of the wait, though whoever asks for the line goes away meanwhile.
    async fn turn(&self, claim: &Claim, place: &mut Place) -> Result<Turn, RecvError> {
        let cohorts = &self.shared.cohorts;
        loop {
            let mut orphaned = pin!(cohorts.orphaned());
            orphaned.as_mut().enable();
            if cohorts.adopt(&claim.key) {
                tokio::spawn(drive(self.clone(), claim.key.clone()));
            }
            tokio::select! {
                biased;
                turn = &mut place.turn => return turn,
                // Not at once: what an ended runtime spawns is gone before it begins, and whoever
                // waits there would adopt the line for ever, and never look at the time.
                () = orphaned => yield_now().await,
            }
        }
    }

    /// Lets go of whatever the claim has: the key, a place in line, a question under way.
    pub(super) async fn let_go(
        &self,
        claim: &Claim,
        thorough: bool,
    ) -> Result<Released, LockError> {
        let cohorts = &self.shared.cohorts;
        let waited = |token| Ended { token, last: None };
        let (ended, again) = match cohorts.leave(claim) {
            Leave::Passed => return Ok(Released::HandedOver),
            Leave::Settled => return Ok(Released::NotHeld),
            Leave::Withdraw(token) => (waited(token), None),
            Leave::Release { ended, again } => (ended, again),
            Leave::Unknown => {
                let ended = cohorts.take_unsettled(claim);
                (ended.unwrap_or(waited(claim.owner)), None)
            }
        };
        // Whoever comes again, after an error or in place of one that was dropped, finds its token
        // here alone; its own name it knows.
        let foreign = ended.token != claim.owner;
        if foreign {
            cohorts.unsettled(claim, ended);
        }
        let released = match ended.last {
            Some(last) => self.end(claim, ended.token, last, again).await?,
            None => {
                self.take(&claim.key, ended.token, claim.lease, thorough)
                    .await?
            }
        };
        if foreign {
            cohorts.take_unsettled(claim);
        }
        Ok(released)
    }

    /// Ends a tenure, and gets in line again in the same breath where others here wait.
    async fn end(
        &self,
        claim: &Claim,
        as_whom: Owner,
        last: Fence,
        again: Option<Owner>,
    ) -> Result<Released, LockError> {
        let (key, cohorts) = (&claim.key, &self.shared.cohorts);
        // Nobody gets in line whom no message would reach; who asks for the line sees to that.
        let reached = again.filter(|_| is_ready(self.inbox(key).ready()));
        if let Some(token) = again {
            let waiting = reached.map(|token| self.listen(key, token));
            cohorts.set_waiting(key, token, waiting);
        }
        let parting = Parting {
            last: Some(last.get()),
            again: reached,
        };
        // Of use only to those who are in line again.
        let lease_time = cohorts.next_lease(key).unwrap_or(claim.lease);
        let answered = self.give_back(key, as_whom, lease_time, parting).await;
        match (answered, reached) {
            (Ok(Answered::GrantedAgain(lease)), Some(token)) => {
                if !cohorts.granted(key, token, lease, false) {
                    self.take_back(key, token, lease_time);
                }
                Ok(Released::HandedOver)
            }
            (Ok(Answered::InLineAgain(ran)), _) => {
                cohorts.set_ran(key, ran);
                Ok(Released::HandedOver)
            }
            (answered, reached) => {
                // Not in line again: the one who asks for the line is to ask.
                if let Some(token) = reached {
                    cohorts.set_waiting(key, token, None);
                }
                answered.map(Answered::released)
            }
        }
    }

    /// As `withdraw` of the port, for a token.
    pub(super) async fn withdraw_token(
        &self,
        key: &LockKey,
        token: Owner,
        lease: LeaseTime,
    ) -> Result<Released, LockError> {
        self.take(key, token, lease, true).await
    }

    async fn take(
        &self,
        key: &LockKey,
        token: Owner,
        lease: LeaseTime,
        thorough: bool,
    ) -> Result<Released, LockError> {
        let answered = self
            .give_back(key, token, lease, Parting::default())
            .await?;
        if !thorough || !matches!(answered, Answered::NothingThere) {
            return Ok(answered.released());
        }
        sleep(Duration::from_millis(2 * self.late_ms())).await;
        let answered = self
            .give_back(key, token, lease, Parting::default())
            .await?;
        Ok(answered.released())
    }
}
