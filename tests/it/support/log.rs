//! The log of one test.

use std::io::Write;
use std::sync::{Arc, LazyLock, Mutex};

use tracing::subscriber::DefaultGuard;
use tracing::{Dispatch, Level};
use tracing_subscriber::fmt::writer::{BoxMakeWriter, MakeWriterExt};

use super::evidence;

/// Asked beside whatever a test listens with. Where there is one subscriber alone, tracing asks whichever
/// thread comes first by a line whether anybody wants it, and takes the answer of one without a
/// subscriber for all.
static BESIDE: LazyLock<Dispatch> = LazyLock::new(|| {
    let quiet = tracing_subscriber::fmt().with_max_level(Level::ERROR);
    Dispatch::new(quiet.with_writer(std::io::sink).finish())
});

/// What this thread logs.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Keeps what this thread logs at `level` and above until the guard is dropped. Tests on a
    /// runtime of one thread see every task.
    pub(crate) fn of_this_thread(level: Level) -> (Self, DefaultGuard) {
        LazyLock::force(&BESIDE);
        let log = Self::default();
        let mine = log.clone();
        let mine = (move || mine.clone()).with_max_level(level);
        // The process's own log goes on, at its own level.
        let (level, writer) = match evidence::log() {
            None => (level, BoxMakeWriter::new(mine)),
            Some(all) => (Level::TRACE, BoxMakeWriter::new(mine.and(move || all))),
        };
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(level)
            .with_ansi(false)
            .with_writer(writer)
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("no panic")).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
