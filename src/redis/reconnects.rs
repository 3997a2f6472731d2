//! When the connection to where some keys are is another one.
//!
//! Floor 3.

use tokio::sync::watch;

use super::handle::RedisHandle;

/// Of all changes of a handle's connections those that concern the keys of one hash tag. In a Cluster
/// another node's connection is none, and that the slot is another node's now is one.
pub(crate) struct Reconnects {
    handle: RedisHandle,
    tag: String,
    any: watch::Receiver<u64>,
    known: u64,
}

impl RedisHandle {
    pub(crate) fn reconnects_at(&self, tag: &str) -> Reconnects {
        Reconnects {
            handle: self.clone(),
            tag: tag.to_owned(),
            any: self.epochs(),
            known: self.connection_at(|| tag),
        }
    }

    /// The number of the last connection to where the keys of this hash tag are: 0 before the first.
    pub(crate) fn connection_at<T: AsRef<str>>(&self, tag: impl FnOnce() -> T) -> u64 {
        let at = self.way().at(tag);
        at.map_or(0, |link| link.shared.origin.number())
    }
}

impl Reconnects {
    /// What happened up to here is of no interest.
    pub(crate) fn mark_unchanged(&mut self) {
        // In this order: what happens between is known, and would only wake for nothing.
        self.any.mark_unchanged();
        self.known = self.handle.connection_at(|| &self.tag);
    }

    /// Resolves at the next change. Dropping the future loses none.
    pub(crate) async fn changed(&mut self) {
        // The sender lives as long as the handle, so an error cannot come.
        while self.any.changed().await.is_ok() {
            let now = self.handle.connection_at(|| &self.tag);
            if now != self.known {
                self.known = now;
                return;
            }
        }
        std::future::pending::<()>().await;
    }
}
