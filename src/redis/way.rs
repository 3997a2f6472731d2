//! From a handle to the connection that has a key: one there is, or one for each master.
//!
//! Floor 3.

use std::ops::Deref;
use std::sync::Arc;

use redis::Cmd;
use tokio::sync::watch;

use super::beside::{Beside, useless};
#[cfg(feature = "cluster")]
use super::cluster::hold::Hold;
#[cfg(feature = "cluster")]
use super::cluster::slot;
use super::error::RedisError;
use super::link::Link;
use super::mailbox::Mailbox;
use super::origin::{MUTE, Origin};
use super::queue::{Item, Queued};
use super::status::RedisStatus;

pub(crate) enum Way {
    One(Link),
    #[cfg(feature = "cluster")]
    Many(Hold),
}

/// The link to where a key is.
pub(crate) enum At<'a> {
    Only(&'a Link),
    #[cfg(feature = "cluster")]
    Node(Arc<Link>),
}

impl Deref for At<'_> {
    type Target = Link;

    fn deref(&self) -> &Link {
        match self {
            Self::Only(link) => link,
            #[cfg(feature = "cluster")]
            Self::Node(link) => link,
        }
    }
}

impl Way {
    /// The link for keys of this hash tag; none while nobody is known to have them.
    pub(crate) fn at<T: AsRef<str>>(&self, tag: impl FnOnce() -> T) -> Option<At<'_>> {
        match self {
            Self::One(link) => {
                let _ = tag;
                Some(At::Only(link))
            }
            #[cfg(feature = "cluster")]
            Self::Many(nodes) => nodes
                .of_slot(slot::of_tag(tag().as_ref().as_bytes()))
                .map(At::Node),
        }
    }

    /// Whether replicas could be waited for where this command is carried out, as far as is known.
    ///
    /// # Errors
    /// Always of the kind `Away`: better not written at all.
    pub(crate) async fn could_last(&self, command: &Cmd) -> Result<(), RedisError> {
        let origin = match self {
            Self::One(link) => Arc::clone(&link.shared.origin),
            #[cfg(feature = "cluster")]
            Self::Many(nodes) => Arc::clone(&nodes.of_command(command)?.shared.origin),
        };
        #[cfg(not(feature = "cluster"))]
        let _ = command;
        if origin.now().is_some_and(|now| now.run.is_none()) {
            return Err(useless(MUTE));
        }
        Beside::of(&origin).serves().await
    }

    /// Queues a command for whoever has its first key.
    pub(crate) fn enqueue(&self, queued: Queued) -> Result<(), RedisError> {
        match self {
            Self::One(link) => link.enqueue(Item::Command(queued)),
            #[cfg(feature = "cluster")]
            Self::Many(nodes) => nodes
                .of_command(&queued.command)?
                .enqueue(Item::Command(queued)),
        }
    }

    pub(crate) fn status(&self) -> RedisStatus {
        match self {
            Self::One(link) => link.shared.breaker.status(),
            #[cfg(feature = "cluster")]
            Self::Many(nodes) => nodes.status(),
        }
    }

    /// What it refuses, and with Cluster which node does; or that this connection is away, where it is
    /// not the one that speaks for Redis.
    pub(crate) fn warning(&self) -> Option<String> {
        match self {
            Self::One(link) => link
                .warning()
                .or_else(|| Beside::of(&link.shared.origin).warning()),
            #[cfg(feature = "cluster")]
            Self::Many(nodes) => nodes.warning(),
        }
    }

    /// Of the connection, or of all together.
    pub(crate) fn epochs(&self) -> &watch::Sender<u64> {
        match self {
            Self::One(link) => &link.shared.epochs,
            #[cfg(feature = "cluster")]
            Self::Many(nodes) => &nodes.epochs,
        }
    }

    /// What stands in for the address where there are several.
    pub(crate) fn address(&self) -> Option<String> {
        match self {
            Self::One(_) => None,
            #[cfg(feature = "cluster")]
            Self::Many(nodes) => Some(nodes.address()),
        }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        match self {
            Self::One(link) => link.shared.clock.now_ms(),
            #[cfg(feature = "cluster")]
            Self::Many(nodes) => nodes.now_ms(),
        }
    }

    /// For the name of the channel and what comes in on it, whichever connection brings it.
    pub(crate) fn mailbox(&self) -> &Mailbox {
        match self {
            Self::One(link) => &link.shared.mailbox,
            #[cfg(feature = "cluster")]
            Self::Many(nodes) => &nodes.mailbox,
        }
    }

    /// Has the connection of this number, if it still is the one that leads there, give way to another.
    pub(crate) fn replace(&self, origin: &Origin, number: u64) {
        // An error means that it has ended.
        let replace = |link: &Link| drop(link.enqueue(Item::Replace(number)));
        match self {
            Self::One(link) => replace(link),
            #[cfg(feature = "cluster")]
            Self::Many(nodes) => nodes.each(|link| {
                if std::ptr::eq(&*link.shared.origin, origin) {
                    replace(link);
                }
            }),
        }
        #[cfg(not(feature = "cluster"))]
        let _ = origin;
    }

    /// The second connections, also those that were never wanted.
    pub(crate) fn besides(&self) -> Vec<Arc<Beside>> {
        let mut all = Vec::new();
        let mut add = |link: &Link| all.push(Beside::of(&link.shared.origin));
        match self {
            Self::One(link) => add(link),
            #[cfg(feature = "cluster")]
            Self::Many(nodes) => nodes.each(add),
        }
        all
    }

    /// Has every connection closed when what is queued was sent. Waits for nothing.
    pub(crate) fn close(&self) {
        match self {
            Self::One(link) => link.close(),
            #[cfg(feature = "cluster")]
            Self::Many(nodes) => nodes.close(),
        }
    }

    /// Resolves once every connection was closed.
    pub(crate) async fn closed(&self) {
        match self {
            Self::One(link) => link.closed().await,
            #[cfg(feature = "cluster")]
            Self::Many(nodes) => nodes.closed().await,
        }
    }
}
