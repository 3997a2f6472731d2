//! One gauge for every Redis that this process is connected to.
//!
//! Floor 0.

use std::sync::{Mutex, PoisonError};

use crate::telemetry::names::RedisUp;
use crate::telemetry::record::set;

/// Those that are open and of which it is known whether they are up.
static ALL: Mutex<Tally> = Mutex::new(Tally { open: 0, up: 0 });

struct Tally {
    open: usize,
    up: usize,
}

/// One Redis as the gauge counts it: not while its first connection is tried, and not once it is closed.
/// Dropped, it no longer counts.
#[derive(Debug, Default)]
pub(crate) struct UpMark(Mutex<Option<bool>>);

impl UpMark {
    /// Whether it is up; `None` once it is closed. The gauge says 1 where all that count are.
    pub(crate) fn tell(&self, is_up: Option<bool>) {
        let mut mine = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *mine, is_up);
        // Held until it is set, so that the last to change it is the last to be heard.
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        all.open = all.open + usize::from(is_up.is_some()) - usize::from(before.is_some());
        all.up = all.up + usize::from(is_up == Some(true)) - usize::from(before == Some(true));
        let is_up = all.open > 0 && all.up == all.open;
        set(RedisUp::Now, f64::from(u8::from(is_up)));
    }
}

impl Drop for UpMark {
    fn drop(&mut self) {
        if self.0.get_mut().is_ok_and(|mine| mine.is_some()) {
            self.tell(None);
        }
    }
}
