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
use crate::lifecycle::asks::Asks;
use crate::lifecycle::connections::{Connections, Half, Socket, Wakers};
use crate::lifecycle::fresh::Fresh;
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
/// A head, or a connection of HTTP/2, that begins when draining has begun is waited for a second
/// when all else is over, and ends then, also in the middle of a stream that the gate let pass.
///
/// Until its first request has reached the service, the gate stays open for it a little when the
/// settle is over: the request may be on the way, or read and not yet counted. Under TLS that is so
/// until the handshake is over; wrap the TLS stream as well, and it is as without.
///
/// While the instance ends, a connection of HTTP/1 whose last request was a POST, PUT or PATCH
/// reads on when it is shut down, for five seconds at most: the peer may still be sending the body,
/// and a socket that is closed with bytes unread takes the answer with it.
///
/// It costs some 200 bytes and one small allocation a connection, and a few branches for each read
/// and write; the list is touched only in the stages above, and when the connection is first read
/// from and first waits.
pub struct TrackedStream<Io = TcpStream> {
    io: Io,
    peer: Option<SocketAddr>,
    connections: Arc<Connections>,
    talk: Talk,
    fresh: Fresh,
    /// There while the connection is new.
    intake: Option<Token<()>>,
    /// There while the connection is in a stage that has a name.
    stage: Option<Token<Socket>>,
    /// Its stage began when draining had: a server that stops does not wait for it.
    late: bool,
    /// Set by the connection's first bytes, read by `goodbye`.
    http2: Arc<AtomicBool>,
    asks: Asks,
    /// An upload was answered while the instance ends: its rest may still be on the way.
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
            fresh: Fresh::Begins,
            intake: Some(connections.intake.enter()),
            stage: None,
            late: false,
            http2: Arc::default(),
            asks: Asks::Answer,
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

    fn leave_intake(&mut self) {
        if self.fresh == Fresh::Over {
            self.intake = None;
        }
    }

    fn enter(&mut self, stage: Stage) {
        let begins = matches!(stage, Stage::Head | Stage::Http2);
        self.late = begins && self.connections.watch.current() >= Phase::Draining;
        let entered = match self.late {
            true => self.connections.enter_late(self.peer, stage),
            false => self.connections.enter(self.peer, stage),
        };
        self.stage = Some(entered);
    }

    fn has_read(&mut self, bytes: &[u8]) {
        let before = self.talk;
        match self.talk.read(bytes) {
            Some(asks) => self.asks = asks,
            None => self.asks.go_on(bytes),
        }
        self.fresh.read(before, self.talk);
        if before != Talk::Http2 && self.talk == Talk::Http2 {
            self.http2.store(true, SeqCst);
            // In place of a preface that was not whole, or of a greeting that was not sent.
            self.enter(Stage::Http2);
        }
    }

    /// There is nothing to read.
    fn waits_for_bytes(&mut self, cx: &Context<'_>) -> io::Result<()> {
        if self.stage.is_none() && self.talk.in_head() {
            self.enter(Stage::Head);
        }
        self.fresh.finds_nothing();
        self.leave_intake();
        if self.late && self.stage.is_some() && self.connections.stop.is_said() {
            return Err(cut_off());
        }
        let waker = cx.waker();
        if !self.reader.as_ref().is_some_and(|own| own.will_wake(waker)) {
            self.reader = Some(waker.clone());
            let (place, waker) = (&mut self.wakers, waker.clone());
            self.connections.wake_at_cut(place, Half::Read, waker);
        }
        self.is_not_cut()
    }

    /// There was something to read. A connection may never wait: when all of it was there at once,
    /// and its service reads no body.
    fn is_found_at_cut(&mut self, cx: &Context<'_>) -> io::Result<()> {
        if self.wakers.is_none() {
            let (place, waker) = (&mut self.wakers, cx.waker().clone());
            self.connections.wake_at_cut(place, Half::Read, waker);
            return self.is_not_cut();
        }
        Ok(())
    }

