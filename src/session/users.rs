//! The sessions of users: list them, end them.
//! Floor 5.

use std::fmt;
use std::sync::Arc;

use crate::session::error::SessionError;
use crate::session::id::SessionId;
use crate::session::store::{DynStore, SessionStore};
use crate::session::terms::check_user;
use crate::session::user_session::{Revoke, UserSession};
use crate::telemetry::names::Sessions;
use crate::telemetry::record::add;

/// The sessions that users are logged in with. Cheap to clone; needs no request.
///
/// A session belongs to a user from [`Session::bind`](crate::session::Session::bind) on. A session
/// that is ended here is gone as if its owner had destroyed it: a request that is under way with
/// it writes nothing any more, and cannot bring it back. Its cookie stays in the browser and opens
/// nothing; where the request's own session is among them, call
/// [`destroy`](crate::session::Session::destroy) first, which takes the cookie away.
///
/// # Errors
/// Every method fails with [`SessionErrorKind::InvalidUser`](crate::session::SessionErrorKind)
/// where the name has not 1 to 256 bytes; `Unavailable` where the store is away, or a session of
/// the user's was written by a newer version: of more than 500 sessions in Redis, and on a Cluster, some may
/// have been ended then; `OutcomeUnknown` where the store does not answer;
/// and `Corrupt` where what is stored is no session. What can be ended is ended also then. On a Cluster an
/// entry of the list that is no id is `Corrupt` once, and removed: whose session it was is not known.
///
/// # Cost
/// One round trip up to 500 sessions of the user's, one more for each 500 further. In Redis, one
/// script each: about 3 µs of its time a session.
///
/// # Cancel safety
/// Dropped before it is ready, a method that ends sessions may have ended all, some or none.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use tower_handoff::session::{MemorySessions, SessionError, SessionLayer, Users};
///
/// let sessions = MemorySessions::new();
/// let users = Users::new(sessions.clone());
/// let layer = SessionLayer::new(sessions);
/// // The account was taken over: nobody stays in.
/// let ended = users.revoke_all("ada").await?;
/// # assert_eq!(ended, 0);
/// # Ok::<_, SessionError>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Users(Arc<dyn DynStore>);

impl Users {
    /// The users whose sessions are in `store`.
    #[must_use]
    pub fn new(store: impl SessionStore) -> Self {
        Self(Arc::new(store))
    }

    pub(crate) fn of(store: Arc<dyn DynStore>) -> Self {
        Self(store)
    }

    /// The user's live sessions, the one used last first.
    ///
    /// # Errors
    /// See [above](Self#errors).
    pub async fn sessions(&self, user: &str) -> Result<Vec<UserSession>, SessionError> {
        check_user(user)?;
        let mut sessions = self.0.sessions_of(user).await?;
        sessions.sort_by_key(|session| (std::cmp::Reverse(session.seen_ms()), *session.id()));
        Ok(sessions)
    }

    /// Ends one session. `false`, and nothing ended, where it is not a session of this user's:
    /// knowing a public id ends nobody else's session.
    ///
    /// # Errors
    /// See [above](Self#errors).
    pub async fn revoke(&self, user: &str, id: &SessionId) -> Result<bool, SessionError> {
        Ok(self.end(user, Revoke::One(*id)).await? > 0)
    }

    /// Ends all sessions of the user's but `keep`, and says how many: "log out everywhere else".
    ///
    /// # Errors
    /// See [above](Self#errors).
    pub async fn revoke_others(&self, user: &str, keep: &SessionId) -> Result<u64, SessionError> {
        self.end(user, Revoke::Others(*keep)).await
    }

    /// Ends all sessions of the user's, and says how many.
    ///
    /// # Errors
    /// See [above](Self#errors).
    pub async fn revoke_all(&self, user: &str) -> Result<u64, SessionError> {
        self.end(user, Revoke::All).await
    }

    async fn end(&self, user: &str, which: Revoke) -> Result<u64, SessionError> {
        check_user(user)?;
        let ended = self.0.revoke(user, which).await?;
        add(Sessions::Destroyed, ended as usize);
        Ok(ended)
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Users").finish_non_exhaustive()
    }
}
