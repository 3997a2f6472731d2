//! The port to where sessions are kept, and what a store promises.
//! Floor 2.

use std::future::Future;
use std::pin::Pin;

use crate::session::commits::Commits;
use crate::session::error::StoreError;
use crate::session::id::SessionId;
use crate::session::record::SessionRecord;
use crate::session::save::{NewSession, Save, SaveOutcome};
use crate::session::token::VerifierHash;
use crate::session::user_session::{Revoke, UserSession};

/// Keeps sessions: [`MemorySessions`](crate::session::MemorySessions), Redis, or one of your own.
///
/// # Contract
/// - **Every operation that writes is atomic**: it reads the record, decides, and writes, and no
///   other write to the same session comes between. This is what keeps a slow request from
///   bringing a session back that was logged out meanwhile.
/// - **Only `create` makes a session.** Nothing else stores under an id that is not there.
/// - **An expired session is not there**, for every operation: [`SessionRecord::expires_ms`] by
///   the store's own clock, which all instances share.
/// - **What is not understood stays**: bytes that [`SessionRecord::decode`] refuses are an error of
///   the operation, and are neither overwritten nor deleted.
/// - **A session belongs to the user that its record names** ([`SessionRecord::user`]), from the
///   write that says so to the next: `sessions_of` finds all that live, and `revoke` ends them. An
///   index beside the records must lose no live session, and keep nothing for ever of dead ones.
/// - **A dropped future** leaves the operation done or not done, never half.
/// - **Every operation ends** in bounded time, with an error where the store does not answer.
/// - **It ends for good**: a write whose caller was told that nobody knows is not carried out beyond a time
///   that the store names, behind others that were answered. `destroy` may be: it is for one secret. A
///   transaction that is rolled back when its connection is given up has this; a message that is sent to a
///   server has not by itself.
///
/// `session::contract::check` (feature `testing`) puts a store through all of it.
///
/// # A wrong store and a right one
/// `Rows` stands for a table. Wrong: between the two statements another request may delete the
/// session, and this one brings it back, with the user logged in again. Right: one transaction
/// holds the row from the read to the write.
///
/// ```
/// # use std::collections::HashMap;
/// # use std::sync::Mutex;
/// # use std::time::{SystemTime, UNIX_EPOCH};
/// # use tower_handoff::session::*;
/// struct Rows(Mutex<HashMap<SessionId, SessionRecord>>);
///
/// impl Rows {
///     async fn wrong_save(&self, id: &SessionId, save: &Save<'_>) -> Result<SaveOutcome, StoreError> {
///         let current = self.load(id).await?;
///         let (outcome, record) = save.apply(current.as_ref(), self.now_ms());
///         if let Some(record) = record {
///             self.0.lock().unwrap().insert(*id, record);
///         }
///         Ok(outcome)
///     }
/// }
///
/// impl SessionStore for Rows {
///     async fn save(&self, id: &SessionId, save: &Save<'_>) -> Result<SaveOutcome, StoreError> {
///         let now_ms = self.now_ms();
///         let mut rows = self.0.lock().unwrap(); // begin; select … for update
///         let current = rows.get(id).filter(|record| record.expires_ms() > now_ms);
///         let (outcome, record) = save.apply(current, now_ms);
///         if let Some(record) = record {
///             rows.insert(*id, record); // update, which finds the row it read
///         }
///         Ok(outcome) // commit
///     }
///
///     // …
/// #   fn now_ms(&self) -> u64 {
/// #       SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
/// #   }
/// #   async fn load(&self, id: &SessionId) -> Result<Option<SessionRecord>, StoreError> {
/// #       let now_ms = self.now_ms();
/// #       let record = self.0.lock().unwrap().get(id).cloned();
/// #       Ok(record.filter(|record| record.expires_ms() > now_ms))
/// #   }
/// #   async fn create(&self, id: &SessionId, new: &NewSession<'_>) -> Result<bool, StoreError> {
/// #       let now_ms = self.now_ms();
/// #       let mut rows = self.0.lock().unwrap();
/// #       let free = !rows.contains_key(id);
/// #       rows.entry(*id).or_insert_with(|| new.record(now_ms));
/// #       Ok(free)
/// #   }
/// #   async fn renew(&self, id: &SessionId, verifier: &VerifierHash) -> Result<bool, StoreError> {
/// #       let now_ms = self.now_ms();
/// #       let mut rows = self.0.lock().unwrap();
/// #       let current = rows.get(id).filter(|record| record.expires_ms() > now_ms);
/// #       let renewed = current.and_then(|record| record.renewed(verifier, now_ms));
/// #       Ok(renewed.map(|record| rows.insert(*id, record)).is_some())
/// #   }
/// #   async fn destroy(&self, id: &SessionId, verifier: &VerifierHash) -> Result<bool, StoreError> {
/// #       let now_ms = self.now_ms();
/// #       let mut rows = self.0.lock().unwrap();
/// #       let current = rows.get(id).filter(|record| record.expires_ms() > now_ms);
/// #       let owned = current.map(|record| record.verify(verifier, now_ms)) == Some(Verdict::Current);
/// #       Ok(owned && rows.remove(id).is_some())
/// #   }
/// #   async fn sessions_of(&self, user: &str) -> Result<Vec<UserSession>, StoreError> {
/// #       let now_ms = self.now_ms();
/// #       let rows = self.0.lock().unwrap();
/// #       let live = rows.iter().filter(|(_, record)| record.expires_ms() > now_ms);
/// #       let theirs = live.filter(|(_, record)| record.user() == Some(user));
/// #       Ok(theirs.map(|(id, record)| UserSession::new(*id, record)).collect())
/// #   }
/// #   async fn revoke(&self, user: &str, which: Revoke) -> Result<u64, StoreError> {
/// #       let now_ms = self.now_ms();
/// #       let mut rows = self.0.lock().unwrap();
/// #       rows.retain(|_, record| record.expires_ms() > now_ms);
/// #       let before = rows.len();
/// #       rows.retain(|id, record| record.user() != Some(user) || !which.ends(id));
/// #       Ok((before - rows.len()) as u64)
/// #   }
/// }
/// # #[cfg(feature = "testing")]
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
/// #     .block_on(contract::check(&Rows(Mutex::default())));
/// ```
pub trait SessionStore: Send + Sync + 'static {
    /// The store's clock, in Unix milliseconds; an estimate, where the clock is elsewhere. Used to
    /// tell late requests from strangers, to know when a renewal is due, and for the cookie's
    /// lifetime; no session ends by it.
    fn now_ms(&self) -> u64;

    /// The session under `id`. Whether the request may use it, the caller finds out.
    ///
    /// # Errors
    /// Where the store is away, or what is stored is no record of this format.
    fn load(
        &self,
        id: &SessionId,
    ) -> impl Future<Output = Result<Option<SessionRecord>, StoreError>> + Send;

    /// Stores a new session; `false`, and nothing stored, where the id is taken.
    ///
    /// # Errors
    /// Where the store is away or full.
    fn create(
        &self,
        id: &SessionId,
        new: &NewSession<'_>,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Writes to a session that exists, as [`Save::apply`] says.
    /// Marks it as used where a renewal is due.
    ///
    /// # Errors
    /// Where the store is away, or what is stored is no record of this format.
    fn save(
        &self,
        id: &SessionId,
        save: &Save<'_>,
    ) -> impl Future<Output = Result<SaveOutcome, StoreError>> + Send;

    /// Marks a session as used now, as [`SessionRecord::renewed`] says; `false` where there is no
    /// session that the verifier opens.
    ///
    /// # Errors
    /// Where the store is away, or what is stored is no record of this format.
    fn renew(
        &self,
        id: &SessionId,
        verifier: &VerifierHash,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Deletes a session, if the verifier is the current one; `false` where there is no session
    /// that the verifier opens.
    ///
    /// # Errors
    /// Where the store is away, or what is stored is no record of this format.
    fn destroy(
        &self,
        id: &SessionId,
        verifier: &VerifierHash,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// The live sessions that belong to a user, in any order.
    ///
    /// # Errors
    /// Where the store is away, or one of them is no record of this format.
    fn sessions_of(
        &self,
        user: &str,
    ) -> impl Future<Output = Result<Vec<UserSession>, StoreError>> + Send;

    /// Deletes those sessions of a user's that `which` picks, and says how many. Whose a session
    /// is, its record says: an id alone deletes nothing.
    ///
    /// # Errors
    /// Where the store is away, or one of them is no record of this format; those that are, are
    /// deleted.
    fn revoke(
        &self,
        user: &str,
        which: Revoke,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Where it is noted what a shutdown waits for, in a store whose connection the shutdown closes:
    /// that of Redis waits for it by itself, when its handle is
    /// [managed](crate::lifecycle::LifecycleBuilder::manage). A store around another one hands on
    /// what that says. Default: a place of the layer's own, for
    /// [`SessionLayer::commits`](crate::session::SessionLayer::commits). Called once a layer.
    fn commits(&self) -> Commits {
        Commits::default()
    }
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// The port behind a pointer, so that `Session` need not name the store's type.
pub(crate) trait DynStore: Send + Sync {
    fn now_ms(&self) -> u64;
    fn load<'a>(&'a self, id: &'a SessionId) -> Answer<'a, Option<SessionRecord>>;
    fn create<'a>(&'a self, id: &'a SessionId, new: &'a NewSession<'_>) -> Answer<'a, bool>;
    fn save<'a>(&'a self, id: &'a SessionId, save: &'a Save<'_>) -> Answer<'a, SaveOutcome>;
    fn renew<'a>(&'a self, id: &'a SessionId, verifier: &'a VerifierHash) -> Answer<'a, bool>;
    fn destroy<'a>(&'a self, id: &'a SessionId, verifier: &'a VerifierHash) -> Answer<'a, bool>;
    fn sessions_of<'a>(&'a self, user: &'a str) -> Answer<'a, Vec<UserSession>>;
    fn revoke<'a>(&'a self, user: &'a str, which: Revoke) -> Answer<'a, u64>;
}

impl<S: SessionStore> DynStore for S {
    fn now_ms(&self) -> u64 {
        SessionStore::now_ms(self)
    }

    fn load<'a>(&'a self, id: &'a SessionId) -> Answer<'a, Option<SessionRecord>> {
        Box::pin(SessionStore::load(self, id))
    }

    fn create<'a>(&'a self, id: &'a SessionId, new: &'a NewSession<'_>) -> Answer<'a, bool> {
        Box::pin(SessionStore::create(self, id, new))
    }

    fn save<'a>(&'a self, id: &'a SessionId, save: &'a Save<'_>) -> Answer<'a, SaveOutcome> {
        Box::pin(SessionStore::save(self, id, save))
    }

    fn renew<'a>(&'a self, id: &'a SessionId, verifier: &'a VerifierHash) -> Answer<'a, bool> {
        Box::pin(SessionStore::renew(self, id, verifier))
    }

    fn destroy<'a>(&'a self, id: &'a SessionId, verifier: &'a VerifierHash) -> Answer<'a, bool> {
        Box::pin(SessionStore::destroy(self, id, verifier))
    }

    fn sessions_of<'a>(&'a self, user: &'a str) -> Answer<'a, Vec<UserSession>> {
        Box::pin(SessionStore::sessions_of(self, user))
    }

    fn revoke<'a>(&'a self, user: &'a str, which: Revoke) -> Answer<'a, u64> {
        Box::pin(SessionStore::revoke(self, user, which))
    }
}
