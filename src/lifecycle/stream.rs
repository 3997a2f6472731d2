//! A connection that has been taken in.
//!
//! Floor 4.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::in_flight::tracker::Token;
use crate::lifecycle::phase::Phase;
use crate::lifecycle::stop::Stop;
use crate::lifecycle::watch::PhaseWatch;

/// A TCP connection that a [`TrackedListener`](crate::lifecycle::TrackedListener) took in.
///
/// Until its first request has reached the service, the gate stays open for it a little when the
/// settle is over: the request may be on the way, or read and not yet counted.
pub struct TrackedStream {
    io: TcpStream,
    /// Given up once the first request was counted: at the first byte written, or at the first
    /// flush after its head was read, which hyper does right after it has called the service.
    fresh: Option<Token<()>>,
    /// How much of the blank line behind the first head has been read.
    blank_line: usize,
    /// Set by the connection's first bytes, read by `goodbye`.
    http2: Arc<AtomicBool>,
    looked: bool,
    watch: PhaseWatch,
    stop: Stop,
}

impl TrackedStream {
    pub(crate) fn new(io: TcpStream, fresh: Token<()>, watch: PhaseWatch, stop: Stop) -> Self {
        Self {
            io,
            fresh: Some(fresh),
            blank_line: 0,
            http2: Arc::default(),
            looked: false,
            watch,
            stop,
        }
    }

    /// Resolves when the connection should be told to end, which hyper calls
    /// `graceful_shutdown`: on HTTP/2 when draining begins, so that the client gets GOAWAY;
    /// on HTTP/1, where idle connections are just closed, only when accepting stops.
    ///
    /// Take it before the stream goes into the server. Below TLS every connection counts as
    /// HTTP/1, and so does one whose first bytes had not come when draining began: it is told
    /// later, never too early.
    pub fn goodbye(&self) -> impl Future<Output = ()> + Send + use<> {
        let (watch, stop, http2) = (self.watch, self.stop.clone(), self.http2.clone());
        async move {
            watch.reached(Phase::Draining).await;
            if !http2.load(SeqCst) {
                stop.reached().await;
            }
        }
    }

    /// The TCP stream, to set its options.
    #[must_use]
    pub fn tcp(&self) -> &TcpStream {
        &self.io
    }

    fn look_at(&mut self, bytes: &[u8]) {
        if !self.looked && !bytes.is_empty() {
            self.looked = true;
            // HTTP/2's preface; no HTTP/1 method that is in use begins with it.
            self.http2.store(bytes.starts_with(b"PRI"), SeqCst);
        }
        if self.fresh.is_some() {
            self.blank_line = blank_line_read(self.blank_line, bytes);
        }
    }
}

/// Ends the head of an HTTP/1 request, and the first line of HTTP/2's preface.
const BLANK_LINE: &[u8] = b"\r\n\r\n";

/// How much of the blank line has been read, with `bytes` after the `read` before.
fn blank_line_read(read: usize, bytes: &[u8]) -> usize {
    bytes
        .iter()
        .fold(read, |read, byte| match BLANK_LINE.get(read) {
            None => read,
            Some(expected) if expected == byte => read + 1,
            Some(_) => usize::from(*byte == b'\r'),
        })
}

impl AsyncRead for TrackedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        self.look_at(&buf.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TrackedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, buf));
        self.fresh = None;
        Poll::Ready(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, bufs));
        self.fresh = None;
        Poll::Ready(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.blank_line == BLANK_LINE.len() {
            self.fresh = None;
        }
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl fmt::Debug for TrackedStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrackedStream")
            .field("io", &self.io)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{BLANK_LINE, blank_line_read};

    #[test]
    fn the_end_of_a_head_is_found_however_it_is_cut() {
        let head = b"GET / HTTP/1.1\r\nhost: x\r\n\r\nbody";
        for cut in 0..=head.len() {
            let (a, b) = head.split_at(cut);
            let read = blank_line_read(blank_line_read(0, a), b);
            assert_eq!(read, BLANK_LINE.len(), "cut at {cut}");
        }
        for open in [
            &b"GET / HTTP/1.1\r\nhost: x\r\n"[..],
            b"\r\n\n",
            b"\r\r\n",
            b"\n\n",
        ] {
            assert_ne!(blank_line_read(0, open), BLANK_LINE.len(), "{open:?}");
        }
        assert_eq!(blank_line_read(0, b"\r\r\n\r\n"), BLANK_LINE.len());
    }
}
