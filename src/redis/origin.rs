//! Where a link leads: which server answers there at the moment, and what belongs to it beside the link.
//!
//! Floor 3.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

#[cfg(feature = "cluster")]
use super::cluster::node::Node;
use super::slots::Slots;

/// Whoever needs `INFO` for nothing else has the right to it only to be told who writes.
pub(crate) const MUTE: &str = "Redis does not say which server it is: this user needs INFO";

/// One for each link, for as long as the link lasts.
#[derive(Debug, Default)]
pub(crate) struct Origin {
    /// None where the handle's settings say it: there is one server.
    #[cfg(feature = "cluster")]
    pub(crate) node: Option<Node>,
    now: Mutex<Option<Connected>>,
    pub(crate) slots: Slots,
}

/// One connection, and the server that it leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Connected {
    /// Of all that this process ever made: a later one has a larger number.
    pub(crate) number: u64,
    /// What the server calls itself from its start to its end; none where it does not say.
    pub(crate) run: Option<Arc<str>>,
}

impl Origin {
    #[cfg(feature = "cluster")]
    pub(crate) fn at(node: &Node) -> Self {
        Self {
            node: Some(node.clone()),
            ..Self::default()
        }
    }

    /// Another connection is there, to the server of this run.
    pub(crate) fn connected(&self, run: Option<Arc<str>>) {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        *now = Some(Connected { number, run });
    }

    /// The last connection, also one that was just lost; none before the first.
    pub(crate) fn now(&self) -> Option<Connected> {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        now.clone()
    }

    /// Which connection it is: 0 before the first.
    pub(crate) fn number(&self) -> u64 {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        now.as_ref().map_or(0, |now| now.number)
    }
}
