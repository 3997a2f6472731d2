//! Who has answered: what was written has to be replicated from there.
//!
//! Floor 3.

use std::sync::{Arc, Mutex, PoisonError};

use super::origin::{Connected, Origin};

/// Kept along with commands, wherever they are sent on to, by all who ask through one handle.
#[derive(Debug, Default)]
pub(crate) struct Trace(Mutex<Vec<Answered>>);

/// A connection on which a command was carried out.
#[derive(Debug, Clone)]
pub(crate) struct Answered {
    pub(crate) origin: Arc<Origin>,
    pub(crate) by: Connected,
}

impl Trace {
    /// Noted once for each connection. Called where its reply is read, so while it is the last one.
    pub(crate) fn answered(&self, origin: &Arc<Origin>) {
        let Some(by) = origin.now() else {
            return;
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !all.iter().any(|one| one.by.number == by.number) {
            all.push(Answered {
                origin: Arc::clone(origin),
                by,
            });
        }
    }

    /// All that were noted, and forgotten with that.
    pub(crate) fn take(&self) -> Vec<Answered> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *all)
    }
}
