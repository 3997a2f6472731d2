//! The writes that a shutdown waits for.
//! Floor 2.

use std::fmt;
use std::sync::Arc;

use tokio::sync::Notify;

use crate::session::error::{SessionError, SessionErrorKind};
use crate::telemetry::pending::{Operation, Pending};

/// What goes on though nobody waits for it, and a shutdown does: commits of detached handles, and
/// log-outs ([`Session::destroy`](crate::session::Session::destroy)). Clones are one and the same.
///
/// Said by a store ([`SessionStore::commits`](crate::session::SessionStore::commits)).
#[derive(Clone, Default)]
pub struct Commits {
    pending: Pending,
    /// Rings whenever one of them has ended.
    ended: Arc<Notify>,
}

impl Commits {
    /// One more, until it is dropped. Waits for nobody: what begins while a flush waits is to be sent before
    /// the connection is closed.
    pub(crate) fn begin(&self) -> UnderWay {
        UnderWay {
            operation: self.pending.begin(),
            _ended: Ended(Arc::clone(&self.ended)),
        }
    }

    /// Waits for what is under way, and for what begins until that has ended: not for ever, where requests
    /// that run on after a forced end leave no moment without one. Its caller says for how long.
    pub(crate) async fn flush(&self) {
        let _flush = self.pending.flush();
        for _ in 0..2 {
            let next = self.pending.next();
            loop {
                // Before the look: it rings for whoever listened by then.
                let ended = self.ended.notified();
                if self.pending.is_none_before(next) {
                    break;
                }
                ended.await;
            }
        }
    }
}

impl fmt::Debug for Commits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commits").finish_non_exhaustive()
    }
}

pub(crate) struct UnderWay {
    // Dropped first: before the shutdown hears that it has ended.
    operation: Operation,
    _ended: Ended,
}

struct Ended(Arc<Notify>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.notify_waiters();
    }
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
