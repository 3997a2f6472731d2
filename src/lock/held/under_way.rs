//! What a shutdown waits for beside what is held: acquires and releases under way.
//!
//! Floor 2.

use std::sync::Arc;

use tokio::time::Duration;

use crate::lock::held::list::Shared;
use crate::telemetry::pending::Operation;

/// How long a shutdown puts up with a backend that fails.
pub(super) const BLIP: Duration = Duration::from_secs(1);

/// Something that the shutdown waits for, until this is dropped.
pub(crate) struct UnderWay {
    list: Arc<Shared>,
    /// Where it is a release.
    operation: Option<Operation>,
}

impl UnderWay {
    pub(super) fn new(list: &Arc<Shared>, operation: Option<Operation>) -> Self {
        let list = list.clone();
        Self { list, operation }
    }

    /// Whether a shutdown has waited for it for as long as a connection takes to be replaced.
    pub(crate) fn has_kept_waiting(&self) -> bool {
        let ending = self.list.lock().ending;
        ending.is_some_and(|ending| ending.elapsed() > BLIP)
    }

    /// The backend has answered.
    pub(crate) fn is_answered(&mut self) {
        if let Some(operation) = &mut self.operation {
            operation.is_answered();
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        // Before the shutdown sees that it has ended.
        self.operation = None;
        let mut state = self.list.lock();
        state.under_way -= 1;
        if state.closed {
            self.list.closing.notify_waiters();
        }
    }
}
