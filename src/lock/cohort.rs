//! Those of one process who want the same key, behind one claim on the backend.
//!
//! No clock, no I/O: what happens comes in, what is to be done comes out. The invariants that the
//! tests check: one holder at a time, never past the deadline; first come, first served; every
//! grant has a larger fence; whoever stands in line has somebody who asks on its behalf.
//!
//! Floor 1.

use tokio::time::Instant;

use crate::lock::cohort::line::Line;
use crate::lock::cohort::words::{Arrival, Ended, Leave, Place, Step, Turn};
use crate::lock::grant_path::GrantPath;
use crate::lock::lease::{Claim, Lease, LeaseTime, Owner};
use crate::lock::tenure::Tenure;

mod line;
pub(crate) mod words;

#[derive(Debug)]
pub(crate) struct Cohort {
    /// As whom the backend knows this process: the owner of the claim that was first in line.
    token: Owner,
    phase: Phase,
    line: Line,
    /// Whether somebody asks the backend on behalf of the line.
    driven: bool,
    /// Whether word of others who wait came before the grant itself.
    wanted: bool,
    /// A tenure that ended by its lease: its holder, who may still let go, and what to say then.
    overdue: Option<Box<(Owner, Ended)>>,
}

#[derive(Debug)]
enum Phase {
    Vacant,
    /// The backend is asked: by the claim itself, which stands in no line, or for the line.
    Asking {
        asker: Option<Owner>,
    },
    Held(Tenure),
}

impl Cohort {
    pub(crate) fn new(owner: Owner) -> Self {
        Self {
            token: owner,
            phase: Phase::Vacant,
            line: Line::default(),
            driven: false,
            wanted: false,
            overdue: None,
        }
    }

