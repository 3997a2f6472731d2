//! A second connection to where a link leads, for commands that block; and whether it serves.
//!
//! Floor 3.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use redis::Cmd;
use tokio::time::Instant;

use super::error::{RedisError, RedisErrorKind};
use super::link::Link;
use super::origin::Origin;
use super::queue::{Answer, Item, Queued};
use super::shared::Shared;
use super::status::away;
use super::trace::Trace;

/// Ends with the link.
#[derive(Debug, Default)]
pub(crate) struct Beside {
    link: OnceLock<Link>,
    /// What Redis refused when it was last asked here; asked again before anything else is.
    refused: Mutex<Option<Cmd>>,
}

impl Beside {
    pub(crate) fn of(origin: &Origin) -> Arc<Self> {
        origin.slots.get()
    }

    /// Makes the connection, if it was not made yet.
    pub(crate) fn open(&self, open: impl FnOnce() -> Link) {
        self.link.get_or_init(open);
    }

    pub(crate) fn shared(&self) -> Option<&Arc<Shared>> {
        self.link.get().map(|link| &link.shared)
    }

    /// Queues a command, on this very connection: of a Cluster's node, what it says of a key that it
    /// does not have is an error here.
    pub(crate) fn ask(&self, command: Cmd, trace: &Arc<Trace>) -> Result<Answer, RedisError> {
        let link = self.link.get().ok_or_else(away)?;
        let (mut queued, answer) = Queued::new(command, None, Instant::now());
        queued.caller.trace = Some(Arc::clone(trace));
        link.enqueue(Item::Command(queued))?;
        Ok(answer)
    }

    /// Redis refuses this one to the user, or for its own state: others like it would fare no better.
    pub(crate) fn refused(&self, command: Cmd) {
        *self.last_refused() = Some(command);
    }

    /// Whether what is written where this leads could be waited for, as far as is known: nothing is asked
    /// but what was refused last, once more. Before the first attempt to connect has ended nothing is known.
    ///
    /// # Errors
    /// Always [`RedisErrorKind::Away`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves it at what was known.
    pub(crate) async fn serves(&self) -> Result<(), RedisError> {
        if let Some(warning) = self.link.get().and_then(|it| it.shared.breaker.warning()) {
            return Err(useless(&warning));
        }
        let Some(refused) = self.last_refused().clone() else {
            return Ok(());
        };
        let answer = self.ask(refused, &Arc::default())?.reply().await;
        // Its key may be another node's by now: that says nothing of this one.
        let of_the_key =
            |error: &RedisError| matches!(error.code(), Some("MOVED" | "ASK" | "TRYAGAIN"));
        if let Some(error) = answer.err().filter(|error| !of_the_key(error)) {
            return Err(useless(&error.to_string()));
        }
        *self.last_refused() = None;
        Ok(())
    }

    fn last_refused(&self) -> MutexGuard<'_, Option<Cmd>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the connection of this number, if it still is the one of the moment, give way to another.
    pub(crate) fn replace(&self, number: u64) {
        // An error means that it has ended.
        self.link
            .get()
            .map(|link| link.enqueue(Item::Replace(number)).ok());
    }

    /// That it is away, or refuses what it is asked.
    pub(crate) fn warning(&self) -> Option<String> {
        self.link.get()?.warning()
    }

    pub(crate) fn close(&self) {
        self.link.get().inspect(|link| link.close());
    }

    /// Resolves once it was closed.
    pub(crate) async fn closed(&self) {
        if let Some(link) = self.link.get() {
            link.closed().await;
        }
    }
}

/// Nothing was done, so whoever asks again is not counted twice.
pub(crate) fn useless(why: &str) -> RedisError {
    let text = format!("the command was not sent, as no replica could be waited for: {why}");
    RedisError::new(RedisErrorKind::Away, text)
}
