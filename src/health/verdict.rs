//! What a check's results amount to.
//!
//! Floor 1.

use std::time::Duration;

use crate::health::policy::{CheckClass, CheckPolicy};

/// What a probe says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Status {
    Pass,
    Warn,
    Fail,
}

impl Status {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// How one run ended. The error's own text goes to the log, never to a probe's reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Run {
    Passed,
    Failed,
    TimedOut,
    Panicked,
}

/// The results so far, with hysteresis: one blip changes nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Verdict {
    last: Option<Run>,
    /// Results in a row that say the opposite of `passing`.
    against: u32,
    passing: bool,
    ever_passed: bool,
}

impl Verdict {
    pub(crate) const UNKNOWN: Self = Self {
        last: None,
        against: 0,
        passing: false,
        ever_passed: false,
    };

    /// Takes in one result; true when it changed whether the check counts as passing.
    pub(crate) fn record(&mut self, run: Run, policy: &CheckPolicy) -> bool {
        self.last = Some(run);
        let passed = run == Run::Passed;
        if passed == self.passing {
            self.against = 0;
            return false;
        }
        self.against = self.against.saturating_add(1);
        let needed = match (passed, self.ever_passed) {
            (false, _) => policy.fail_after,
            (true, true) => policy.pass_after,
            (true, false) => 1,
        };
        if self.against < needed {
            return false;
        }
        self.against = 0;
        self.passing = passed;
        self.ever_passed |= passed;
        true
    }

    /// Whether there is anything to go by.
    pub(crate) fn has_results(&self) -> bool {
        self.last.is_some()
    }

    /// How long until the next run.
    pub(crate) fn pause(&self, policy: &CheckPolicy) -> Duration {
        if self.passing && self.last == Some(Run::Passed) {
            policy.interval
        } else {
            policy.retry
        }
    }

    /// What this check means for readiness.
    pub(crate) fn status(&self, class: CheckClass) -> Status {
        if self.passing {
            return Status::Pass;
        }
        match class {
            CheckClass::Optional => Status::Warn,
            CheckClass::RequiredUntilFirstPass if self.ever_passed => Status::Warn,
            CheckClass::Required | CheckClass::RequiredUntilFirstPass => Status::Fail,
        }
    }

    /// Why it does not pass.
    pub(crate) fn output(&self) -> Option<&'static str> {
        if self.passing {
            return None;
        }
        Some(match self.last {
            None => "not checked yet",
            Some(Run::Passed) => "passes again, not yet for long enough",
            Some(Run::Failed) => "fails",
            Some(Run::TimedOut) => "does not answer in time",
            Some(Run::Panicked) => "panics",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_pass_lets_in_three_failures_put_out_and_two_passes_let_in_again() {
        let policy = CheckPolicy::default();
        let mut verdict = Verdict::UNKNOWN;
        let mut after = |run| {
            verdict.record(run, &policy);
            verdict.passing
        };
        assert!(!after(Run::Failed));
        assert!(after(Run::Passed));
        assert!(after(Run::Failed) && after(Run::Failed) && after(Run::Passed));
        assert!(after(Run::Failed) && after(Run::Failed) && !after(Run::TimedOut));
        assert!(!after(Run::Passed) && !after(Run::Panicked) && !after(Run::Passed));
        assert!(after(Run::Passed));
    }

    #[test]
    fn a_class_decides_what_a_failure_means() {
        let policy = CheckPolicy::default().fail_after(1);
        let classes = [
            CheckClass::Required,
            CheckClass::Optional,
            CheckClass::RequiredUntilFirstPass,
        ];
        let mut verdict = Verdict::UNKNOWN;
        let mut after = |run| {
            verdict.record(run, &policy);
            classes.map(|class| verdict.status(class))
        };
        let (pass, warn, fail) = (Status::Pass, Status::Warn, Status::Fail);
        assert_eq!(after(Run::Failed), [fail, warn, fail]);
        assert_eq!(after(Run::Passed), [pass, pass, pass]);
        assert_eq!(after(Run::Failed), [fail, warn, warn]);
    }
}
