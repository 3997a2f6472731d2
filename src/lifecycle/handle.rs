//! What a handler or a task holds of the lifecycle.
//!
//! Floor 5.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::in_flight::requests::InFlight;
use crate::lifecycle::connections::Connections;
use crate::lifecycle::listener::TrackedListener;
use crate::lifecycle::phase::Phase;
use crate::lifecycle::phase_log::PhaseLog;
use crate::lifecycle::stream::TrackedStream;
use crate::lifecycle::tasks::Tasks;
use crate::lifecycle::unfinished::{MOST_NAMED, Unfinished};
use crate::lifecycle::watch::{PhaseControl, PhaseWatch};
use crate::telemetry::drain_marks::DrainMarks;

/// The part of a [`Lifecycle`](crate::lifecycle::Lifecycle) that handlers and tasks use: begins
/// the shutdown, spawns what the drain waits for, tells the phase. Cheap to clone.
#[derive(Clone)]
pub struct LifecycleHandle {
    shared: Arc<Shared>,
}

struct Shared {
    instance: Box<str>,
    phases: PhaseControl,
    started: AtomicBool,
    in_flight: InFlight,
    tasks: Tasks,
    connections: Arc<Connections>,
    at_signal: OnceLock<AtSignal>,
    drain_marks: DrainMarks,
    log: PhaseLog,
}

/// How things stood when the shutdown was asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AtSignal {
    pub(crate) at: Instant,
    pub(crate) in_flight: u64,
    pub(crate) ended: u64,
    pub(crate) upgraded: u64,
    pub(crate) tasks: u64,
}

/// What the instance is doing now.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// The phase.
    pub phase: Phase,
    /// How many requests are in flight.
    pub in_flight: u64,
    /// Which, oldest first. A thousand at most.
    pub requests: Vec<Unfinished>,
    /// How many sockets have been upgraded (WebSockets) and are open.
    pub upgraded: u64,
    /// The connections that a drain would wait for, by their peers, oldest first: half-sent
    /// heads and handshakes, unsent answers, upgraded sockets. A thousand at most.
    pub connections: Vec<Unfinished>,
    /// The background tasks that run, oldest first. A thousand at most.
    pub tasks: Vec<Unfinished>,
}

impl LifecycleHandle {
    pub(crate) fn new(instance: Box<str>, grace: Duration) -> Self {
        let phases = PhaseControl::new();
        let shared = Shared {
            instance,
            connections: Arc::new(Connections::new(phases.watch())),
            phases,
            started: AtomicBool::new(false),
            in_flight: InFlight::new(),
            tasks: Tasks::new(),
            at_signal: OnceLock::new(),
            drain_marks: DrainMarks::default(),
            log: PhaseLog::new(grace),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Asks for the shutdown, as a signal does; the readiness probe says no from now on. Asking
    /// again changes nothing.
    ///
    /// Returns at once. [`Lifecycle::run`](crate::lifecycle::Lifecycle::run) does the rest; where
    /// it has not begun yet, it goes straight to the shutdown when it does.
    pub fn shutdown(&self) {
        self.begin_shutdown();
    }

    pub(crate) fn begin_shutdown(&self) -> AtSignal {
        let Shared {
            phases,
            in_flight,
            tasks,
            connections,
            at_signal,
            log,
            ..
        } = &*self.shared;
        // Noted before the phase moves, so whoever sees the phase finds the note.
        let noted = *at_signal.get_or_init(|| AtSignal {
            at: Instant::now(),
            in_flight: in_flight.count(),
            ended: in_flight.ended(),
            upgraded: connections.upgraded(),
            tasks: tasks.count(),
        });
        if phases.advanced(Phase::Settling) {
            log.begins(Phase::Settling, noted.in_flight, Some(noted.at));
        }
        noted
    }

    /// Spawns a background task that the drain waits for, under a name that `/status` and the
    /// report show.
    ///
    /// When the drain's time is over the task is dropped at its next await, and named in the
    /// report. A task that has no end of its own watches for
    /// [`Phase::Draining`](crate::lifecycle::Phase::Draining) and ends then. From phase `Stopping`
    /// on, in hooks for instance, nothing waits any more and the task is dropped at once. A panic
    /// ends the task and nothing else; the returned handle tells. Dropping that handle leaves the
    /// task running.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn spawn<F>(&self, name: impl Into<Arc<str>>, work: F) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.shared.tasks.spawn(self.watch(), name.into(), work)
    }

    /// A watch on the phase.
    #[must_use]
    pub fn watch(&self) -> PhaseWatch {
        self.shared.phases.watch()
    }

    /// The phase now.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.watch().current()
    }

