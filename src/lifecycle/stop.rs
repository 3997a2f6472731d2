//! The moment when the server may stop.
//!
//! Floor 3.

use std::future::Future;

use tokio::sync::watch;
use tokio::task::unconstrained;

/// Says once that accepting should stop; heard also by who asks later.
#[derive(Debug, Clone)]
pub(crate) struct Stop(watch::Sender<bool>);

impl Stop {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    pub(crate) fn now(&self) {
        self.0.send_replace(true);
    }

    pub(crate) fn is_said(&self) -> bool {
        *self.0.borrow()
    }

    /// Ready when it was said. May be dropped at any time.
    pub(crate) fn reached(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut stopped = self.0.subscribe();
        async move {
            let said = stopped.wait_for(|stopped| *stopped);
            // Heard also in a task that has done all that it may in one go, as a loop has that is never
            // at rest. An error means that nobody is left who could say it, which comes to the same.
            let _ = unconstrained(said).await;
        }
    }
}
