//! What is to be run once.
//!
//! Floor 2.

use std::time::Duration;

use crate::config::ConfigError;
use crate::lock::escape::push_escaped;
use crate::lock::lock_key::LockKey;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A job: its name, the slot that it is run for, and how long a successful run is enough.
///
/// Its lock is called `once:{name}` or `once:{name}:{slot}`, so that an application that locks
/// such a name itself keeps the job from running.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use tower_handoff::once::Job;
///
/// // A tick of a schedule, whichever instance's clock says so first.
/// let hour = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs() / 3600;
/// let job = Job::new("sweep")?.with_slot(hour.to_string())?;
/// assert_eq!(job.key().as_str(), format!("once:sweep:{hour}"));
///
/// // A value that is good for a minute.
/// let job = Job::new("rates")?.with_fresh_for(Duration::from_secs(60))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Job {
    name: Box<str>,
    slot: Option<Box<str>>,
    fresh: Option<Duration>,
}

impl Job {
    /// A job that is free again as soon as it has ended: with neither slot nor time, only
    /// exclusion is left.
    ///
    /// # Errors
    /// When `name` is not of 1 to 128 bytes.
    pub fn new(name: impl AsRef<str>) -> Result<Self, ConfigError> {
        Ok(Self {
            name: checked("job", name.as_ref())?,
            slot: None,
            fresh: None,
        })
    }

    /// The part of the schedule that this run is for. Once done, it stays done: for a day, unless
    /// [`with_fresh_for`](Self::with_fresh_for) says otherwise. That has to be longer than the
    /// instances' clocks, and a late one's retries, can be apart.
    ///
    /// # Errors
    /// When `slot` is not of 1 to 128 bytes.
    pub fn with_slot(mut self, slot: impl AsRef<str>) -> Result<Self, ConfigError> {
        self.slot = Some(checked("slot", slot.as_ref())?);
        Ok(self)
    }

    /// Not again until so long after the end of a successful run, which is when the store had its
    /// result: by the store's clock, whatever those of the instances say. The one who ran it
    /// decides how long. Whole milliseconds, rounded up; zero keeps nothing.
    ///
    /// # Errors
    /// When `time` is longer than 366 days.
    pub fn with_fresh_for(mut self, time: Duration) -> Result<Self, ConfigError> {
        if time > 366 * DAY {
            return Err(ConfigError::new(
                "fresh_for",
                format_args!("{time:?}"),
                "0 to 366 days",
            ));
        }
        self.fresh = Some(time);
        Ok(self)
    }

    /// The name of its lock. One that is too long for a key is named by its SHA-256.
    #[must_use]
    pub fn key(&self) -> LockKey {
        let mut key = "once".to_owned();
        for part in [Some(&self.name), self.slot.as_ref()].into_iter().flatten() {
            key.push(':');
            // No name ends where its slot begins.
            push_escaped(&mut key, part.as_bytes(), |byte| {
                byte.is_ascii_graphic() && byte != b':'
            });
        }
        LockKey::bounded(key).expect("it begins with `once`")
    }

    pub(crate) fn fresh(&self) -> Duration {
        let unless_told = self.slot.as_ref().map_or(Duration::ZERO, |_| DAY);
        self.fresh.unwrap_or(unless_told)
    }
}

fn checked(option: &'static str, value: &str) -> Result<Box<str>, ConfigError> {
    if (1..=128).contains(&value.len()) {
        return Ok(value.into());
    }
    let bytes = format_args!("{} bytes", value.len());
    Err(ConfigError::new(option, bytes, "1 to 128 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_jobs_have_one_key() {
        let mut seen = std::collections::HashSet::new();
        let long = "\u{e9}".repeat(64);
        for name in ["a", "A", "a:b", "a%3Ab", "a%", "%", ":", " ", "\0", &long] {
            let job = Job::new(name).unwrap();
            assert!(seen.insert(job.key()), "{name}");
            for slot in ["a", "b", ":", "b:", "%3A", &long] {
                let key = job.clone().with_slot(slot).unwrap().key();
                assert!(key.as_str().len() <= LockKey::MAX_BYTES);
                assert!(seen.insert(key), "{name} {slot}");
            }
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for bad in [String::new(), "x".repeat(129)] {
            let error = Job::new(&bad).unwrap_err();
            assert_eq!(
                (error.option(), error.accepted()),
                ("job", "1 to 128 bytes")
            );
            let error = Job::new("a").unwrap().with_slot(&bad).unwrap_err();
            assert_eq!(error.option(), "slot");
        }
        let job = Job::new("x".repeat(128)).unwrap();
        assert!(job.clone().with_fresh_for(366 * DAY).is_ok());
        let error = job.with_fresh_for(Duration::MAX).unwrap_err();
        assert_eq!(error.accepted(), "0 to 366 days");
    }

    #[test]
    fn a_slot_stays_done_for_a_day_unless_told_otherwise() {
        let job = Job::new("a").unwrap();
        assert_eq!(job.fresh(), Duration::ZERO);
        let slot = job.with_slot("b").unwrap();
        assert_eq!(slot.fresh(), DAY);
        assert_eq!(slot.with_fresh_for(2 * DAY).unwrap().fresh(), 2 * DAY);
    }
}
