//! What the drain waits for, and how long.
//!
//! Floor 5.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use crate::lifecycle::handle::LifecycleHandle;

/// How long the gate stays open for heads that are not whole, and for connections on which nothing
/// has been answered yet: for a first request that is on the way, and for HTTP/2 that has been told
/// and not ended. A client that opened a connection in reserve sends none, and a stream may be long.
const INTAKE_WAIT: Duration = Duration::from_millis(500);

/// How long the drain waits, when all else is over, for the rest of heads; and then, for connections
/// of HTTP/2 without a request that have been told to end.
const HEAD_WAIT: Duration = Duration::from_secs(1);

/// How long a peer on HTTP/2 that was served has, when all else is over and it is told to end, for the
/// first byte of what it says to that: hyper's goodbye has a `PING` with it. Who is alive has more, and
/// where there is less than [`HEAD_WAIT`] nobody can say who is.
const PONG_WAIT: Duration = Duration::from_secs(15);

impl LifecycleHandle {
    /// Waits for what the listeners have taken in, and for the rest of heads that have begun, not
    /// beyond `last`: a client whose connect was not refused cannot know that it came last, and a load
    /// balancer must not repeat a `POST` that was answered, 503 or not. May be dropped at any time.
    pub(crate) async fn taken_in(&self, last: Instant) {
        let whole = Instant::now() + INTAKE_WAIT;
        let connections = self.connections();
        let taken_in = async {
            connections.intake.idle().await;
            connections.without_heads().await;
        };
        let in_time = timeout_at(whole.min(last), taken_in).await.is_ok();
        if in_time || last < whole {
            // So short a drain may have left a good listener no time to hear of it.
            return;
        }
        for address in connections.listening.list(|address| *address) {
            tracing::warn!(
                %address,
                "the settle is over, and nobody is in accept() of a listener: its socket stays open, \
                 and whoever connects is not served but reset in the end. Call accept() until it \
                 returns none"
            );
        }
    }

    /// [`quiet`](Self::quiet), and some time for the rest of heads, not beyond `last`: what no handler
    /// has heard of, and the gate would refuse, is not to hold a drain. May be dropped at any time.
    pub(crate) async fn quiet_with_heads(&self, last: Instant) {
        self.quiet().await;
        let last = last.min(Instant::now() + HEAD_WAIT);
        let _ = timeout_at(last, self.connections().without_heads()).await;
        self.quiet().await;
    }

    /// When the server has been told to stop: gives connections up that would hold it though nothing is
    /// under way on them, for each time enough to end well; half of what is left before `deadline` at
    /// most, so that the server has the other half for its own end. May be dropped at any time.
    pub(crate) async fn parted(&self, deadline: Instant) {
        let (connections, now) = (self.connections(), Instant::now());
        let half = deadline.saturating_duration_since(now) / 2;
        let last = now + HEAD_WAIT.min(half);
        let _ = timeout_at(last, connections.without_http2()).await;
        connections.give_up();
        if half >= HEAD_WAIT {
            sleep_until(now + PONG_WAIT.min(half)).await;
            connections.give_up_silent();
        }
    }

    /// Waits until nothing is under way. May be dropped at any time.
    pub(crate) async fn quiet(&self) {
        let (in_flight, tasks, connections) = (self.in_flight(), self.tasks(), self.connections());
        // In this order, because a request turns into a task, never the other way round: nothing is
        // missed between two looks. What a request leaves on its connection, unsent bytes or an upgraded
        // socket, shows a moment after the request has ended, so the drain asks again when the server
        // has ended.
        loop {
            connections.idle().await;
            in_flight.idle().await;
            tasks.idle().await;
            if connections.are_idle() && in_flight.is_idle() && tasks.is_idle() {
                return;
            }
        }
    }
}
