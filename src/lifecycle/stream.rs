//! A connection that has been taken in.
//!
//! Floor 4.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::in_flight::tracker::Token;
use crate::lifecycle::connections::{Connections, Half, Socket, Wakers};
use crate::lifecycle::phase::Phase;
use crate::lifecycle::talk::Talk;
use crate::lifecycle::unfinished::Stage;

/// A connection that the drain knows: what a [`TrackedListener`](crate::lifecycle::TrackedListener)
/// took in, or what was given to [`wrap_io`](crate::lifecycle::LifecycleHandle::wrap_io).
///
/// It looks at the first bytes of what passes. While the head of a request is not whole, while
/// the socket takes no more of an answer, and after an upgrade (WebSocket), the drain waits for
/// the connection as it does for a request. When the drain's time is over, the connection ends,
/// whoever holds it: reads find the end of the stream and writes fail. A keep-alive connection
/// without a request is not waited for.
///
/// Until its first request has reached the service, the gate stays open for it a little when the
/// settle is over: the request may be on the way, or read and not yet counted.
///
/// It costs some 200 bytes a connection, a few branches for each read and write, and nothing
/// allocated; the list is touched only in the stages above, and once when the connection first
/// waits.
pub struct TrackedStream<Io = TcpStream> {
    io: Io,
    peer: Option<SocketAddr>,
    connections: Arc<Connections>,
    talk: Talk,
    /// Given up once the first request was counted: at the first byte written, or at the first
    /// flush after its head was read, which hyper does right after it has called the service.
    fresh: Option<Token<()>>,
    /// There while the connection is in a stage that has a name.
    stage: Option<Token<Socket>>,
    /// Set by the connection's first bytes, read by `goodbye`.
    http2: Arc<AtomicBool>,
    wakers: Option<Token<Wakers>>,
    /// The reader's waker that stands in `wakers`, so that it goes there once and not each time.
    reader: Option<Waker>,
}

impl<Io> TrackedStream<Io> {
    pub(crate) fn new(io: Io, peer: Option<SocketAddr>, connections: Arc<Connections>) -> Self {
        Self {
            io,
            peer,
            talk: Talk::new(),
            fresh: Some(connections.intake.enter()),
            stage: None,
            http2: Arc::default(),
            wakers: None,
            reader: None,
            connections,
        }
    }

    /// Resolves when the connection should be told to end, which hyper calls
    /// `graceful_shutdown`: on HTTP/2 when draining begins, so that the client gets GOAWAY;
    /// on HTTP/1, where idle connections are just closed, only when accepting stops.
    ///
    /// Take it before the stream goes into the server. Below TLS every connection counts as
    /// HTTP/1, and so does one whose first bytes had not come when draining began: it is told
    /// later, never too early.
    pub fn goodbye(&self) -> impl Future<Output = ()> + Send + use<Io> {
        let (connections, http2) = (self.connections.clone(), self.http2.clone());
        async move {
            connections.watch.reached(Phase::Draining).await;
            if !http2.load(SeqCst) {
                connections.stop.reached().await;
            }
        }
    }

    fn enter(&mut self, stage: Stage) {
        self.stage = Some(self.connections.enter(self.peer, stage));
    }

    fn has_read(&mut self, bytes: &[u8]) {
        self.talk.read(bytes);
        if self.talk == Talk::Http2 && self.stage.is_none() {
            self.http2.store(true, SeqCst);
            self.enter(Stage::Http2);
        }
    }

    /// Nothing to read. Whether the connection is cut off.
    fn waits_for_bytes(&mut self, cx: &Context<'_>) -> bool {
        if self.stage.is_none() && self.talk.in_head() {
            self.enter(Stage::Head);
        }
        let waker = cx.waker();
        if !self.reader.as_ref().is_some_and(|own| own.will_wake(waker)) {
            self.reader = Some(waker.clone());
            let (place, waker) = (&mut self.wakers, waker.clone());
            self.connections.wake_at_cut(place, Half::Read, waker);
        }
        self.connections.are_cut()
    }

    /// Bytes are about to go out.
    fn writes(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.connections.are_cut() {
            return Err(cut_off());
        }
        let before = self.talk;
        self.talk.write(bytes);
        if self.talk == Talk::Upgraded && before != Talk::Upgraded {
            // Before the peer can know.
            self.enter(Stage::Upgraded);
        }
        Ok(())
    }

    fn wrote(
        &mut self,
        cx: &Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.fresh = None;
            return written;
        }
        self.waits_for_room(cx)?;
        Poll::Pending
    }

    /// The socket takes nothing, or has not sent what it took.
    fn waits_for_room(&mut self, cx: &Context<'_>) -> io::Result<()> {
        if self.stage.is_none() {
            self.enter(Stage::Unsent);
        }
        let (place, waker) = (&mut self.wakers, cx.waker().clone());
        self.connections.wake_at_cut(place, Half::Write, waker);
        if self.connections.are_cut() {
            return Err(cut_off());
        }
        Ok(())
    }
}

impl TrackedStream<TcpStream> {
    /// The TCP stream, to set its options.
    #[must_use]
    pub fn tcp(&self) -> &TcpStream {
        &self.io
    }
}

fn cut_off() -> io::Error {
    let text = "cut off: the drain's time is over";
    io::Error::new(io::ErrorKind::ConnectionAborted, text)
}

impl<Io: AsyncRead + Unpin> AsyncRead for TrackedStream<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.connections.are_cut() {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut this.io).poll_read(cx, buf);
        match &read {
            Poll::Ready(Ok(())) => this.has_read(&buf.filled()[before..]),
            Poll::Pending if this.waits_for_bytes(cx) => return Poll::Ready(Ok(())),
            _ => {}
        }
        read
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for TrackedStream<Io> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writes(buf)?;
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.wrote(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = bufs.iter().find(|buf| !buf.is_empty());
        self.writes(first.map_or(&[], |buf| buf))?;
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.wrote(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.connections.are_cut() {
            return Poll::Ready(Err(cut_off()));
        }
        // All is written, and the service has been called for what was read whole.
        self.talk.flush();
        let asked = self.talk.is_asked();
        if asked {
            self.fresh = None;
        }
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        if flushed.is_pending() {
            self.waits_for_room(cx)?;
        } else if asked && !matches!(self.talk, Talk::Upgraded | Talk::Http2) {
            self.stage = None;
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.io).poll_shutdown(cx);
        if shut.is_pending() && self.waits_for_room(cx).is_err() {
            return Poll::Ready(Ok(()));
        }
        shut
    }
}

impl<Io: fmt::Debug> fmt::Debug for TrackedStream<Io> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrackedStream")
            .field("io", &self.io)
            .field("talk", &self.talk)
            .finish_non_exhaustive()
    }
}
