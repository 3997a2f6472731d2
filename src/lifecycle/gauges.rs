//! The metrics that need a look.
//!
//! Floor 5.

use crate::lifecycle::handle::LifecycleHandle;
use crate::telemetry::drain_marks::Cut;
use crate::telemetry::names::{
    DrainSeconds, OldestRequestSeconds, Phase, Requests, RequestsInFlight, ShutdownSeconds,
    SocketsUpgraded, Tasks,
};
use crate::telemetry::record::{reach, set};

impl LifecycleHandle {
    /// Brings up to date what is not recorded as it happens, because counting it twice would cost
    /// every request: requests by outcome and in flight, the oldest one's age, sockets, tasks,
    /// phase, the times of the shutdown.
    ///
    /// For the handler that is scraped, right before it renders, or for the tick of an exporter
    /// that pushes; [`Lifecycle::run`](crate::lifecycle::Lifecycle::run) calls it as well before
    /// the hooks and at its end, for exporters that are flushed then. As
    /// [`status`](Self::status), it looks at every request in flight.
    ///
    /// A request that is turned away while this looks may be counted the next time only; at rest
    /// all of it is exact.
    pub fn record_metrics(&self) {
        let (in_flight, marks) = (self.in_flight(), self.drain_marks());
        // Who is turned away, or overruns, is counted so before it ends: of the ended, none is missed.
        let ended = in_flight.ended();
        let rejected = self.watch().rejected();
        let overran = self.watch().overran();
        let Cut { served, aborted } = marks.cut().unwrap_or(Cut {
            served: ended.saturating_sub(rejected + overran),
            aborted: 0,
        });
        reach(Requests::Served, served);
        reach(Requests::Rejected, rejected);
        reach(Requests::Overran, overran);
        reach(Requests::Aborted, aborted);
        let oldest = in_flight.oldest();
        set(RequestsInFlight::Now, in_flight.count() as f64);
        set(OldestRequestSeconds::Now, oldest.as_secs_f64());
        set(SocketsUpgraded::Now, self.connections().upgraded() as f64);
        set(Tasks::Now, self.tasks().count() as f64);
        set(Phase::Now, f64::from(self.phase() as u8));
        let since = self.asked_to_stop().map(|at| at.elapsed());
        let since = since.unwrap_or_default();
        set(ShutdownSeconds::Now, since.as_secs_f64());
        set(DrainSeconds::Now, marks.drain_seconds());
    }
}
