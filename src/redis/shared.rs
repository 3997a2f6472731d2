//! What the handles read and the supervisor writes, and what neither changes.
//!
//! Floor 3.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::clock::Clock;
#[cfg(feature = "cluster")]
use super::cluster::{news::Teller, node::Node};
#[cfg(feature = "cluster")]
use super::dial::Target;
use super::mailbox::Mailbox;
use super::origin::Origin;
use super::refusals::Refusals;
use super::status::Breaker;
use super::whereabouts::Whereabouts;

/// The most commands in one pipeline. Its replies come all at once, when Redis has carried out the
/// last of them: with short ones, callers go on while Redis works on the next.
pub(crate) const PIPELINE: usize = 8;

/// What is set at construction.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) whereabouts: Whereabouts,
    pub(crate) command_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) queue_bound: usize,
    /// The process's name, for operators.
    pub(crate) instance: Option<Arc<str>>,
}

impl Settings {
    /// How a node of the Cluster is spoken to.
    #[cfg(feature = "cluster")]
    pub(crate) fn target(&self, node: &Node) -> Target {
        self.whereabouts.target().at(node)
    }

    /// The same for one node.
    #[cfg(feature = "cluster")]
    pub(crate) fn at(&self, node: &Node) -> Self {
        Self {
            whereabouts: Whereabouts::Fixed(self.target(node)),
            ..self.clone()
        }
    }

    /// For logs: without user and password.
    pub(crate) fn address(&self) -> String {
        self.whereabouts.address()
    }
}

/// What the supervisor knows and every handle may look at.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) breaker: Breaker,
    pub(crate) refusals: Refusals,
    pub(crate) clock: Clock,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) origin: Arc<Origin>,
    /// Whether it is one node of several.
    pub(crate) clustered: bool,
    /// Grows with every connection.
    pub(crate) epochs: watch::Sender<u64>,
    /// Rung when as much is queued as makes a pipeline.
    pub(crate) full: Notify,
    /// Rung when a handle was closed: send what is queued, wait for its replies, then end.
    pub(crate) closing: Notify,
    /// Who hears of redirects and outages, where this is the link to one node of several.
    #[cfg(feature = "cluster")]
    pub(crate) teller: Option<Teller>,
}

#[cfg(feature = "cluster")]
impl Shared {
    /// The breaker has changed.
    pub(crate) fn tell_status(&self) {
        if let Some(teller) = &self.teller {
            teller.status();
        }
    }
}
