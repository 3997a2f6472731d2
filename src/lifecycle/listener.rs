//! A listener that lets go without losing anybody.
//!
//! Floor 4.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use crate::in_flight::tracker::Token;
use crate::lifecycle::connections::Connections;
use crate::lifecycle::phase::Phase;
use crate::lifecycle::stream::TrackedStream;

/// Takes connections in until the settle is over.
///
/// Then it takes in every connection that the kernel has accepted (16384 at most), closes the
/// socket, hands those connections out and ends; draining begins when they have been served once. A listener that is
/// merely dropped resets them all: their clients had been told that they are connected.
///
/// This happens inside [`accept`](Self::accept), so somebody must be in it. A loop that bounds its
/// connections by a semaphore takes the permit after `accept`, not before: one that waits for it
/// outside, with every permit given away, leaves the socket open, and the kernel goes on taking clients
/// in whom nobody serves. Half a second after the settle a warning names the listener's address then
/// (where half of the drain is shorter, there is none); another one does when it is dropped with its
/// socket open before draining begins, as by a server that ends by another sign than
/// [`stop_accepting`](crate::lifecycle::LifecycleHandle::stop_accepting).
#[derive(Debug)]
pub struct TrackedListener {
    socket: Socket,
    /// What was taken in when the socket was about to close.
    queue: VecDeque<(std::net::TcpStream, SocketAddr)>,
    address: SocketAddr,
    connections: Arc<Connections>,
    /// The drain waits until every listener has closed its socket and emptied its queue.
    open: Option<Token<()>>,
    /// There until it hears of the settle's end.
    listening: Option<Token<SocketAddr>>,
}

#[derive(Debug)]
enum Socket {
    Open(TcpListener),
    /// No longer waited at, and its queue not empty.
    Closing(std::net::TcpListener),
    Closed,
}

/// More than any kernel queues by default; a bound all the same.
const MOST_QUEUED: usize = 16_384;

/// Between two looks at a queue that could not be emptied.
const PAUSE: Duration = Duration::from_millis(20);

impl TrackedListener {
    pub(crate) fn new(tcp: TcpListener, connections: Arc<Connections>) -> Self {
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        let address = tcp.local_addr().unwrap_or(unknown);
        Self {
            address,
            listening: Some(connections.listening.enter_as(address)),
            socket: Socket::Open(tcp),
            queue: VecDeque::new(),
            open: Some(connections.intake.enter()),
            connections,
        }
    }

    /// The next connection; none when the socket is closed and its queue empty.
    ///
    /// Errors are logged and waited out (a process without free descriptors tries again every
    /// 250 ms, and at the end of the settle every 20 ms until draining begins). Cancel safe: no
    /// connection is lost when the future is dropped.
    pub async fn accept(&mut self) -> Option<(TrackedStream, SocketAddr)> {
        loop {
            if let Some((stream, peer)) = self.queue.pop_front() {
                match TcpStream::from_std(stream) {
                    Ok(io) => return Some(self.tracked(io, peer)),
                    Err(error) => tracing::warn!(%error, "a queued connection was dropped"),
                }
                continue;
            }
            let accepted = match &self.socket {
                Socket::Open(tcp) => tokio::select! {
                    biased;
                    () = self.connections.shut.reached() => {
                        self.close();
                        continue;
                    }
                    accepted = tcp.accept() => accepted,
                },
                Socket::Closing(_) => {
                    self.take_in();
                    if self.queue.is_empty() && matches!(self.socket, Socket::Closing(_)) {
                        let pause = tokio::time::sleep(PAUSE);
                        let draining = self.connections.watch.reached(Phase::Draining);
                        tokio::select! {
                            () = pause => {}
                            () = draining => {}
                        }
                    }
                    continue;
                }
                Socket::Closed => {
                    self.open = None;
                    return None;
                }
            };
            match accepted {
                Ok((io, peer)) => return Some(self.tracked(io, peer)),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::error!(%error, "accept failed");
                    let pause = tokio::time::sleep(Duration::from_millis(250));
                    tokio::select! {
                        () = pause => {}
                        () = self.connections.shut.reached() => {}
                    }
                }
            }
        }
    }

    /// The address it was bound to, also after the socket is closed.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    fn tracked(&self, io: TcpStream, peer: SocketAddr) -> (TrackedStream, SocketAddr) {
        let connections = self.connections.clone();
        (TrackedStream::new(io, Some(peer), connections), peer)
    }

    /// Waits at the socket no longer.
    fn close(&mut self) {
        self.listening = None;
        let Socket::Open(tcp) = std::mem::replace(&mut self.socket, Socket::Closed) else {
            return;
        };
        // The plain socket asks the kernel. tokio's would say "nothing there" whenever its
        // reactor has not heard of a connection yet.
        match tcp.into_std() {
            Ok(tcp) => self.socket = Socket::Closing(tcp),
            Err(error) => tracing::error!(%error, "the accept queue could not be emptied"),
        }
    }

    /// Takes the queue over, and closes the socket when that was all of it. Where it fails, for want
    /// of descriptors as a rule, the socket stays as long as the drain waits for it: to close it
    /// would reset who is left, and what has been taken in frees descriptors when it is served.
    fn take_in(&mut self) {
        let Socket::Closing(tcp) = &self.socket else {
            return;
        };
        while self.queue.len() < MOST_QUEUED {
            match tcp.accept() {
                Ok((stream, peer)) => match stream.set_nonblocking(true) {
                    Ok(()) => self.queue.push_back((stream, peer)),
                    Err(error) => tracing::warn!(%error, "a queued connection was dropped"),
                },
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if self.connections.watch.current() < Phase::Draining => {
                    tracing::debug!(%error, "the accept queue is not empty yet");
                    return;
                }
                Err(error) => {
                    tracing::error!(%error, "the accept queue could not be emptied");
                    break;
                }
            }
        }
        tracing::debug!(address = %self.address, queued = self.queue.len(), "listener closed");
        self.socket = Socket::Closed;
    }
}

impl Drop for TrackedListener {
    fn drop(&mut self) {
        // Before that nobody is told to come, and afterwards the drain has said it.
        let phase = self.connections.watch.current();
        let serves = self.connections.ready.load(SeqCst) && phase < Phase::Draining;
        if serves && !matches!(self.socket, Socket::Closed) {
            tracing::warn!(
                address = %self.address,
                ?phase,
                "a listener was dropped before the settle's end: whoever waits in its queue is reset, \
                 and who connects is refused. Let its server end by stop_accepting()"
            );
        }
    }
}

/// The client went away before it was taken in; the next one is as good as any.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}
