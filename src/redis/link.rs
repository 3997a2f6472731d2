//! The way to one Redis: its supervisor's queue, and what the supervisor tells.
//!
//! Floor 3.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::error::{RedisError, RedisErrorKind};
use super::queue::Item;
use super::shared::{PIPELINE, Settings, Shared};
use super::status::closed;
use super::supervisor::Supervisor;

/// A supervised connection. Dropped, what is queued is still sent, and the supervisor ends.
#[derive(Debug)]
pub(crate) struct Link {
    queue: mpsc::Sender<Item>,
    pub(crate) shared: Arc<Shared>,
    #[cfg(feature = "cluster")]
    pub(crate) opened: tokio::time::Instant,
}

impl Link {
    /// Starts a supervisor on `runtime`.
    pub(crate) fn open(settings: Settings, shared: Shared, runtime: &Handle) -> Self {
        let shared = Arc::new(shared);
        let (queue, items) = mpsc::channel(settings.queue_bound);
        runtime.spawn(Supervisor::new(settings, Arc::clone(&shared), items).run());
        Self {
            queue,
            shared,
            #[cfg(feature = "cluster")]
            opened: tokio::time::Instant::now(),
        }
    }

    /// What an operator should know of it, where another status than its own is looked at.
    pub(crate) fn warning(&self) -> Option<String> {
        let refused = self.shared.refusals.reason();
        let refused = refused.map(|reason| reason.to_string());
        refused.or_else(|| self.shared.breaker.warning())
    }

    /// Hands an item to the supervisor, unless Redis is away or too much is queued.
    pub(crate) fn enqueue(&self, item: Item) -> Result<(), RedisError> {
        self.room()?.send(item);
        let queued = self.queue.max_capacity() - self.queue.capacity();
        if queued > 0 && queued.is_multiple_of(PIPELINE) {
            self.shared.full.notify_one();
        }
        Ok(())
    }

    fn room(&self) -> Result<mpsc::Permit<'_, Item>, RedisError> {
        self.shared.breaker.admit()?;
        self.queue.try_reserve().map_err(|error| match error {
            TrySendError::Full(()) => RedisError::new(
                RedisErrorKind::Away,
                "too many commands are queued for Redis: the command was not sent",
            ),
            TrySendError::Closed(()) => closed(),
        })
    }

    /// Hands on what another Redis did not carry out, or answers its caller.
    #[cfg(feature = "cluster")]
    pub(crate) fn forward(&self, queued: super::queue::Queued, asking: bool) {
        match self.room() {
            Ok(room) if asking => room.send(Item::Asking(queued)),
            Ok(room) => room.send(Item::Command(queued)),
            Err(error) => queued.caller.answer(Err(error)),
        }
    }

    /// Has what is queued sent, and the connection closed then. Waits for nothing.
    pub(crate) fn close(&self) {
        self.shared.closing.notify_one();
    }

    /// Resolves once the connection was closed.
    pub(crate) async fn closed(&self) {
        self.shared.breaker.closed().await;
    }
}
