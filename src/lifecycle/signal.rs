//! SIGTERM and SIGINT.
//!
//! Floor 3.

use std::convert::Infallible;
use std::io;
use std::mem::take;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

/// The exit code of a process that was told twice.
const TOLD_TWICE: i32 = 130;

/// Signals so soon after the first are the same request: a platform signals its whole process group
/// and a wrapper passes on what it got, or a unit's `ExecStop` and systemd each send their own.
const SAME_REQUEST: Duration = Duration::from_secs(1);

/// How long an exit waits for its line in a log that may block.
const LAST_WORDS: Duration = Duration::from_millis(100);

type First = Box<dyn FnOnce() + Send>;

/// Signals are the process's, and so is what hears them.
static LISTENER: Mutex<Listener> = Mutex::new(Listener {
    began: false,
    last: 0,
    untold: Vec::new(),
    unheard: false,
    missed: false,
});

struct Listener {
    began: bool,
    /// Numbers who is to be told.
    last: u64,
    untold: Vec<(u64, First)>,
    /// Whether one who waited has gone without a signal: the next is a first one all the same.
    unheard: bool,
    /// Such a first one has come: the process is to end, so who begins to wait then is told at once.
    missed: bool,
}

fn listener() -> MutexGuard<'static, Listener> {
    LISTENER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Calls `first` at the next signal, unless that comes when what is returned was dropped. One that
/// comes when all who ever waited have been told ends the process.
///
/// They are heard by a thread and a runtime of their own, one a process, from the first call on and
/// until the process ends: so whatever blocks the workers of other runtimes, and after these.
pub(crate) fn watch_signals(first: impl FnOnce() + Send + 'static) -> Untold {
    let mut listener = listener();
    listener.last += 1;
    let number = listener.last;
    if listener.missed {
        drop(listener);
        first();
        return Untold(number);
    }
    listener.untold.push((number, Box::new(first)));
    let began = match listener.began {
        true => Ok(()),
        false => begin(),
    };
    listener.began = began.is_ok();
    drop(listener);
    if let Err(error) = began {
        tracing::error!(
            %error,
            "signals cannot be watched: they end the process, or, where it is PID 1, are lost"
        );
    }
    Untold(number)
}

/// Who waits for a signal.
pub(crate) struct Untold(u64);

impl Drop for Untold {
    fn drop(&mut self) {
        let mut listener = listener();
        let before = listener.untold.len();
        listener.untold.retain(|(number, _)| *number != self.0);
        listener.unheard |= listener.untold.len() < before;
    }
}

/// Returns when it listens: a signal that comes right after is not missed.
fn begin() -> io::Result<()> {
    let (says, said) = channel();
    let name = "handoff-signals".to_owned();
    thread::Builder::new().name(name).spawn(move || {
        let Err(error) = listen(&says);
        let _ = says.send(Err(error));
    })?;
    said.recv()
        .unwrap_or_else(|_| Err(io::Error::other("the thread for signals has ended")))
}

fn listen(says: &Sender<io::Result<()>>) -> io::Result<Infallible> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    runtime.block_on(async {
        let mut signals = Signals::new()?;
        let _ = says.send(Ok(()));
        let mut same_until = None;
        loop {
            let signal = signals.next().await;
            let (untold, unheard) = {
                let mut listener = listener();
                let (untold, unheard) = (take(&mut listener.untold), take(&mut listener.unheard));
                listener.missed |= unheard && untold.is_empty();
                (untold, unheard)
            };
            if unheard || !untold.is_empty() {
                same_until = Some(Instant::now() + SAME_REQUEST);
                // Each writes to the log as well, which may block or panic.
                untold.into_iter().for_each(|(_, first)| beside(first));
                beside(move || tracing::info!(signal, "shutdown asked for"));
            } else if same_until.is_some_and(|until| Instant::now() < until) {
                beside(move || tracing::info!(signal, "the same request again"));
            } else {
                let (said, is_said) = channel::<Infallible>();
                beside(move || {
                    tracing::warn!(signal, "second signal: exit at once");
                    drop(said);
                });
                let _ = is_said.recv_timeout(LAST_WORDS);
                std::process::exit(TOLD_TWICE);
            }
        }
    })
}

/// In a thread of its own, because a log may block; here where the system has no more threads.
fn beside(work: impl FnOnce() + Send + 'static) {
    let work = Arc::new(Mutex::new(Some(work)));
    let theirs = Arc::clone(&work);
    if thread::Builder::new().spawn(move || once(&theirs)).is_err() {
        once(&work);
    }
}

fn once(work: &Mutex<Option<impl FnOnce()>>) {
    let work = work.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(work) = work {
        // A log that panics is not to end the thread that hears signals.
        let _ = catch_unwind(AssertUnwindSafe(work));
    }
}

/// Both are graceful: Fly and Nomad send SIGINT where others send SIGTERM.
#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    /// None where the system refuses it. The other is heard then all the same, for tokio would go on
    /// keeping it from the process.
    interrupt: Option<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};

        let terminate = signal(SignalKind::terminate())?;
        let refused = |error| beside(move || tracing::error!(%error, "SIGINT cannot be watched"));
        let interrupt = signal(SignalKind::interrupt()).map_err(refused).ok();
        Ok(Self {
            terminate,
            interrupt,
        })
    }

    async fn next(&mut self) -> &'static str {
        use std::future::pending;

        let interrupted = async {
            match &mut self.interrupt {
                Some(interrupt) => interrupt.recv().await,
                None => pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = interrupted => "SIGINT",
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
