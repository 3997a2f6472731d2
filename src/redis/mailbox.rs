//! Messages that other processes send to this one: one channel a process.
//!
//! Floor 3.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use redis::{PushInfo, PushKind, Value};
use tokio::sync::watch;
use tokio::time::Instant;

use super::error::RedisError;
use super::keyspace::Keyspace;
use crate::instance::place;

/// Who is told of each message, where it comes in: between two replies, so it only hands on.
pub(crate) type Ear = Box<dyn Fn(&[u8]) + Send + Sync>;

/// What Redis refused is not asked for again before that: every request that may wait wants the inbox.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// What became of the subscription on the connection of the moment.
#[derive(Debug, Clone)]
pub(crate) enum Subscription {
    /// Not asked for on this connection.
    Pending,
    /// Asked for, not answered.
    Asked,
    Confirmed,
    Refused(RedisError, Instant),
}

impl Subscription {
    /// Why it is not worth asking again yet.
    pub(crate) fn refusal(&self) -> Option<&RedisError> {
        match self {
            Self::Refused(error, at) if at.elapsed() < ASK_AGAIN => Some(error),
            _ => None,
        }
    }
}

/// The process's channel, what came in on it, and whether it is subscribed.
pub(crate) struct Mailbox {
    channel: String,
    keyspace: Keyspace,
    /// Of the same kind, so that the same right is needed for it.
    silent_channel: String,
    subscription: watch::Sender<Subscription>,
    ear: Arc<OnceLock<Ear>>,
}

impl Mailbox {
    /// The name is drawn at random: no other process, and no earlier life of this one, has it. What
    /// follows tells operators whose it is: `{name}[/{instance}]@{host}:{pid}`.
    pub(crate) fn new(keyspace: &Keyspace, instance: Option<&str>) -> Self {
        let name = u128::from_le_bytes(crate::random::bytes());
        let slash = if instance.is_some() { "/" } else { "" };
        let (instance, place) = (instance.unwrap_or_default(), place());
        Self {
            channel: keyspace.channel("inbox1", &format!("{name:032x}{slash}{instance}@{place}")),
            silent_channel: keyspace.channel("inbox1", ""),
            keyspace: keyspace.clone(),
            subscription: watch::Sender::new(Subscription::Pending),
            ear: Arc::default(),
        }
    }

    /// The same channel on another connection: what comes in on either is heard by all.
    #[cfg(feature = "cluster")]
    pub(crate) fn beside(&self) -> Self {
        Self {
            channel: self.channel.clone(),
            silent_channel: self.silent_channel.clone(),
            keyspace: self.keyspace.clone(),
            subscription: watch::Sender::new(Subscription::Pending),
            ear: Arc::clone(&self.ear),
        }
    }

    pub(crate) fn channel(&self) -> &str {
        &self.channel
    }

    /// One that nobody ever listens to.
    pub(crate) fn silent_channel(&self) -> &str {
        &self.silent_channel
    }

    /// The names of keys beside it.
    pub(crate) fn keyspace(&self) -> &Keyspace {
        &self.keyspace
    }

    /// Messages go to this ear from now on, if it is the first.
    pub(crate) fn hear(&self, ear: impl FnOnce() -> Ear) {
        self.ear.get_or_init(ear);
    }

    pub(crate) fn subscription(&self) -> watch::Receiver<Subscription> {
        self.subscription.subscribe()
    }

    /// Returns whether Redis is to be asked: not while it was, has confirmed, or has just refused.
    pub(crate) fn begin(&self) -> bool {
        self.subscription.send_if_modified(|subscription| {
            let idle = match subscription {
                Subscription::Pending => true,
                Subscription::Refused(..) => subscription.refusal().is_none(),
                Subscription::Asked | Subscription::Confirmed => false,
            };
            if idle {
                *subscription = Subscription::Asked;
            }
            idle
        })
    }

    /// What became of the last attempt to subscribe; pending again once the connection is lost.
    pub(crate) fn set(&self, subscription: Subscription) {
        self.subscription.send_replace(subscription);
    }

    /// Runs inside the connection's driver. Without an ear a message is dropped: nobody waits for
    /// anything then.
    pub(crate) fn deliver(&self, push: &PushInfo) {
        if push.kind == PushKind::Message
            && let Some(Value::BulkString(message)) = push.data.get(1)
            && let Some(ear) = self.ear.get()
        {
            ear(message);
        }
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox")
            .field("channel", &self.channel)
            .finish_non_exhaustive()
    }
}
