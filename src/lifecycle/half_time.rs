//! The warning when half of the drain is over.
//!
//! Floor 5.

use tokio::time::Instant;

use crate::lifecycle::handle::LifecycleHandle;

/// While there is time to look into it: in the report it stands when all is over.
pub(crate) fn name_who_is_late(handle: &LifecycleHandle, deadline: Instant) {
    const MOST: usize = 10;
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return;
    }
    let (in_flight, tasks, sockets) = (handle.in_flight(), handle.tasks(), handle.connections());
    // Before the server is told to stop, connections of HTTP/2 are there because they may be.
    let stops = sockets.stop.is_said();
    let http2 = if stops { sockets.http2_count() } else { 0 };
    let counts = [
        in_flight.count(),
        sockets.busy_count(),
        tasks.count(),
        http2,
    ];
    // Then it is the server that does not end, or heads, for a second at most.
    if counts == [0; 4] && !stops {
        return;
    }
    tracing::warn!(
        ?left,
        in_flight = counts[0],
        connections = counts[1],
        tasks = counts[2],
        http2,
        server_stops = stops,
        "half of the drain's time is over"
    );
    let mut all = in_flight.oldest_requests(MOST);
    all.extend(tasks.list(MOST));
    all.extend(sockets.busy(MOST));
    if stops {
        all.extend(sockets.http2(MOST));
    }
    for unfinished in all.iter().take(MOST) {
        tracing::warn!(?unfinished, "half of the drain's time is over");
    }
}
