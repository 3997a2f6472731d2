//! What the handles read and the supervisor writes, and what neither changes.
//!
//! Floor 3.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::clock::Clock;
#[cfg(feature = "cluster")]
use super::cluster::news::Teller;
use super::dial::Target;
use super::mailbox::Mailbox;
use super::status::Breaker;

/// The most commands in one pipeline. Its replies come all at once, when Redis has carried out the
/// last of them: with short ones, callers go on while Redis works on the next.
pub(crate) const PIPELINE: usize = 8;

/// What is set at construction.
#[derive(Debug)]
#[cfg_attr(feature = "cluster", derive(Clone))]
pub(crate) struct Settings {
    pub(crate) target: Target,
    pub(crate) command_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) queue_bound: usize,
}

impl Settings {
    /// The same for another server.
    #[cfg(feature = "cluster")]
    pub(crate) fn at(&self, target: Target) -> Self {
        Self {
            target,
            ..self.clone()
        }
    }

    /// Host and port, or path: without user and password.
    pub(crate) fn address(&self) -> String {
        self.target.info.addr().to_string()
    }
}

/// What the supervisor knows and every handle may look at.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) breaker: Breaker,
    pub(crate) clock: Clock,
    pub(crate) mailbox: Arc<Mailbox>,
    /// Grows with every connection.
    pub(crate) epochs: watch::Sender<u64>,
    /// Rung when as much is queued as makes a pipeline.
    pub(crate) full: Notify,
    /// Who hears of redirects and outages, where this is one node of several.
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
