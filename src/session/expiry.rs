//! How long a session lives.
//! Floor 1.

use std::time::Duration;

use crate::config::ConfigError;

/// A session ends when nobody has used it for `idle`, and at the latest `absolute` after it began.
///
/// Both are stored in the session itself: a session keeps the times it was created with, also
/// after the configuration has changed.
///
/// The default is an hour idle and a day in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionExpiry {
    idle_ms: u64,
    absolute_ms: u64,
}

/// Ten years: beyond it a number of milliseconds is more likely a mistake of units.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

impl SessionExpiry {
    /// Ends sessions after `idle` without use and `absolute` after their beginning.
    ///
    /// # Errors
    /// Where `idle` is below a millisecond, above `absolute`, or `absolute` is above ten years.
    pub fn new(idle: Duration, absolute: Duration) -> Result<Self, ConfigError> {
        if idle < Duration::from_millis(1) || idle > absolute {
            return Err(ConfigError::new(
                "idle",
                format_args!("{idle:?}"),
                format!("from 1ms to the absolute time-out, which is {absolute:?}"),
            ));
        }
        if absolute > LONGEST {
            return Err(ConfigError::new(
                "absolute",
                format_args!("{absolute:?}"),
                "at most ten years",
            ));
        }
        Ok(Self {
            idle_ms: absolute.min(idle).as_millis() as u64,
            absolute_ms: absolute.as_millis() as u64,
        })
    }

    /// How long a session lives without use.
    #[must_use]
    pub fn idle(&self) -> Duration {
        Duration::from_millis(self.idle_ms)
    }

    /// How long a session lives at most.
    #[must_use]
    pub fn absolute(&self) -> Duration {
        Duration::from_millis(self.absolute_ms)
    }

    pub(crate) fn idle_ms(&self) -> u64 {
        self.idle_ms
    }

    pub(crate) fn absolute_ms(&self) -> u64 {
        self.absolute_ms
    }
}

impl Default for SessionExpiry {
    fn default() -> Self {
        Self {
            idle_ms: 60 * 60 * 1000,
            absolute_ms: 24 * 60 * 60 * 1000,
        }
    }
}

/// A session is renewed at most once in this time: a tenth of its idle time-out, a minute at most.
/// The script that saves goes by it, too.
pub(crate) fn renewal_window_ms(idle_ms: u64) -> u64 {
    (idle_ms / 10).min(60_000)
}

/// Whether a session that was marked as used at `seen_ms` is to be marked again.
///
/// A mark as far in the future says that this estimate of the store's clock is wrong; the reply to
/// the renewal sets it right.
pub(crate) fn renewal_is_due(seen_ms: u64, idle_ms: u64, now_ms: u64) -> bool {
    now_ms.abs_diff(seen_ms) >= renewal_window_ms(idle_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_make_no_sense_are_refused_by_name() {
        let s = Duration::from_secs;
        for (idle, absolute, option) in [
            (s(0), s(1), "idle"),
            (s(2), s(1), "idle"),
            (s(0), s(0), "idle"),
            (s(1), s(u64::MAX), "absolute"),
        ] {
            let error = SessionExpiry::new(idle, absolute).unwrap_err();
            assert_eq!(error.option(), option);
        }
        assert!(SessionExpiry::new(s(1), s(1)).is_ok());
    }
}
