//! The process's own channel, as locks use it.
//!
//! Floor 3.

use bytes::Bytes;
use tokio::sync::broadcast;

use super::error::RedisError;
use super::handle::RedisHandle;
use super::mailbox::Subscription;

/// The channel on which other processes reach this one. Nothing is subscribed until
/// [`ready`](Self::ready) is called for the first time.
#[derive(Debug, Clone)]
pub(crate) struct Inbox {
    handle: RedisHandle,
}

impl RedisHandle {
    /// The channel on which other processes reach this one.
    pub(crate) fn inbox(&self) -> Inbox {
        Inbox {
            handle: self.clone(),
        }
    }
}

impl Inbox {
    /// What others publish to: `{prefix}:inbox1:{random}[/{instance}]@{host}:{pid}`.
    pub(crate) fn channel(&self) -> &str {
        self.handle.shared().mailbox.channel()
    }

    /// Messages from now on. A receiver that falls 1024 behind is told how many it missed.
    ///
    /// Messages sent while the connection was lost are lost: look again after every epoch.
    pub(crate) fn messages(&self) -> broadcast::Receiver<Bytes> {
        self.handle.shared().mailbox.messages()
    }

    /// Resolves once Redis has confirmed the subscription on the connection of the moment.
    ///
    /// Costs nothing where it has already; otherwise one round trip, shared by all who wait.
    ///
    /// # Errors
    /// As for a command: at once while Redis is away, after the command time-out without an
    /// answer, and where Redis refuses the channel (then the next call asks again).
    ///
    /// # Cancel safety
    /// Dropping the future leaves the subscription wanted.
    pub(crate) async fn ready(&self) -> Result<(), RedisError> {
        let shared = self.handle.shared();
        shared.breaker.admit()?;
        let mut subscription = shared.mailbox.subscription();
        if matches!(*subscription.borrow_and_update(), Subscription::Confirmed) {
            return Ok(());
        }
        self.handle.subscribe()?;
        let answered = async {
            loop {
                // The sender lives as long as the handle, so an error cannot come.
                let _ = subscription.changed().await;
                match &*subscription.borrow_and_update() {
                    Subscription::Confirmed => return Ok(()),
                    Subscription::Refused(error) => return Err(error.clone()),
                    // Lost with its connection: the next one subscribes by itself.
                    Subscription::Pending | Subscription::Asked => {}
                }
            }
        };
        tokio::time::timeout(self.handle.command_timeout(), answered)
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
