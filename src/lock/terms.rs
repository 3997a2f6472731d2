//! For how long: the lease, the wait, the hold.
//!
//! Floor 1.

use std::time::Duration;

use crate::config::ConfigError;
use crate::lock::lease::LeaseTime;
use crate::lock::note::Note;
use crate::telemetry::lock_meter::LockMeter;

/// The longest wait for a lock: who waits longer has lost its client.
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(600);
/// How long one waits in line unless told otherwise.
pub(crate) const DEFAULT_WAIT: Duration = Duration::from_secs(5);

/// The times of a layer or a handle.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    pub(crate) lease: LeaseTime,
    /// None does not wait.
    pub(crate) wait: Option<Duration>,
    pub(crate) max_hold: Option<Duration>,
    /// Under which name the locks are counted.
    pub(crate) meter: LockMeter,
    /// What operators are told of the claims.
    pub(crate) note: Note,
}

impl Terms {
    /// Those of a layer or a handle that was told nothing.
    pub(crate) fn usual() -> Self {
        Self {
            lease: LeaseTime::DEFAULT,
            wait: Some(DEFAULT_WAIT),
            max_hold: None,
            meter: LockMeter::named(LockMeter::UNNAMED),
            note: Note::default(),
        }
    }

    pub(crate) fn set_name(&mut self, name: &'static str) {
        self.meter = LockMeter::named(name);
        self.note = Note::new(Some(name), None, None);
    }

    pub(crate) fn set_lease(&mut self, lease: Duration) -> Result<(), ConfigError> {
        self.lease = LeaseTime::new(lease)?;
        Ok(())
    }

    pub(crate) fn set_wait(&mut self, wait: Duration, instead: &str) -> Result<(), ConfigError> {
        if wait.is_zero() || wait > MAX_WAIT {
            return Err(ConfigError::new(
                "wait",
                format_args!("{wait:?}"),
                format!("more than zero, at most 10 min; `{instead}` does not wait"),
            ));
        }
        self.wait = Some(wait);
        Ok(())
    }

    pub(crate) fn set_max_hold(&mut self, time: Duration) -> Result<(), ConfigError> {
        let accepted = Duration::from_millis(100)..=Duration::from_secs(24 * 60 * 60);
        if !accepted.contains(&time) {
            return Err(ConfigError::new(
                "max_hold",
                format_args!("{time:?}"),
                "100 ms to 24 h",
            ));
        }
        self.max_hold = Some(time);
        Ok(())
    }
}
