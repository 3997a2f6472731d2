//! A connection that has been taken in.
//!
//! Floor 4.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::lifecycle::conduct::Conduct;
use crate::lifecycle::connections::Connections;
use crate::lifecycle::linger::Linger;

/// A connection that the drain knows: what a [`TrackedListener`](crate::lifecycle::TrackedListener)
/// took in, or what was given to [`wrap_io`](crate::lifecycle::LifecycleHandle::wrap_io).
///
/// It looks at the first bytes of what passes. While the socket takes no more of an answer, and after
/// an upgrade (WebSocket), the drain waits for the connection as it does for a request. When the
/// drain's time is over, the connection ends, whoever holds it: reads and writes fail with
/// `ConnectionAborted`, so that nobody takes the cut for the peer's own end. A keep-alive connection
/// without a request is not waited for.
///
/// A request whose head is not whole is one that nobody has heard of: a client may keep it so for as
/// long as it likes, with a single byte. So the gate stays open for its rest for half a second when the
/// settle is over; then it gets the gate's answer, for which the drain waits a second when all else is
/// over. The connection ends then, as `ConnectionAborted` too, is named among the report's
/// [`unfinished_heads`](crate::lifecycle::Report::unfinished_heads), and makes nothing forced. A
/// handshake of TLS that is not over is treated so too. A connection on which nobody has said anything,
/// but a server its settings of HTTP/2, ends when the server has been told to, and is not named.
///
/// A connection of HTTP/2 on which nothing had been asked when draining began (a browser's reserve) is
/// told to end when the server is, and ends a second later, also in the middle of a stream that the
/// gate let pass. One that has been asked for something is waited for until it has ended, as long as
/// its peer is there. From where its server hears of the stop, a peer has fifteen seconds to say
/// something, if only to the `PING` that comes with GOAWAY, or half of what is left of the drain where
/// that is a second or more. One that says nothing, and whose socket takes what there is to send, is
/// taken for gone, also where HTTP/2's flow control, or the kernel's queue, still holds an answer back for
/// it: the connection ends then, is warned of in the log (the first hundred are), and makes nothing forced.
///
/// Until its first request has reached the service, the gate stays open for it a little when the
/// settle is over: the request may be on the way, or read and not yet counted. Under TLS that is so
/// until the handshake is over; wrap the TLS stream as well, and it is as without.
///
/// While the instance ends, a connection of HTTP/1 whose last request was a POST, PUT or PATCH, and one
/// of HTTP/2 that has been asked for something, read on when they are shut down, until the peer has
/// ended its side or is silent for a second, for five seconds at most: it may still be sending a body, or
/// windows, and a socket that is closed with bytes unread takes the answer with it.
///
/// It costs some 200 bytes (some 250 on HTTP/2, which is listed while it is open) and one small
/// allocation a connection, and a few branches for each read and write; the list is touched only in the
/// stages above, and when the connection is first read from and first waits.
pub struct TrackedStream<Io = TcpStream> {
    io: Io,
    conduct: Conduct,
    linger: Option<Box<Linger>>,
}

impl<Io> TrackedStream<Io> {
    pub(crate) fn new(io: Io, peer: Option<SocketAddr>, connections: Arc<Connections>) -> Self {
        Self {
            io,
            conduct: Conduct::new(peer, connections),
            linger: None,
        }
    }

    /// Resolves when the connection should be told to end, which hyper calls
    /// `graceful_shutdown`: on HTTP/2 when the settle is over, so that the client gets GOAWAY;
    /// the gate stays open for what it sent before, until the connection ends, for half a second at most;
    /// on HTTP/1, where idle connections are just closed, only when accepting stops.
    ///
    /// Take it before the stream goes into the server. Below TLS every connection counts as
    /// HTTP/1, and so does one whose first bytes had not come when draining began: it is told
    /// later, never too early.
    pub fn goodbye(&self) -> impl Future<Output = ()> + Send + use<Io> {
        self.conduct.goodbye()
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
        this.conduct.is_not_cut()?;
        let before = buf.filled().len();
        let read = Pin::new(&mut this.io).poll_read(cx, buf);
        match &read {
            Poll::Ready(Ok(())) => {
                this.conduct.has_read(&buf.filled()[before..]);
                this.conduct.is_found_at_cut(cx)?;
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => this.conduct.waits_for_bytes(cx)?,
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
        self.conduct.writes(buf)?;
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.conduct.wrote(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = bufs.iter().find(|buf| !buf.is_empty());
        self.conduct.writes(first.map_or(&[], |buf| buf))?;
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.conduct.wrote(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.conduct.is_not_cut()?;
        this.conduct.flushes();
        let flushed = Pin::new(&mut this.io).poll_flush(cx);
        if flushed.is_pending() {
            this.conduct.waits_for_room(cx)?;
        } else {
            this.conduct.flushed();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.linger.is_none() {
            let shut = Pin::new(&mut this.io).poll_shutdown(cx);
            // An end that the drain has no more time for is an end.
            if shut.is_pending() && this.conduct.waits_for_room(cx).is_err() {
                return Poll::Ready(Ok(()));
            }
            this.linger = match shut {
                Poll::Ready(Ok(())) => this.conduct.linger(cx),
                _ => None,
            };
            if this.linger.is_none() {
                return shut;
            }
            this.conduct.only_lingers();
        }
        let linger = this.linger.as_mut().expect("it has just begun");
        let over = linger.poll(Pin::new(&mut this.io), cx);
        if over.is_pending() && this.conduct.waits_to_write(cx).is_err() {
            return Poll::Ready(Ok(()));
        }
        over.map(Ok)
    }
}

impl<Io: fmt::Debug> fmt::Debug for TrackedStream<Io> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrackedStream")
            .field("io", &self.io)
            .field("talk", &self.conduct)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::connections::Wakers;

    /// Idle keep-alive connections and streams are many; figures are of 64-bit machines.
    #[test]
    fn a_connection_costs_at_most_200_bytes() {
        let flag_behind_an_arc = 24;
        let own = size_of::<TrackedStream<()>>() + flag_behind_an_arc;
        let listed = size_of::<Wakers>() + size_of::<usize>();
        assert!(own + listed <= 200, "{own} and {listed}");
    }
}
