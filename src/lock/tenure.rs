//! One grant of the backend, and what a process may do with it before it asks again.
//!
//! Floor 1.

use std::time::Duration;

use tokio::time::Instant;

use crate::lock::grant_path::GrantPath;
use crate::lock::lease::{Fence, Lease, Owner};

/// How often, at most, and for how long a process passes the key on within itself while others wait.
pub(crate) const BATCH: u64 = 16;
const SLICE: Duration = Duration::from_millis(50);

/// For so long they do so among those who come back at once, as handing the key over takes longer.
const BRIEF: Duration = Duration::from_millis(1);

/// How many fences above a grant's own the backend leaves to the process that holds it.
pub(crate) const RESERVED: u64 = 65_536;

/// The key is this process's, and of one in it.
#[derive(Debug)]
pub(crate) struct Tenure {
    pub(crate) holder: Owner,
    first: u64,
    fence: u64,
    granted: Instant,
    /// When the deadline was last confirmed.
    confirmed: Instant,
    deadline: Instant,
    limit: Option<Limit>,
    /// How the key came to its holder.
    path: GrantPath,
}

/// Others wait, or may do so without anybody here having been told.
#[derive(Debug)]
struct Limit {
    /// That of the last of those who waited here when word came, and of the last of a batch.
    waiting: u64,
    batch: u64,
    since: Instant,
}

impl Limit {
    /// Whether the next one after the holder of `fence` may have the key.
    fn allows(&self, fence: u64, now: Instant) -> bool {
        let time = match fence < self.waiting {
            true => SLICE,
            false => BRIEF,
        };
        fence < self.batch && now < self.since + time
    }
}

impl Tenure {
    pub(crate) fn new(holder: Owner, lease: Lease, now: Instant) -> Self {
        let first = lease.fence().get();
        Self {
            holder,
            first,
            fence: first,
            granted: now,
            confirmed: now,
            deadline: lease.deadline(),
            limit: None,
            path: lease.path(),
        }
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    pub(crate) fn renewed(&mut self, deadline: Instant, now: Instant) {
        if deadline > self.deadline {
            (self.deadline, self.confirmed) = (deadline, now);
        }
    }

    pub(crate) fn lease(&self) -> Lease {
        Lease::until(Fence::new(self.fence), self.deadline).with_path(self.path)
    }

    /// Others want the key: of the `waiting` here those who came first have it yet, then it goes to
    /// them. Two who take turns here are no more than two in line, however often they come back.
    pub(crate) fn limit(&mut self, waiting: usize, now: Instant) {
        let waiting = self
            .fence
            .saturating_add(waiting.try_into().unwrap_or(u64::MAX));
        let limit = self.limit.get_or_insert(Limit {
            waiting,
            batch: self.fence + BATCH,
            since: now,
        });
        limit.waiting = limit.waiting.min(waiting);
    }

    /// Others may want the key and nobody here would hear of it: they get it after a batch at the latest.
    pub(crate) fn is_unheard(&mut self, now: Instant) {
        self.limit(usize::MAX, now);
    }

    /// Takes the next fence, where the next one here, whose lease is so long, may have the key
    /// unasked: not for longer than that, or the key would outlive its process by more.
    ///
    /// Its fence is one more than the last. The backend's next one is larger: it is told the last
    /// where the tenure is released, and where it is not it leaves out [`RESERVED`] of them. And as
    /// no more fences are used up than microseconds have passed since the grant, none is ahead of
    /// a backend's clock that counts microseconds, should the backend lose its memory.
    pub(crate) fn pass(&mut self, lease: Duration, now: Instant) -> bool {
        let used = self.fence + 1 - self.first;
        let passed = now.saturating_duration_since(self.granted).as_micros();
        // The next one gets at least half of a lease.
        let half = self.deadline.saturating_duration_since(self.confirmed) / 2;
        let free = |limit: &Limit| limit.allows(self.fence, now);
        let may = used < RESERVED
            && u128::from(used) <= passed
            && now + half <= self.deadline
            && self.deadline <= now + lease
            && self.limit.as_ref().is_none_or(free);
        if may {
            self.fence += 1;
            self.path = GrantPath::Local;
        }
        may
    }
}

#[cfg(test)]
impl Tenure {
    pub(crate) fn is_limited(&self) -> bool {
        self.limit.is_some()
    }

    /// All that decides what comes next, relative to `now`.
    pub(crate) fn outlook(&self, now: Instant) -> impl std::fmt::Debug + use<> {
        let ago = |then: Instant| now.saturating_duration_since(then);
        let left = self.deadline.saturating_duration_since(now);
        let limit = self.limit.as_ref();
        let limit = limit.map(|limit| {
            let waiting = limit.waiting.saturating_sub(self.fence);
            let left = limit.batch - self.fence;
            (waiting.min(left), left, limit.allows(self.fence, now))
        });
        let used = self.fence - self.first;
        (used, ago(self.granted), ago(self.confirmed), left, limit)
    }
}
