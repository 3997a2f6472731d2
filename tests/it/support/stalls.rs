//! What only a machine that goes on can show.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::time::Instant;

/// How late a thread that sleeps is where nothing stands still, and far more.
const LATE: Duration = Duration::from_millis(250);

/// Does something again where this process stood still meanwhile, a few times at most: of a time that the
/// library grants, what was done then says nothing. What is done does not judge, but returns what is judged.
pub(crate) async fn undisturbed<T>(mut act: impl AsyncFnMut() -> T) -> T {
    for _ in 0..4 {
        let watch = Watch::begin();
        let done = act().await;
        if !watch.stood_still() {
            return done;
        }
    }
    act().await
}

/// A thread that sleeps again and again, and sees whether it was late to wake.
struct Watch {
    over: Sender<()>,
    thread: JoinHandle<bool>,
}

impl Watch {
    fn begin() -> Self {
        let (over, told) = channel();
        let thread = std::thread::spawn(move || was_late(&told));
        Self { over, thread }
    }

    fn stood_still(self) -> bool {
        drop(self.over);
        self.thread.join().expect("no panic")
    }
}

fn was_late(told: &Receiver<()>) -> bool {
    const NAP: Duration = Duration::from_millis(20);
    let mut late = false;
    loop {
        let begun = Instant::now();
        let over = told.recv_timeout(NAP) != Err(RecvTimeoutError::Timeout);
        late |= begun.elapsed() > NAP + LATE;
        if over {
            return late;
        }
    }
}