    /// Whether it can be forgotten.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Vacant) && self.line.is_empty() && !self.driven
    }

    pub(crate) fn nobody_waits(&self) -> bool {
        self.line.is_empty()
    }

    /// The lease that whoever is served next asks for.
    pub(crate) fn next_lease(&self) -> Option<LeaseTime> {
        self.line.first().map(|next| next.lease)
    }

    pub(crate) fn arrive(&mut self, who: &Claim, wait: bool, now: Instant, max: usize) -> Arrival {
        let owner = who.owner;
        self.expire(now);
        if self.line.len() >= max {
            self.line.forget_the_gone();
        }
        if let Some(turn) = self.line.listen_again(owner) {
            return Arrival::Wait(Place { turn, drive: false });
        }
        match &mut self.phase {
            Phase::Held(tenure) if tenure.holder == owner => {
                return Arrival::Again(tenure.lease());
            }
            Phase::Asking { asker } if *asker == Some(owner) => return Arrival::Ask,
            phase @ Phase::Vacant if self.line.is_empty() => {
                *phase = Phase::Asking { asker: Some(owner) };
                self.token = owner;
                self.wanted = false;
                return Arrival::Ask;
            }
            _ if wait && who.seat.is_none() && self.line.len() >= max => return Arrival::Full,
            _ if wait => {}
            Phase::Held(tenure) => return Arrival::Busy(Some(tenure.deadline())),
            _ => return Arrival::Busy(None),
        }
        Arrival::Wait(self.place(who, false))
    }

    /// The claim that asked is in the backend's line now: it is the first of this one.
    pub(crate) fn queue_up(&mut self, who: &Claim) -> Place {
        if matches!(self.phase, Phase::Asking { asker } if asker == Some(who.owner)) {
            self.phase = Phase::Asking { asker: None };
        }
        self.place(who, true)
    }

    fn place(&mut self, who: &Claim, first: bool) -> Place {
        let turn = self.line.enter(who, first);
        let drive = !std::mem::replace(&mut self.driven, true);
        Place { turn, drive }
    }

    /// The claim that asked has failed or is gone; returns whether it is up to the line now.
    pub(crate) fn asked_in_vain(&mut self, owner: Owner) -> bool {
        if !matches!(self.phase, Phase::Asking { asker } if asker == Some(owner)) {
            return false;
        }
        if self.line.is_empty() {
            self.phase = Phase::Vacant;
            return false;
        }
        self.phase = Phase::Asking { asker: None };
        true
    }

    /// The backend granted the key to `token`. `limited` where others wait.
    /// Returns whether the grant is of use here; otherwise it is to be given back.
    pub(crate) fn granted(
        &mut self,
        token: Owner,
        lease: Lease,
        limited: bool,
        now: Instant,
    ) -> bool {
        if token != self.token {
            return false;
        }
        let holder = match self.phase {
            Phase::Asking { asker } => asker,
            // Said twice: the first one counts.
            Phase::Held(_) => return true,
            Phase::Vacant => return false,
        };
        let path = match holder {
            Some(_) => GrantPath::Free,
            None => GrantPath::Queued,
        };
        let mut tenure = Tenure::new(holder.unwrap_or(token), lease.with_path(path), now);
        let limited = std::mem::take(&mut self.wanted) || limited;
        if holder.is_some() || self.line.give(&mut tenure) {
            if limited {
                self.line.forget_the_gone();
                tenure.limit(self.line.len(), now);
            }
            self.phase = Phase::Held(tenure);
            return true;
        }
        self.phase = Phase::Vacant;
        false
    }

    /// Lets go: of the key, or of a place in line.
    pub(crate) fn leave(&mut self, owner: Owner, now: Instant) -> Leave {
        self.expire(now);
        let stood_in_line = self.line.remove(owner);
        match &mut self.phase {
            Phase::Held(tenure) if tenure.holder == owner => {
                self.line.forget_the_gone();
                let ended = Ended::of(self.token, tenure);
                if let Some(next) = self.line.first()
                    && tenure.pass(next.lease.get(), now)
                    && let Phase::Held(mut tenure) =
                        std::mem::replace(&mut self.phase, Phase::Vacant)
                    && self.line.give(&mut tenure)
                {
                    self.phase = Phase::Held(tenure);
                    return Leave::Passed;
                }
                let again = self.begin_again();
                Leave::Release { ended, again }
            }
            Phase::Asking { asker } if *asker == Some(owner) || stood_in_line => {
                let asks = asker.take_if(|asker| *asker == owner).is_some();
                if self.line.is_empty() && (asks || asker.is_none()) {
                    self.phase = Phase::Vacant;
                    return Leave::Withdraw(self.token);
                }
                Leave::Settled
            }
            Phase::Vacant => Leave::Unknown,
            _ if stood_in_line || self.token == owner => Leave::Settled,
            _ => Leave::Unknown,
        }
    }

    /// What the one who asks for the line does next.
    pub(crate) fn step(&mut self, now: Instant) -> Step {
        self.expire(now);
        self.line.forget_the_gone();
        if self.line.is_empty() {
            self.driven = false;
            let Phase::Asking { asker: None } = self.phase else {
                return Step::Over(None);
            };
            self.phase = Phase::Vacant;
            return Step::Over(Some(self.token));
        }
        match &self.phase {
            Phase::Held(tenure) => Step::Rest(Some(tenure.deadline())),
            Phase::Asking { asker: Some(_) } => Step::Rest(None),
            Phase::Asking { asker: None } => Step::Ask(self.token),
            Phase::Vacant => {
                self.begin_again();
                Step::Ask(self.token)
            }
        }
    }

    /// Whoever asked for the line is gone without having been told to, and with it the ear for word of
    /// others who wait.
    pub(crate) fn orphaned(&mut self, now: Instant) {
        self.driven = false;
        self.is_unheard(now);
    }

    /// Nobody here would hear that others wait for the key that this process holds.
    pub(crate) fn is_unheard(&mut self, now: Instant) {
        if let Phase::Held(tenure) = &mut self.phase {
            tenure.is_unheard(now);
        }
    }

    /// Whether the caller is to ask for the line from now on, as nobody does.
    pub(crate) fn adopt(&mut self) -> bool {
        !self.line.is_empty() && !std::mem::replace(&mut self.driven, true)
    }

    /// Whether `token` is what the line waits under.
    pub(crate) fn asks(&self, token: Owner) -> bool {
        self.token == token && matches!(self.phase, Phase::Asking { asker: None })
    }

    pub(crate) fn holds(&self, token: Owner) -> bool {
        self.token == token && matches!(self.phase, Phase::Held(_))
    }

    /// Ends every wait alike; returns whether `token` was still the one that asked.
    pub(crate) fn fail(&mut self, token: Owner, turn: impl Fn() -> Turn) -> bool {
        if !self.asks(token) {
            return false;
        }
        self.line.end(turn);
        self.phase = Phase::Vacant;
        true
    }

    /// Others wait for the key that this process holds.
    pub(crate) fn others_wait(&mut self, token: Owner, now: Instant) {
        self.line.forget_the_gone();
        match &mut self.phase {
            _ if self.token != token => {}
            Phase::Held(tenure) => tenure.limit(self.line.len(), now),
            Phase::Asking { .. } => self.wanted = true,
            Phase::Vacant => {}
        }
    }

    /// As whom the backend knows the holder.
    pub(crate) fn token_of(&mut self, holder: Owner, now: Instant) -> Option<Owner> {
        self.expire(now);
        matches!(&self.phase, Phase::Held(tenure) if tenure.holder == holder).then_some(self.token)
    }

    /// The backend has renewed the lease of `token`; the lease of `holder`, if it is still that.
    pub(crate) fn renewed(
        &mut self,
        token: Owner,
        holder: Owner,
        deadline: Instant,
        now: Instant,
    ) -> Option<Lease> {
        self.expire(now);
        match &mut self.phase {
            Phase::Held(tenure) if self.token == token => {
                tenure.renewed(deadline, now);
                (tenure.holder == holder).then(|| tenure.lease())
            }
            _ => None,
        }
    }

    /// The backend says that `token` does not hold the key.
    pub(crate) fn lost(&mut self, token: Owner) {
        if self.holds(token) {
            self.begin_again();
        }
    }

    /// A lease that is over is over for all here, whoever still works under it.
    fn expire(&mut self, now: Instant) {
        if let Phase::Held(tenure) = &self.phase
            && now >= tenure.deadline()
        {
            let overdue = (tenure.holder, Ended::of(self.token, tenure));
            self.overdue = Some(Box::new(overdue));
            self.begin_again();
        }
    }

    /// The tenure that the last call found over, if it did: the backend may take it for held
    /// still, where the answer to a renewal was lost.
    pub(crate) fn take_overdue(&mut self) -> Option<(Owner, Ended)> {
        self.overdue.take().map(|overdue| *overdue)
    }

    /// Asks under a new token where somebody waits.
    fn begin_again(&mut self) -> Option<Owner> {
        let Some(first) = self.line.first() else {
            self.phase = Phase::Vacant;
            return None;
        };
        self.token = first.owner;
        self.wanted = false;
        self.phase = Phase::Asking { asker: None };
        Some(self.token)
    }
}

#[cfg(test)]
mod limits;
#[cfg(test)]
mod outlook;
#[cfg(test)]
mod seats;
#[cfg(test)]
mod tests;
