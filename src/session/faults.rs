//! A store that fails when told to, for tests.
//! Floor 4.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::session::commits::Commits;
use crate::session::error::{StoreError, StoreErrorKind};
use crate::session::id::SessionId;
use crate::session::record::SessionRecord;
use crate::session::save::{NewSession, Save, SaveOutcome};
use crate::session::store::SessionStore;
use crate::session::token::VerifierHash;
use crate::session::user_session::{Revoke, UserSession};

/// Wraps a store and fails as told, so that you can see what your handlers make of it. Cheap to
/// clone; the clones are one store with one set of faults. Feature `testing`.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
/// use tower_handoff::session::{Fault, FaultySessions, MemorySessions, SessionLayer};
///
/// let store = FaultySessions::new(MemorySessions::new());
/// let sessions = SessionLayer::new(store.clone());
///
/// store.fail(Fault::Down); // until healed
/// store.heal();
/// store.fail_nth(2, Fault::ReplyLost); // the operation after the next one, and no other
/// assert_eq!(store.operations(), 0);
/// # let _ = sessions;
/// # });
/// ```
pub struct FaultySessions<S> {
    inner: Arc<S>,
    plan: Arc<Mutex<Plan>>,
}

/// What goes wrong with an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Nothing is done: [`StoreErrorKind::Unavailable`], at once.
    Down,
    /// Nothing is done, and nobody answers until the store's own time-out is over:
    /// [`StoreErrorKind::OutcomeUnknown`].
    Hang(Duration),
    /// It is done, after so long.
    Slow(Duration),
    /// It is done, and the reply is lost: [`StoreErrorKind::OutcomeUnknown`].
    ReplyLost,
    /// No session is found, and nothing is done to the one that is there. A new one is created.
    Nil,
    /// Nothing is done: [`StoreErrorKind::Corrupt`].
    Corrupt,
    /// Nothing is done: [`StoreErrorKind::NewerFormat`].
    Newer,
}

#[derive(Default)]
struct Plan {
    always: Option<Fault>,
    /// Counts down to one, whose turn it is.
    nth: Option<(u64, Fault)>,
    operations: u64,
}

impl<S: SessionStore> FaultySessions<S> {
    /// A store that does what `store` does, as long as nobody asks for a fault.
    #[must_use]
    pub fn new(store: S) -> Self {
        Self {
            inner: Arc::new(store),
            plan: Arc::default(),
        }
    }

    /// Fails every operation that begins from now on, renewals that nobody waits for included.
    pub fn fail(&self, fault: Fault) {
        self.plan().always = Some(fault);
    }

    /// Fails the `n`th operation from now on, the next one being the first, and no other; on top
    /// of what [`fail`](Self::fail) said. Asked twice, the last word counts.
    pub fn fail_nth(&self, n: u64, fault: Fault) {
        self.plan().nth = Some((n, fault));
    }

    /// Fails nothing more that begins from now on.
    pub fn heal(&self) {
        let mut plan = self.plan();
        plan.always = None;
        plan.nth = None;
    }

    /// How many operations have begun, failed ones included; the clock is none.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.plan().operations
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Option<Fault> {
        let mut plan = self.plan();
        plan.operations += 1;
        match plan.nth.take() {
            Some((0 | 1, fault)) => return Some(fault),
            Some((n, fault)) => plan.nth = Some((n - 1, fault)),
            None => {}
        }
        plan.always
    }

    async fn run<T>(
        &self,
        nil: Option<T>,
        operation: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let kind = match (self.next(), nil) {
            (None, _) | (Some(Fault::Nil), None) => return operation.await,
            (Some(Fault::Nil), Some(nil)) => return Ok(nil),
            (Some(Fault::Slow(time)), _) => {
                tokio::time::sleep(time).await;
                return operation.await;
            }
            (Some(Fault::Hang(time)), _) => {
                tokio::time::sleep(time).await;
                StoreErrorKind::OutcomeUnknown
            }
            (Some(Fault::ReplyLost), _) => {
                operation.await?;
                StoreErrorKind::OutcomeUnknown
            }
            (Some(Fault::Down), _) => StoreErrorKind::Unavailable,
            (Some(Fault::Corrupt), _) => StoreErrorKind::Corrupt,
            (Some(Fault::Newer), _) => StoreErrorKind::NewerFormat,
        };
        Err(StoreError::new(kind).with_source("a fault that a test asked for"))
    }
}

impl<S: SessionStore> SessionStore for FaultySessions<S> {
    fn now_ms(&self) -> u64 {
        self.inner.now_ms()
    }

    async fn load(&self, id: &SessionId) -> Result<Option<SessionRecord>, StoreError> {
        self.run(Some(None), self.inner.load(id)).await
    }

    async fn create(&self, id: &SessionId, new: &NewSession<'_>) -> Result<bool, StoreError> {
        self.run(None, self.inner.create(id, new)).await
    }

    async fn save(&self, id: &SessionId, save: &Save<'_>) -> Result<SaveOutcome, StoreError> {
        let nil = Some(SaveOutcome::Absent);
        self.run(nil, self.inner.save(id, save)).await
    }

    async fn renew(&self, id: &SessionId, verifier: &VerifierHash) -> Result<bool, StoreError> {
        let renew = self.inner.renew(id, verifier);
        self.run(Some(false), renew).await
    }

    async fn destroy(&self, id: &SessionId, verifier: &VerifierHash) -> Result<bool, StoreError> {
        let destroy = self.inner.destroy(id, verifier);
        self.run(Some(false), destroy).await
    }

    async fn sessions_of(&self, user: &str) -> Result<Vec<UserSession>, StoreError> {
        let list = self.inner.sessions_of(user);
        self.run(Some(Vec::new()), list).await
    }

    async fn revoke(&self, user: &str, which: Revoke) -> Result<u64, StoreError> {
        let revoke = self.inner.revoke(user, which);
        self.run(Some(0), revoke).await
    }

    fn commits(&self) -> Commits {
        self.inner.commits()
    }
}

impl<S> Clone for FaultySessions<S> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            plan: Arc::clone(&self.plan),
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for FaultySessions<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultySessions")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
