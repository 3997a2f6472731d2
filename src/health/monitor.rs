//! Runs the checks in the background and keeps what they amount to.
//!
//! Floor 3.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::health::policy::{CheckClass, CheckPolicy};
use crate::health::verdict::{Run, Status, Verdict};
use crate::lifecycle::check::HealthCheck;
use crate::lifecycle::guarded::{AbortOnDrop, Ended};

/// One run of a check.
type Task = AbortOnDrop<Result<(), String>>;

/// All checks of an instance, with their verdicts. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Monitor {
    checks: Arc<[Watched]>,
}

struct Watched {
    check: Arc<dyn HealthCheck>,
    // Asked for once: of somebody else's code only `check` runs from then on, in a task of its own.
    name: Box<str>,
    class: CheckClass,
    policy: CheckPolicy,
    verdict: Mutex<Verdict>,
}

/// One check as probes show it.
#[derive(Debug, Clone)]
pub(crate) struct CheckView<'a> {
    pub(crate) name: &'a str,
    pub(crate) status: Status,
    pub(crate) output: Option<&'static str>,
}

impl Monitor {
    /// # Panics
    /// Where a check's name, class or policy does.
    pub(crate) fn new(checks: Vec<Arc<dyn HealthCheck>>) -> Self {
        let watched = |check: Arc<dyn HealthCheck>| Watched {
            name: check.name().into(),
            class: check.class(),
            policy: check.policy(),
            check,
            verdict: Mutex::new(Verdict::UNKNOWN),
        };
        Self {
            checks: checks.into_iter().map(watched).collect(),
        }
    }

    /// Runs every check, each in a task of its own, until the set is dropped.
    pub(crate) fn start(&self) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        for index in 0..self.checks.len() {
            let checks = self.checks.clone();
            tasks.spawn(async move {
                // The index comes from the same slice.
                checks[index].keep_checking().await;
            });
        }
        tasks
    }

    /// What the checks say now. Waits for nothing but a lock that is never held across an await.
    pub(crate) fn views(&self) -> Vec<CheckView<'_>> {
        self.checks.iter().map(Watched::view).collect()
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.views()).finish()
    }
}

impl Watched {
    async fn keep_checking(&self) {
        // A run that was told to end and has not: it blocks its thread.
        let mut left_behind: Option<Task> = None;
        loop {
            let deadline = Instant::now() + self.policy.timeout;
            if let Some(task) = &mut left_behind {
                // None begins beside it, for each would block one more thread of the runtime. But
                // it is out of time as often as they would have been.
                if !task.is_gone_by(deadline).await {
                    tokio::time::sleep(self.record(Run::TimedOut, None)).await;
                    continue;
                }
                left_behind = None;
            }
            let check = self.check.clone();
            // The error becomes text there too, for that is somebody else's code as well.
            let mut task = AbortOnDrop(tokio::spawn(async move {
                check.check().await.map_err(|error| error.to_string())
            }));
            let deadline = Instant::now() + self.policy.timeout;
            let (run, error) = match task.until(deadline).await {
                Ended::Returned(Ok(())) => (Run::Passed, None),
                Ended::Returned(Err(error)) => (Run::Failed, Some(error)),
                Ended::Panicked => (Run::Panicked, None),
                Ended::TimedOut => {
                    left_behind = Some(task);
                    (Run::TimedOut, None)
                }
            };
            tokio::time::sleep(self.record(run, error)).await;
        }
    }

    /// How long to wait until the next one.
    fn record(&self, run: Run, error: Option<String>) -> Duration {
        let mut verdict = self.verdict.lock().unwrap_or_else(PoisonError::into_inner);
        let first_failure = run != Run::Passed && !verdict.has_results();
        let changed = verdict.record(run, &self.policy);
        let pause = verdict.pause(&self.policy);
        // A log may block, and a probe is not to wait for it.
        drop(verdict);
        if changed || first_failure {
            let error = error.map(tracing::field::display);
            // One that panics is not to end the checking.
            let _ = catch_unwind(AssertUnwindSafe(|| {
                tracing::info!(check = &*self.name, result = ?run, error, "health changed");
            }));
        }
        pause
    }

    fn view(&self) -> CheckView<'_> {
        let verdict = *self.verdict.lock().unwrap_or_else(PoisonError::into_inner);
        CheckView {
            name: &self.name,
            status: verdict.status(self.class),
            output: verdict.output(),
        }
    }
}
