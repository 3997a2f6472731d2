//! The connections that a lifecycle knows of.
//!
//! Floor 4.

use std::cmp::Reverse;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::task::Waker;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::in_flight::oldest::oldest;
use crate::in_flight::tracker::{Token, Tracker};
use crate::lifecycle::stop::Stop;
use crate::lifecycle::unfinished::{Stage, Unfinished};
use crate::lifecycle::watch::PhaseWatch;

/// What listeners and streams share with the drain.
#[derive(Debug)]
pub(crate) struct Connections {
    pub(crate) watch: PhaseWatch,
    /// The instance has been ready: clients were told to come.
    pub(crate) ready: AtomicBool,
    /// Listeners close their sockets.
    pub(crate) shut: Stop,
    /// The server lets go of its connections.
    pub(crate) stop: Stop,
    /// Somebody has begun to speak HTTP/2, for those who wait for their own first bytes.
    pub(crate) http2_found: Notify,
    /// Listeners that still take in, connections whose first request has not been counted yet, and
    /// those of HTTP/2 that are told to end: what was sent before GOAWAY came is on the way.
    pub(crate) intake: Tracker<()>,
    /// Listeners that have not heard that they shut, by their addresses.
    pub(crate) listening: Tracker<SocketAddr>,
    /// When nobody lingers any more: set when the instance begins to end.
    pub(crate) linger_until: OnceLock<Instant>,
    /// What the drain waits for: unsent answers, upgraded sockets.
    busy: Tracker<Socket>,
    /// Heads that are not whole, and handshakes. No handler has heard of them, so the drain waits a bounded time for
    /// them, and what it gives up of them is not cut off.
    heads: Tracker<Socket>,
    /// Connections of HTTP/2. Only the server knows which of them are at work, so the drain
    /// waits for the server, and names them when that was in vain.
    http2: Tracker<Socket>,
    /// Those on which nothing has been asked, and those that began when draining had, which get
    /// refusals at most: they are told to end, have a bounded time to do so, and nobody names them.
    aside: Tracker<Socket>,
    /// Who is woken when the connections are cut off.
    wakers: Tracker<Wakers>,
    given_up: AtomicBool,
    silent_given_up: AtomicBool,
    silent_named: AtomicUsize,
    cut: AtomicBool,
}

/// Of the silent that are given up.
const MOST_LOGGED: usize = 100;

#[derive(Debug)]
pub(crate) struct Socket {
    peer: Option<SocketAddr>,
    since: Instant,
    stage: Stage,
}

impl Socket {
    fn new(peer: Option<SocketAddr>, stage: Stage) -> Self {
        Self {
            peer,
            since: Instant::now(),
            stage,
        }
    }
}

/// The two halves of a socket may be in different tasks.
#[derive(Debug, Default)]
pub(crate) struct Wakers {
    read: Option<Waker>,
    write: Option<Waker>,
}

/// Which of them.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Half {
    Read,
    Write,
}

impl Connections {
    pub(crate) fn new(watch: PhaseWatch) -> Self {
        Self {
            watch,
            ready: AtomicBool::new(false),
            shut: Stop::new(),
            stop: Stop::new(),
            http2_found: Notify::new(),
            intake: Tracker::new(),
            listening: Tracker::new(),
            linger_until: OnceLock::new(),
            busy: Tracker::new(),
            http2: Tracker::new(),
            heads: Tracker::new(),
            aside: Tracker::new(),
            wakers: Tracker::new(),
            given_up: AtomicBool::new(false),
            silent_given_up: AtomicBool::new(false),
            silent_named: AtomicUsize::new(0),
            cut: AtomicBool::new(false),
        }
    }

    /// Lists a connection until the token is dropped.
    pub(crate) fn enter(&self, peer: Option<SocketAddr>, stage: Stage) -> Token<Socket> {
        let tracker = match stage {
            Stage::Http2 => self.http2,
            Stage::Head | Stage::Handshake => self.heads,
            _ => self.busy,
        };
        tracker.enter_as(Socket::new(peer, stage))
    }

    /// The same for one of HTTP/2 that is not waited for to the end.
    pub(crate) fn enter_aside(&self, peer: Option<SocketAddr>) -> Token<Socket> {
        self.aside.enter_as(Socket::new(peer, Stage::Http2))
    }

    /// Whether connections on which nothing is under way come to their end now.
    pub(crate) fn are_given_up(&self) -> bool {
        self.given_up.load(SeqCst)
    }

    /// Ends them: who waits there for the rest of a head or a handshake, on HTTP/2 for a first one, or
    /// for anything at all, fails.
    pub(crate) fn give_up(&self) {
        self.given_up.store(true, SeqCst);
        self.wake();
    }

