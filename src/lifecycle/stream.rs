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
/// Until the server writes to it for the first time, a drain that has just begun waits for it a
/// little: its first request may be on the way, or read and not yet counted.
pub struct TrackedStream {
    io: TcpStream,
    /// Given up at the first byte written. By then the request that is answered was counted.
    fresh: Option<Token<()>>,
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
    }
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