    /// Bytes are about to go out.
    fn writes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.is_not_cut()?;
        let before = self.talk;
        self.talk.write(bytes, self.asks);
        if self.talk == before {
            return Ok(());
        }
        if self.talk == Talk::Upgraded {
            // Before the peer can know.
            self.enter(Stage::Upgraded);
        }
        let ends = || self.connections.watch.current() >= Phase::Settling;
        self.last_word = self.asks == Asks::Upload && ends();
        Ok(())
    }

    fn wrote(
        &mut self,
        cx: &Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.fresh.wrote(self.talk);
            self.leave_intake();
            return written;
        }
        self.waits_for_room(cx)?;
        Poll::Pending
    }

    /// The socket takes nothing, or has not sent what it took.
    fn waits_for_room(&mut self, cx: &Context<'_>) -> io::Result<()> {
        match (&self.stage, self.talk) {
            (None, _) => self.enter(Stage::Unsent),
            (Some(_), Talk::Upgraded | Talk::Http2) => {}
            // It began late, but was let in and answered: no latecomer any more.
            (Some(_), _) if self.late => self.enter(Stage::Unsent),
            // It was answered before its head was whole, or flushed.
            (Some(token), _) => token.update(Socket::is_unsent),
        }
        self.waits_to_write(cx)
    }

    fn waits_to_write(&mut self, cx: &Context<'_>) -> io::Result<()> {
        let (place, waker) = (&mut self.wakers, cx.waker().clone());
        self.connections.wake_at_cut(place, Half::Write, waker);
        self.is_not_cut()
    }

    fn is_not_cut(&self) -> io::Result<()> {
        if self.connections.are_cut() {
            return Err(cut_off());
        }
        Ok(())
    }

    /// What is left to do after the last word. Not for bytes that are somebody else's, and not
    /// where another task reads: what comes is dropped, and who waits for it would never wake.
    fn linger(&self, cx: &Context<'_>) -> Option<Box<Linger>> {
        let last = *self.connections.linger_until.get()?;
        let reader = self.reader.as_ref();
        let reads = reader.is_none_or(|reader| reader.will_wake(cx.waker()));
        let lingers = self.last_word && self.talk == Talk::Idle && reads;
        lingers.then(|| Box::new(Linger::new(last)))
    }
}

fn cut_off() -> io::Error {
    let text = "cut off: the drain's time is over";
    io::Error::new(io::ErrorKind::ConnectionAborted, text)
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
            Poll::Ready(Ok(())) => {
                this.has_read(&buf.filled()[before..]);
                this.is_found_at_cut(cx)?;
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => this.waits_for_bytes(cx)?,
        }
        read
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
        let this = &mut *self;
        this.is_not_cut()?;
        // All is written, and the service has been called for what was read whole.
        this.talk.flush();
        this.fresh.flushes(this.talk);
        this.leave_intake();
        let flushed = Pin::new(&mut this.io).poll_flush(cx);
        if flushed.is_pending() {
            this.waits_for_room(cx)?;
        } else if matches!(this.talk, Talk::Idle | Talk::Asked | Talk::Opaque) {
            this.stage = None;
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.linger.is_none() {
            let shut = Pin::new(&mut this.io).poll_shutdown(cx);
            // An end that the drain has no more time for is an end.
            if shut.is_pending() && this.waits_for_room(cx).is_err() {
                return Poll::Ready(Ok(()));
            }
            this.linger = match shut {
                Poll::Ready(Ok(())) => this.linger(cx),
                _ => None,
            };
            if this.linger.is_none() {
                return shut;
            }
            // The answer is out, so the drain waits for nothing here; only the server does.
            this.stage = None;
        }
        let linger = this.linger.as_mut().expect("it has just begun");
        let over = linger.poll(Pin::new(&mut this.io), cx);
        if over.is_pending() && this.waits_to_write(cx).is_err() {
            return Poll::Ready(Ok(()));
        }
        over.map(Ok)
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