    /// Whether connections of HTTP/2 whose peers have said nothing since they were told come to their
    /// end now.
    pub(crate) fn are_silent_given_up(&self) -> bool {
        self.silent_given_up.load(SeqCst)
    }

    /// Whether one of them may be named in the log. Not all: they end at one moment, and a thousand
    /// lines take their time.
    pub(crate) fn may_name_silent(&self) -> bool {
        self.silent_named.fetch_add(1, Relaxed) < MOST_LOGGED
    }

    /// Ends them likewise.
    pub(crate) fn give_up_silent(&self) {
        self.silent_given_up.store(true, SeqCst);
        self.wake();
    }

    /// Whether connections come to their end now.
    pub(crate) fn are_cut(&self) -> bool {
        self.cut.load(SeqCst)
    }

    /// Ends every connection: what reads or writes on it fails.
    pub(crate) fn cut(&self) {
        self.cut.store(true, SeqCst);
        self.wake();
    }

    /// After what they are woken for was said. A stream leaves its waker before it asks. So either
    /// its waker is found here, or it sees what was said.
    fn wake(&self) {
        let wakers = self
            .wakers
            .list(|Wakers { read, write }| [read.clone(), write.clone()]);
        wakers.into_iter().flatten().flatten().for_each(Waker::wake);
    }

    /// Has `waker` woken by [`cut`](Self::cut) and [`give_up`](Self::give_up); `place` is where the
    /// stream keeps its own.
    pub(crate) fn wake_at_cut(&self, place: &mut Option<Token<Wakers>>, half: Half, waker: Waker) {
        let token = place.get_or_insert_with(|| self.wakers.enter_as(Wakers::default()));
        // Dropped when the list is free again: it may be all that is left of a task.
        let mut former = None;
        token.update(|wakers| {
            let slot = match half {
                Half::Read => &mut wakers.read,
                Half::Write => &mut wakers.write,
            };
            former = slot.replace(waker);
        });
        drop(former);
    }

    pub(crate) fn are_idle(&self) -> bool {
        self.busy.is_idle()
    }

    /// Waits until the drain has no connection to wait for. May be dropped at any time.
    pub(crate) fn idle(&self) -> impl Future<Output = ()> + Send + use<> {
        self.busy.idle()
    }

    /// Waits until no head or handshake is left that has begun and is not whole. May be dropped at any time.
    pub(crate) fn without_heads(&self) -> impl Future<Output = ()> + Send + use<> {
        self.heads.idle()
    }

    /// Waits until no connection of HTTP/2 is open. May be dropped at any time.
    pub(crate) fn without_http2(&self) -> impl Future<Output = ()> + Send + use<> {
        let (http2, aside) = (self.http2, self.aside);
        async move {
            // A first request moves it there.
            aside.idle().await;
            http2.idle().await;
        }
    }

    /// How many sockets have been upgraded and are open.
    pub(crate) fn upgraded(&self) -> u64 {
        let upgraded = self.busy.list(|socket| socket.stage == Stage::Upgraded);
        upgraded.into_iter().map(u64::from).sum()
    }

    /// How many the drain waits for.
    pub(crate) fn busy_count(&self) -> u64 {
        self.busy.count()
    }

    /// The oldest `most` of those, oldest first.
    pub(crate) fn busy(&self, most: usize) -> Vec<Unfinished> {
        named(self.busy, most)
    }

    /// The oldest `most` heads and handshakes that are not whole, likewise.
    pub(crate) fn heads(&self, most: usize) -> Vec<Unfinished> {
        named(self.heads, most)
    }

    /// Both, likewise.
    pub(crate) fn waited_for(&self, most: usize) -> Vec<Unfinished> {
        let mut all = self.busy(most);
        all.extend(self.heads(most));
        all.sort_by_key(|one| Reverse(one.age));
        all.truncate(most);
        all
    }

    /// How many connections of HTTP/2 are open that have been asked for something.
    pub(crate) fn http2_count(&self) -> u64 {
        self.http2.count()
    }

    /// The oldest `most` of those, likewise.
    pub(crate) fn http2(&self, most: usize) -> Vec<Unfinished> {
        named(self.http2, most)
    }
}

fn named(tracker: Tracker<Socket>, most: usize) -> Vec<Unfinished> {
    let now = Instant::now();
    let unfinished = |socket: &Socket| Unfinished {
        method: None,
        route: None,
        path: None,
        request_id: None,
        name: None,
        peer: socket.peer,
        age: now.saturating_duration_since(socket.since),
        stage: socket.stage,
    };
    oldest(tracker, most, |socket| socket.since, unfinished)
}
