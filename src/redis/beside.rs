//! A second connection to where a link leads, for commands that block.
//!
//! Floor 3.

use std::sync::{Arc, OnceLock};

use redis::Cmd;
use tokio::time::Instant;

use super::error::RedisError;
use super::link::Link;
use super::origin::Origin;
use super::queue::{Answer, Item, Queued};
use super::shared::Shared;
use super::status::away;
use super::trace::Trace;

/// Ends with the link.
#[derive(Debug, Default)]
pub(crate) struct Beside(OnceLock<Link>);

impl Beside {
    pub(crate) fn of(origin: &Origin) -> Arc<Self> {
        origin.slots.get()
    }

    /// Makes the connection, if it was not made yet.
    pub(crate) fn open(&self, open: impl FnOnce() -> Link) {
        self.0.get_or_init(open);
    }

    pub(crate) fn shared(&self) -> Option<&Arc<Shared>> {
        self.0.get().map(|link| &link.shared)
    }

    /// Queues a command, on this very connection: of a Cluster's node, what it says of a key that it
    /// does not have is an error here.
    pub(crate) fn ask(&self, command: Cmd, trace: &Arc<Trace>) -> Result<Answer, RedisError> {
        let link = self.0.get().ok_or_else(away)?;
        let (mut queued, answer) = Queued::new(command, None, Instant::now());
        queued.caller.trace = Some(Arc::clone(trace));
        link.enqueue(Item::Command(queued))?;
        Ok(answer)
    }

    /// Has the connection of this number, if it still is the one of the moment, give way to another.
    pub(crate) fn replace(&self, number: u64) {
        // An error means that it has ended.
        self.0
            .get()
            .map(|link| link.enqueue(Item::Replace(number)).ok());
    }

    /// That it is away, or refuses what it is asked.
    pub(crate) fn warning(&self) -> Option<String> {
        self.0.get()?.warning()
    }

    pub(crate) fn close(&self) {
        self.0.get().inspect(|link| link.close());
    }

    /// Resolves once it was closed.
    pub(crate) async fn closed(&self) {
        if let Some(link) = self.0.get() {
            link.closed().await;
        }
    }
}
