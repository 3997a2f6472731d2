//! The process's own channel, as locks use it.
//!
//! Floor 3.

use std::time::Duration;

use super::error::RedisError;
use super::handle::RedisHandle;
use super::mailbox::{Ear, Subscription};
use super::queue::Item;
use super::status::away;
use super::way::At;

/// The channel on which other processes reach this one, as one connection hears it. Nothing is
/// subscribed until [`ready`](Self::ready) is called for the first time.
pub(crate) struct Inbox<'a> {
    at: Option<At<'a>>,
    timeout: Duration,
}

impl RedisHandle {
    /// The channel on which other processes reach this one, for what is published where the keys of
    /// this hash tag are.
    pub(crate) fn inbox<T: AsRef<str>>(&self, tag: impl FnOnce() -> T) -> Inbox<'_> {
        Inbox {
            at: self.way().at(tag),
            timeout: self.command_timeout(),
        }
    }

    /// What others publish to: `{prefix}:inbox1:{random}[/{instance}]@{host}:{pid}`.
    pub(crate) fn channel(&self) -> &str {
        self.way().mailbox().channel()
    }

    /// Has every message from now on go to this ear, if it is the first. It is called where the
    /// connection is read, so it must not take long, and it must not hold the handle.
    ///
    /// Messages sent while the connection was lost are lost: look again after every epoch.
    pub(crate) fn hear(&self, ear: impl FnOnce() -> Ear) {
        self.way().mailbox().hear(ear);
    }
}

impl Inbox<'_> {
    /// Resolves once Redis has confirmed the subscription on the connection of the moment.
    ///
    /// Costs nothing where it has already; otherwise one round trip, shared by all who wait.
    ///
    /// # Errors
    /// As for a command: at once while Redis is away, after the command time-out without an
    /// answer, and where Redis refuses the channel: then it is asked again at most once a second, and
    /// calls between fail at once.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the subscription wanted.
    pub(crate) async fn ready(&self) -> Result<(), RedisError> {
        let link = self.at.as_deref().ok_or_else(away)?;
        let shared = &link.shared;
        shared.breaker.admit()?;
        let mut subscription = shared.mailbox.subscription();
        {
            let subscription = subscription.borrow_and_update();
            if matches!(*subscription, Subscription::Confirmed) {
                return Ok(());
            }
            if let Some(error) = subscription.refusal() {
                return Err(error.clone());
            }
        }
        link.enqueue(Item::Subscribe)?;
        let answered = async {
            loop {
                // The sender lives as long as the handle, so an error cannot come.
                let _ = subscription.changed().await;
                match &*subscription.borrow_and_update() {
                    Subscription::Confirmed => return Ok(()),
                    Subscription::Refused(error, _) => return Err(error.clone()),
                    // Lost with its connection: the next one subscribes by itself.
                    Subscription::Pending | Subscription::Asked => {}
                }
            }
        };
        tokio::time::timeout(self.timeout, answered)
            .await
            .unwrap_or_else(|_| {
                shared.breaker.admit()?;
                Err(RedisError::unknown(
                    "Redis did not confirm the subscription of the inbox in time",
                    None,
                ))
            })
    }
}