    /// The requests in flight.
    #[must_use]
    pub fn in_flight(&self) -> InFlight {
        self.shared.in_flight
    }

    /// The name of this instance.
    #[must_use]
    pub fn instance_id(&self) -> &str {
        &self.shared.instance
    }

    /// What the instance is doing now. Looks at every request in flight: for people, not for
    /// every request. Lists a thousand of each kind at most.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            phase: self.phase(),
            in_flight: self.in_flight().count(),
            requests: self.in_flight().oldest_requests(MOST_NAMED),
            upgraded: self.shared.connections.upgraded(),
            connections: self.shared.connections.waited_for(MOST_NAMED),
            tasks: self.shared.tasks.list(MOST_NAMED),
        }
    }

    /// Resolves when the server should let go of its connections: when draining has begun and
    /// nothing is in flight any more, or the drain's time is over.
    ///
    /// Not before: a server that stops cuts idle keep-alive connections without an answer, and
    /// with them the requests that are on their way. Until then those get 503 with
    /// `Connection: close`.
    pub fn stop_accepting(&self) -> impl Future<Output = ()> + Send + use<> {
        self.shared.connections.stop.reached()
    }

    /// A listener that lets go without losing anybody, for a server with an accept loop.
    ///
    /// At the end of the settle the instance waits, up to 500 ms and half the drain at most, until
    /// every listener made here has closed its socket, what it took in has been answered once, and
    /// heads that have begun are whole; draining begins then. A listener in whose `accept` nobody is by
    /// then is warned of. Whom the kernel takes in between the last look at its queue and the end of the
    /// socket, which is microseconds, it resets: what sends nobody any more by then, as the settle is
    /// for, loses nobody.
    #[must_use]
    pub fn tcp_listener(&self, tcp: TcpListener) -> TrackedListener {
        TrackedListener::new(tcp, self.shared.connections.clone())
    }

    /// A connection that came in by another way than [`tcp_listener`](Self::tcp_listener), as the
    /// drain wants it: unsent answers and upgraded sockets are waited for, named by `peer`, and ended
    /// when the drain's time is over. Half-sent heads are [waited for less](TrackedStream).
    ///
    /// On a socket under TLS it sees unsent bytes and can end the connection; the rest it sees
    /// only where it goes around the TLS stream, and both may be wrapped.
    ///
    /// Where another protocol than HTTP or TLS is spoken and the client speaks first, its bytes may count
    /// as a head that is not whole, each time until something is written; and a connection on which
    /// nobody speaks counts as one in reserve until its server does. Who serves such a thing has
    /// [`spawn`](Self::spawn) for it, and leaves it unwrapped.
    pub fn wrap_io<Io>(&self, io: Io, peer: Option<SocketAddr>) -> TrackedStream<Io> {
        TrackedStream::new(io, peer, self.shared.connections.clone())
    }

    /// True once all start-up gates were open.
    #[must_use]
    pub fn has_started(&self) -> bool {
        self.shared.started.load(SeqCst)
    }

    pub(crate) fn started(&self) {
        self.shared.started.store(true, SeqCst);
        self.shared.connections.ready.store(true, SeqCst);
        self.advance(Phase::Ready);
    }

    pub(crate) fn advance(&self, phase: Phase) {
        if self.shared.phases.advanced(phase) {
            let in_flight = self.shared.in_flight.count();
            self.shared
                .log
                .begins(phase, in_flight, self.asked_to_stop());
        }
    }

    /// Listeners close their sockets.
    pub(crate) fn shut(&self) {
        self.shared.connections.shut.now();
    }

    pub(crate) fn stop(&self) {
        self.shared.connections.stop.now();
    }

    pub(crate) fn tasks(&self) -> Tasks {
        self.shared.tasks
    }

    pub(crate) fn connections(&self) -> &Connections {
        &self.shared.connections
    }

    pub(crate) fn drain_marks(&self) -> &DrainMarks {
        &self.shared.drain_marks
    }

    /// When the shutdown was asked for.
    pub(crate) fn asked_to_stop(&self) -> Option<Instant> {
        Some(self.shared.at_signal.get()?.at)
    }
}

impl fmt::Debug for LifecycleHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LifecycleHandle")
            .field("instance", &self.shared.instance)
            .field("phase", &self.phase())
            .field("in_flight", &self.in_flight().count())
            .finish_non_exhaustive()
    }
}
