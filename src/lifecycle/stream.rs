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
use crate::lifecycle::linger::Linger;
use crate::lifecycle::phase::Phase;
use crate::lifecycle::talk::Talk;
use crate::lifecycle::unfinished::Stage;

/// A connection that the drain knows: what a [`TrackedListener`](crate::lifecycle::TrackedListener)
/// took in, or what was given to [`wrap_io`](crate::lifecycle::LifecycleHandle::wrap_io).
///
/// It looks at the first bytes of what passes. While the head of a request is not whole, while
/// the socket takes no more of an answer, and after an upgrade (WebSocket), the drain waits for
/// the connection as it does for a request. When the drain's time is over, the connection ends,
/// whoever holds it: reads and writes fail with `ConnectionAborted`, so that nobody takes the cut
/// for the peer's own end. A keep-alive connection without a request is not waited for.
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
    /// The last request may have a body.
    uploads: bool,
    /// It was answered while the instance ends, so the rest of its body may still be on the way.
    last_word: bool,
    linger: Option<Box<Linger>>,
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
            uploads: false,
            last_word: false,
            linger: None,
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
        let before = self.talk;
        self.talk.read(bytes);
        if before != self.talk && matches!(before, Talk::New { .. } | Talk::Idle) {
            // POST, PUT, PATCH: what has a body.
            self.uploads = bytes.first() == Some(&b'P');
        }
        if self.talk == Talk::Http2 && self.stage.is_none() {
            self.http2.store(true, SeqCst);
            self.enter(Stage::Http2);
        }
    }

    /// There is nothing to read.
    fn waits_for_bytes(&mut self, cx: &Context<'_>) -> io::Result<()> {
        if self.stage.is_none() && self.talk.in_head() {
            self.enter(Stage::Head);
        }
        let waker = cx.waker();
        if !self.reader.as_ref().is_some_and(|own| own.will_wake(waker)) {
            self.reader = Some(waker.clone());
            let (place, waker) = (&mut self.wakers, waker.clone());
            self.connections.wake_at_cut(place, Half::Read, waker);
        }
        self.is_not_cut()
    }

    /// Bytes are about to go out.
    fn writes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.is_not_cut()?;
        let before = self.talk;
        self.talk.write(bytes);
        if self.talk == Talk::Upgraded && before != Talk::Upgraded {
            // Before the peer can know.
            self.enter(Stage::Upgraded);
        }
        if self.uploads && self.talk != before {
            self.last_word = self.connections.watch.current() >= Phase::Settling;
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
        self.is_not_cut()
    }

    fn is_not_cut(&self) -> io::Result<()> {
        if !self.connections.are_cut() {
            return Ok(());
        }
        let text = "cut off: the drain's time is over";
        Err(io::Error::new(io::ErrorKind::ConnectionAborted, text))
    }
}

impl TrackedStream<TcpStream> {
    /// The TCP stream, to set its options.
    #[must_use]
    pub fn tcp(&self) -> &TcpStream {
        &self.io
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for TrackedStream<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.is_not_cut()?;
        let before = buf.filled().len();
        let read = Pin::new(&mut this.io).poll_read(cx, buf);
        match &read {
            Poll::Ready(Ok(())) => this.has_read(&buf.filled()[before..]),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => this.waits_for_bytes(cx)?,
        }
        read
    }
}

impl<Io: AsyncRead + Unpin> TrackedStream<Io> {
    /// The peer has sent, or is sending, what nobody will read.
    fn has_unread(&mut self, cx: &mut Context<'_>) -> bool {
        let mut byte = [0];
        let mut byte = ReadBuf::new(&mut byte);
        let read = Pin::new(&mut self.io).poll_read(cx, &mut byte);
        match read {
            Poll::Ready(_) => !byte.filled().is_empty(),
            Poll::Pending => self.last_word,
        }
    }
}

impl<Io: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TrackedStream<Io> {
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
        self.is_not_cut()?;
        // All is written, and the service has been called for what was read whole.
        self.talk.flush();
        let handed_over = self.talk.is_handed_over();
        if handed_over {
            self.fresh = None;
        }
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        if flushed.is_pending() {
            self.waits_for_room(cx)?;
        } else if handed_over && !matches!(self.talk, Talk::Upgraded | Talk::Http2) {
            self.stage = None;
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let mut shut = Poll::Ready(Ok(()));
        if this.linger.is_none() {
            shut = Pin::new(&mut this.io).poll_shutdown(cx);
            // Only while the instance ends is it the instance that turns requests away.
            let ends = this.connections.watch.current() >= Phase::Settling;
            if ends && matches!(shut, Poll::Ready(Ok(()))) && this.has_unread(cx) {
                this.linger = Some(Box::new(Linger::new()));
            }
        }
        if let Some(linger) = &mut this.linger {
            shut = linger.poll(Pin::new(&mut this.io), cx).map(Ok);
        }
        // An end that the drain has no more time for is an end.
        if shut.is_pending() && this.waits_for_room(cx).is_err() {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Idle keep-alive connections and streams are many; figures are of 64-bit machines.
    #[test]
    fn a_connection_costs_at_most_200_bytes() {
        let flag_behind_an_arc = 24;
        let own = size_of::<TrackedStream<()>>() + flag_behind_an_arc;
        let listed = size_of::<Wakers>() + size_of::<usize>();
        assert!(own + listed <= 200, "{own} and {listed}");
    }
}
