//! What is told of one acquisition while it lasts and when it ends: its span, and its metrics.
//!
//! Floor 1.

use tokio::time::Instant;
use tracing::Span;
use tracing::field::Empty;

use crate::lock::lease::{Claim, Lease};
use crate::lock::lock_key::KeyHash;
use crate::telemetry::lock_meter::LockMeter;
use crate::telemetry::names::{LockAcquires, LockWaitSeconds};
use crate::telemetry::stopwatch::Stopwatch;

/// A claim that is asked for. Whoever asks says how it ended; dropped before, it was given up.
pub(crate) struct Acquisition {
    meter: LockMeter,
    asked: Stopwatch,
    span: Span,
    /// None where nobody listens, and when all is told.
    since: Option<Instant>,
}

impl Acquisition {
    /// Formats and allocates nothing unless somebody is interested in the span.
    pub(crate) fn begin(claim: &Claim) -> Self {
        let Claim { key, meter, .. } = claim;
        let span = tracing::debug_span!(
            target: "tower_handoff::lock",
            "lock.acquire",
            lock = meter.name(),
            key_hash = %KeyHash(key),
            wait_ms = Empty,
            fence = Empty,
            path = Empty,
            outcome = Empty,
        );
        Self {
            meter: *meter,
            asked: Stopwatch::start(),
            since: (!span.is_disabled()).then(Instant::now),
            span,
        }
    }

    /// What happens meanwhile belongs into it.
    pub(crate) fn span(&self) -> Span {
        self.span.clone()
    }

    pub(crate) fn granted(mut self, lease: &Lease) {
        let path = lease.path().counted();
        self.meter.count(path);
        self.meter
            .observe(LockWaitSeconds::Each, self.asked.seconds());
        self.span.record("fence", lease.fence().get());
        self.span.record("path", path.value());
        self.ended(LockAcquires::Acquired);
    }

    pub(crate) fn refused(mut self, outcome: LockAcquires) {
        self.ended(outcome);
    }

    fn ended(&mut self, outcome: LockAcquires) {
        self.meter.count(outcome);
        self.tell(outcome.value());
    }

    fn tell(&mut self, outcome: &'static str) {
        if let Some(since) = self.since.take() {
            let waited = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.span.record("wait_ms", waited);
            self.span.record("outcome", outcome);
        }
    }
}

impl Drop for Acquisition {
    fn drop(&mut self) {
        self.tell("dropped");
    }
}
