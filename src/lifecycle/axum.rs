//! The lifecycle's listeners for `axum::serve`.
//!
//! Floor 7.

use std::future::pending;
use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::serve::{Listener, ListenerExt, TapIo};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::lifecycle::listener::TrackedListener;
use crate::lifecycle::phase::Phase;
use crate::lifecycle::run::Lifecycle;
use crate::lifecycle::stream::TrackedStream;

impl Lifecycle {
    /// A listener for `axum::serve` that lets go without losing anybody: a
    /// [`TrackedListener`], wrapped so that `ConnectInfo<SocketAddr>` works on it.
    ///
    /// Serve with
    /// [`with_graceful_shutdown`](axum::serve::Serve::with_graceful_shutdown)`(lifecycle.`[`stop_accepting()`](crate::lifecycle::LifecycleHandle::stop_accepting)`)`.
    #[must_use]
    pub fn listener(&self, tcp: TcpListener) -> TapIo<TrackedListener, fn(&mut TrackedStream)> {
        self.tcp_listener(tcp).tap_io(|_| {})
    }

    /// Serves the probes, and nothing else, on a socket of their own that stays open until the
    /// phase is `Stopped`, when [`run`](Lifecycle::run) returns. They answer
    /// [with details](crate::health::ProbeService::with_details): bind it where only the platform and
    /// operators reach it.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn serve_probes(&self, tcp: TcpListener) -> JoinHandle<io::Result<()>> {
        let router = Router::from(self.probes().with_details(true));
        let stopped = self.watch().reached(Phase::Stopped);
        tokio::spawn(
            axum::serve(tcp, router)
                .with_graceful_shutdown(stopped)
                .into_future(),
        )
    }
}

impl Listener for TrackedListener {
    type Io = TrackedStream;
    type Addr = SocketAddr;

    /// Waits without end when the socket is closed: `axum::serve` stops by another way.
    async fn accept(&mut self) -> (TrackedStream, SocketAddr) {
        match TrackedListener::accept(self).await {
            Some(accepted) => accepted,
            None => pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(TrackedListener::local_addr(self))
    }
}
