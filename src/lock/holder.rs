//! Who holds a lock, for operators.
//!
//! Floor 1.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::lock::lease::Fence;
use crate::lock::note::Note;

/// Who holds a lock, as the backend knows it: for operators, not for clients. It holds nothing
/// that lets anybody use or release the lock.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// Which instance; none from backends with a single one.
    pub instance: Option<String>,
    /// On which host, as the host calls itself.
    pub host: Option<String>,
    /// In which process there.
    pub pid: Option<u32>,
    /// For what: name, route, request.
    pub note: Note,
    /// The fence of the backend's grant. Where a process passes the key on within itself, those who
    /// follow have larger ones, which only their process knows.
    pub fence: Fence,
    /// How long the lease lasts if nobody renews it; [`Duration::MAX`] where it never ends.
    pub remaining: Duration,
    /// How many wait in line. With Redis each process counts once, however many wait there, and the
    /// holder's own does not.
    pub waiting: usize,
}

impl Holder {
    /// A holder of which nothing else is known yet.
    #[must_use]
    pub fn new(fence: Fence, remaining: Duration) -> Self {
        Self {
            instance: None,
            host: None,
            pid: None,
            note: Note::default(),
            fence,
            remaining,
            waiting: 0,
        }
    }

    /// Since when the key is that process's, by the clock of the backend, in whose microseconds it
    /// counts fences; later than that where that clock was set back since.
    #[must_use]
    pub fn since(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_micros(self.fence.get())
    }

    /// The process as [`place`](crate::instance::place) names it.
    pub(crate) fn with_place(mut self, place: &str) -> Self {
        let (host, pid) = place.rsplit_once(':').unwrap_or((place, ""));
        self.host = Some(host.to_owned()).filter(|host| !host.is_empty());
        self.pid = pid.parse().ok();
        self
    }
}
