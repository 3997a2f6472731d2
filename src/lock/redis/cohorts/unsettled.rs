//! What is over here, and may not be so to Redis.
//!
//! Floor 4.

use std::collections::HashMap;

use tokio::time::Instant;

use crate::lock::cohort::words::Ended;
use crate::lock::lease::{LeaseTime, Owner};

/// Releases under way or of unknown outcome, leases that ran out here; and until when it matters. Who
/// lets go is not always who Redis knows.
#[derive(Debug, Default)]
pub(super) struct Unsettled(HashMap<Owner, (Ended, Instant)>);

impl Unsettled {
    pub(super) fn remember(&mut self, over: Option<(Owner, Ended, LeaseTime)>) {
        let Some((owner, ended, lease)) = over else {
            return;
        };
        let now = Instant::now();
        // Now and then, or a process that loses thousands at once looks at each of them for each.
        if self.0.len().is_power_of_two() {
            self.0.retain(|_, (_, until)| *until > now);
        }
        let until = now + 2 * lease.get();
        self.0.insert(owner, (ended, until));
    }

    pub(super) fn take(&mut self, owner: Owner) -> Option<Ended> {
        let (ended, _) = self.0.remove(&owner)?;
        Some(ended)
    }
}
