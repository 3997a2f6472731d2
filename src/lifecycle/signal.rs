//! SIGTERM and SIGINT.
//!
//! Floor 3.

use std::io;
use std::time::Duration;

use tokio::time::Instant;

use crate::lifecycle::guarded::AbortOnDrop;

/// The exit code of a process that was told twice.
const TOLD_TWICE: i32 = 130;

/// Signals so soon after the first are the same request: a platform signals its whole process group
/// and a wrapper passes on what it got, or a unit's `ExecStop` and systemd each send their own.
const SAME_REQUEST: Duration = Duration::from_secs(1);

/// Calls `first` at the first signal and ends the process at the second, until dropped.
///
/// In a task of its own, so that the second signal works whatever the shutdown waits for.
///
/// # Panics
/// Outside a tokio runtime.
pub(crate) fn watch_signals(first: impl FnOnce() + Send + 'static) -> AbortOnDrop<()> {
    // Set up before this returns: a signal that comes right after is not missed.
    let signals = Signals::new();
    AbortOnDrop(tokio::spawn(async move {
        let mut signals = match signals {
            Ok(signals) => signals,
            Err(error) => {
                tracing::error!(%error, "signals cannot be watched, so they end the process");
                return;
            }
        };
        let name = signals.next().await;
        tracing::info!(signal = name, "shutdown asked for");
        let same_until = Instant::now() + SAME_REQUEST;
        first();
        loop {
            let name = signals.next().await;
            if Instant::now() >= same_until {
                tracing::warn!(signal = name, "second signal: exit at once");
                std::process::exit(TOLD_TWICE);
            }
            tracing::info!(signal = name, "the same request again");
        }
    }))
}

/// Both are graceful: Fly and Nomad send SIGINT where others send SIGTERM.
#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(windows)]
struct Signals(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl Signals {
    fn new() -> io::Result<Self> {
        tokio::signal::windows::ctrl_c().map(Self)
    }

    async fn next(&mut self) -> &'static str {
        self.0.recv().await;
        "Ctrl-C"
    }
}
