//! What runs at the end.
//!
//! Floor 3.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::BoxError;
use crate::lifecycle::check::BoxFuture;
use crate::lifecycle::guarded::{Ended, run_guarded};
use crate::lifecycle::managed::Managed;
use crate::lifecycle::report::{HookOutcome, HookReport};
use crate::telemetry::names::Hooks;
use crate::telemetry::record::count;

/// One hook of the application's.
pub(crate) struct Hook {
    pub(crate) name: Arc<str>,
    pub(crate) timeout: Duration,
    pub(crate) work: Box<dyn FnOnce() -> BoxFuture<'static, Result<(), BoxError>> + Send>,
}

/// What the hooks may take together.
pub(crate) fn total_timeout(hooks: &[Hook]) -> Duration {
    let timeouts = hooks.iter().map(|hook| hook.timeout);
    timeouts.fold(Duration::ZERO, Duration::saturating_add)
}

/// Flushes the managed parts, then runs the hooks, each after the one before has ended.
///
/// All of it ends at `time` from now. Flushes get what the hooks' own timeouts leave, at least
/// half of it, each an even share of what the ones before have left; a hook gets its timeout, or
/// what is left.
pub(crate) async fn run_all(
    managed: &[Arc<dyn Managed>],
    hooks: Vec<Hook>,
    time: Duration,
) -> Vec<HookReport> {
    let begun = Instant::now();
    let wanted = total_timeout(&hooks);
    let flushed_by = begun + (time - wanted.min(time / 2));
    let ends = begun + time;

    let mut reports = Vec::with_capacity(managed.len() + hooks.len());
    for (part, left) in managed.iter().zip((1..=managed.len()).rev()) {
        let name = Arc::from(part.name());
        let part = part.clone();
        let flush = async move { part.flush().await };
        reports.push(run_one(name, flush, share(flushed_by, left)).await);
    }
    for Hook {
        name,
        timeout,
        work,
    } in hooks
    {
        let deadline = ends.min(Instant::now() + timeout.min(time));
        // Called inside the task, so that a panic of the closure itself is kept in too.
        let work = async move { work().await };
        reports.push(run_one(name, work, deadline).await);
    }
    reports
}

/// Until when one of so many that are left may take, so that one that hangs leaves the others
/// their time.
fn share(ends: Instant, left: usize) -> Instant {
    let now = Instant::now();
    let left = u32::try_from(left).unwrap_or(u32::MAX);
    now + ends.saturating_duration_since(now) / left
}

/// Closes the managed parts, in order, until `deadline`; each has an even share of what is left.
pub(crate) async fn close_all(managed: &[Arc<dyn Managed>], deadline: Instant) {
    for (part, left) in managed.iter().zip((1..=managed.len()).rev()) {
        let closing = part.clone();
        let closing = async move { closing.close().await };
        match run_guarded(closing, share(deadline, left)).await {
            Ended::Returned(()) => {}
            ended => tracing::warn!(name = part.name(), ?ended, "closing did not end well"),
        }
    }
}

async fn run_one(
    name: Arc<str>,
    work: impl Future<Output = Result<(), BoxError>> + Send + 'static,
    deadline: Instant,
) -> HookReport {
    let begun = Instant::now();
    let outcome = match run_guarded(work, deadline).await {
        Ended::Returned(Ok(())) => HookOutcome::Done,
        Ended::Returned(Err(error)) => {
            tracing::error!(%name, %error, "hook failed");
            HookOutcome::Failed
        }
        Ended::Panicked => {
            tracing::error!(%name, "hook panicked");
            HookOutcome::Failed
        }
        Ended::TimedOut => {
            tracing::error!(%name, "hook was cut off");
            HookOutcome::TimedOut
        }
    };
    count(match outcome {
        HookOutcome::Done => Hooks::Done,
        HookOutcome::Failed => Hooks::Failed,
        HookOutcome::TimedOut => Hooks::TimedOut,
    });
    HookReport {
        name,
        outcome,
        took: begun.elapsed(),
    }
}
