//! What tells one state of a line from another, for tests.
//!
//! Floor 1.

use tokio::time::Instant;

use super::{Cohort, Phase};
use crate::lock::lease::Owner;

impl Cohort {
    pub(crate) fn is_limited(&self) -> bool {
        matches!(&self.phase, Phase::Held(tenure) if tenure.is_limited())
    }

    /// All that decides what comes next, relative to `now`; owners are named by their first byte.
    pub(crate) fn outlook(&self, now: Instant) -> String {
        let name = |owner: &Owner| owner.as_bytes()[0];
        let phase = match &self.phase {
            Phase::Vacant => "vacant".to_owned(),
            Phase::Asking { asker } => format!("asking {:?}", asker.as_ref().map(name)),
            Phase::Held(tenure) => format!("{} {:?}", name(&tenure.holder), tenure.outlook(now)),
        };
        let places = self.line.iter();
        let line: Vec<_> = places.map(|it| (name(&it.owner), it.is_gone())).collect();
        let (token, driven, wanted) = (name(&self.token), self.driven, self.wanted);
        format!("{token} {phase} {line:?} {driven} {wanted}")
    }
}
