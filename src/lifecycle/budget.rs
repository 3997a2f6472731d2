//! How the platform's patience is divided.
//!
//! Floor 1.

use std::time::Duration;

use crate::config::ConfigError;

/// The grace period, split: settle + drain + hooks + margin.
///
/// The drain gets what the others leave. Hooks have their time to themselves, so a drain that
/// never ends cannot eat it; the margin is for the exit itself, so that the report is out before
/// the platform kills the process.
///
/// ```
/// use std::time::Duration;
/// use tower_handoff::lifecycle::Budget;
///
/// let seconds = Duration::from_secs;
/// let budget = Budget::new(seconds(30), seconds(5), seconds(3))?;
/// assert_eq!(budget.margin(), seconds(1));
/// assert_eq!(budget.drain(), seconds(21));
///
/// let error = Budget::new(seconds(5), seconds(4), seconds(2)).unwrap_err();
/// assert_eq!(error.accepted(), "at least 6.25s: settle 4s + hooks 2s + margin 250ms");
/// # Ok::<(), tower_handoff::ConfigError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    grace: Duration,
    settle: Duration,
    drain: Duration,
    hooks: Duration,
    margin: Duration,
}

/// A day.
const LONGEST: Duration = Duration::from_secs(86_400);

impl Budget {
    /// Divides `grace`: the margin is a twentieth of it, at least 50 ms and at most 1 s.
    ///
    /// # Errors
    /// When settle, hooks and margin are more than `grace`; the error's text holds the sum. A
    /// drain of zero is accepted: it cuts off at once what is in flight. A grace of more than a
    /// day is an error too.
    pub fn new(grace: Duration, settle: Duration, hooks: Duration) -> Result<Self, ConfigError> {
        if grace > LONGEST {
            let accepted = format!("at most {LONGEST:?}");
            return Err(ConfigError::new("grace", format!("{grace:?}"), accepted));
        }
        let margin = (grace / 20).clamp(Duration::from_millis(50), Duration::from_secs(1));
        let reserved = settle.saturating_add(hooks).saturating_add(margin);
        let Some(drain) = grace.checked_sub(reserved) else {
            let accepted = format!(
                "at least {reserved:?}: settle {settle:?} + hooks {hooks:?} + margin {margin:?}"
            );
            return Err(ConfigError::new("grace", format!("{grace:?}"), accepted));
        };
        Ok(Self {
            grace,
            settle,
            drain,
            hooks,
            margin,
        })
    }

    /// From the signal to the moment when the platform kills the process.
    #[must_use]
    pub fn grace(&self) -> Duration {
        self.grace
    }

    /// How long everything is still served after the signal.
    #[must_use]
    pub fn settle(&self) -> Duration {
        self.settle
    }

    /// How long what is in flight may take after the settle.
    #[must_use]
    pub fn drain(&self) -> Duration {
        self.drain
    }

    /// What flushing and hooks have, also after a drain that took all its time.
    #[must_use]
    pub fn hooks(&self) -> Duration {
        self.hooks
    }

    /// What is kept back for the exit.
    #[must_use]
    pub fn margin(&self) -> Duration {
        self.margin
    }
}
