//! What an instance is doing with its life.
//!
//! Floor 1.

use std::fmt;

/// What the instance does now. Phases only ever go forward, and never twice.
///
/// They are ordered: `phase >= Phase::Draining` asks whether draining has begun, also when it
/// is long over. `Forcing` is left out when the drain ends in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum Phase {
    /// Start-up gates run. Requests that come are served; `/ready` says no.
    Starting = 0,
    /// The instance serves. `/ready` says yes, if the checks agree.
    Ready,
    /// Shutdown was asked for. Everything is still served, new connections too, while load
    /// balancers learn from `/ready` to send no more; HTTP/1 answers carry `Connection: close`.
    /// In the end the socket closes, and what it had taken in is served.
    Settling,
    /// No new work: requests that still come in over open connections
    /// get 503, and what is in flight goes on to its end.
    Draining,
    /// The drain's time is over. What is left has been named and is cut off.
    Forcing,
    /// Locks are released, pending writes flushed, hooks run, connections closed.
    Stopping,
    /// Nothing is left to do but to exit.
    Stopped,
}

impl Phase {
    const ALL: [Self; 7] = [
        Self::Starting,
        Self::Ready,
        Self::Settling,
        Self::Draining,
        Self::Forcing,
        Self::Stopping,
        Self::Stopped,
    ];

    /// The phase's name in lower case, for logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Settling => "settling",
            Self::Draining => "draining",
            Self::Forcing => "forcing",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
        }
    }

    /// The name that probes show: `Forcing` is still `draining` and `Stopped` still `stopping`
    /// to somebody outside, who can do nothing with the difference.
    #[must_use]
    pub fn public_str(self) -> &'static str {
        match self {
            Self::Forcing => Self::Draining.as_str(),
            Self::Stopped => Self::Stopping.as_str(),
            shown => shown.as_str(),
        }
    }

    /// The phase that was stored as `self as u8`.
    pub(crate) fn from_u8(stored: u8) -> Self {
        let last = Self::Stopped;
        Self::ALL.get(usize::from(stored)).copied().unwrap_or(last)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_survives_its_byte_and_is_later_than_the_one_before() {
        for phase in Phase::ALL {
            assert_eq!(Phase::from_u8(phase as u8), phase);
        }
        assert!(Phase::ALL.is_sorted());
    }
}
