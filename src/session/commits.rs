//! The writes that a shutdown waits for.
//! Floor 2.

use std::fmt;
use std::sync::Arc;

use tokio::sync::{OwnedRwLockReadGuard, RwLock};

use crate::session::error::{SessionError, SessionErrorKind};
use crate::telemetry::pending::{Operation, Pending};

/// What goes on though nobody waits for it, and a shutdown does: commits of detached handles, and
/// log-outs ([`Session::destroy`](crate::session::Session::destroy)). Clones are one and the same.
///
/// Said by a store ([`SessionStore::commits`](crate::session::SessionStore::commits)).
#[derive(Clone, Default)]
pub struct Commits {
    /// Read by each of them, written by the shutdown.
    gate: Arc<RwLock<()>>,
    pending: Pending,
}

impl Commits {
    /// One more, until it is dropped.
    pub(crate) async fn begin(&self) -> UnderWay {
        let gate = Arc::clone(&self.gate).read_owned().await;
        UnderWay {
            operation: self.pending.begin(),
            _gate: gate,
        }
    }

    /// Waits for what is under way.
    pub(crate) async fn flush(&self) {
        let _flush = self.pending.flush();
        drop(self.gate.write().await);
    }
}

impl fmt::Debug for Commits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commits").finish_non_exhaustive()
    }
}

pub(crate) struct UnderWay {
    // Dropped first: before the shutdown sees that it has ended.
    operation: Operation,
    _gate: OwnedRwLockReadGuard<()>,
}

impl UnderWay {
    pub(crate) fn ends<T>(mut self, result: &Result<T, SessionError>) {
        use SessionErrorKind::{OutcomeUnknown, Unavailable};
        let kind = result.as_ref().err().map(SessionError::kind);
        if !matches!(kind, Some(Unavailable | OutcomeUnknown)) {
            self.operation.is_answered();
        }
    }
}
