//! Whose a request's session is, and how long it lives.
//! Floor 5.

use crate::session::error::SessionError;
use crate::session::expiry::SessionExpiry;
use crate::session::handle::Session;
use crate::session::terms::{Terms, check_user, cut_label};
use crate::session::users::Users;

/// Logging in and out, and being remembered. What these methods say takes effect at the commit,
/// as [`rotate`](Self::rotate) does: in the one round trip of the commit, and not at all where it
/// is discarded.
///
/// ```
/// use std::time::Duration;
/// use tower_handoff::session::{Session, SessionError, SessionExpiry};
///
/// async fn log_in(session: Session, user: &str, remember: bool) -> Result<(), SessionError> {
///     session.bind(user)?;
///     if remember {
///         let month = Duration::from_secs(30 * 24 * 60 * 60);
///         session.set_expiry(SessionExpiry::new(month / 2, month).expect("sensible times"))?;
///         session.set_persistent(true)?;
///     }
///     session.set("cart", &[0_u32; 0])
/// }
/// ```
impl Session {
    /// Logs a user in: from the commit on the session is theirs, and in the list that
    /// [`Users`] keeps.
    ///
    /// The session gets a new secret, as [`rotate`](Self::rotate) gives it, or is created where
    /// there is none; what is in it stays. It begins anew: with the layer's time-outs and cookie,
    /// unless [`set_expiry`](Self::set_expiry) or [`set_persistent`](Self::set_persistent) say
    /// otherwise in the same request. A session that was another user's leaves their list.
    ///
    /// A login under a session that ended meanwhile, and that the handler had looked at, is
    /// [`CommitOutcome::Gone`](crate::session::CommitOutcome::Gone): nobody is logged in, and the
    /// handler's response stands unless
    /// [`with_on_gone`](crate::session::SessionLayer::with_on_gone) answers. Of several users in
    /// one request the last one counts. A login is never [`optional`](Self::optional): where the
    /// store is away, the answer is 503. Should it not even say whether the login happened, the
    /// user may be logged in with a cookie that nobody has; the list shows it.
    ///
    /// # Errors
    /// [`InvalidUser`](crate::session::SessionErrorKind::InvalidUser) where the name has not 1 to
    /// 256 bytes, and [`Sealed`](crate::session::SessionErrorKind::Sealed).
    pub fn bind(&self, user: &str) -> Result<(), SessionError> {
        check_user(user)?;
        self.belong_to(user)
    }

    /// Makes the session nobody's at the commit, under a new secret; what is in it stays. To end
    /// it, which is what a logout is for, call [`destroy`](Self::destroy).
    ///
    /// # Errors
    /// [`Sealed`](crate::session::SessionErrorKind::Sealed).
    pub fn unbind(&self) -> Result<(), SessionError> {
        self.belong_to("")
    }

    fn belong_to(&self, user: &str) -> Result<(), SessionError> {
        let mut state = self.core().state();
        state.check_cookie_open()?;
        state.terms.user = Some(user.into());
        state.rotate = true;
        state.required = true;
        Ok(())
    }

    /// The user whom the session belongs to, or will with this request's commit.
    ///
    /// # Errors
    /// As every method that [reads](Self#errors).
    pub async fn user(&self) -> Result<Option<String>, SessionError> {
        let named = |user: &str| (!user.is_empty()).then(|| user.to_owned());
        if let Some(user) = &self.core().state().terms.user {
            return Ok(named(user));
        }
        let stored = self.core().load().await?;
        Ok(stored.and_then(|(_, record)| record.user().and_then(named)))
    }

    /// What lists of the user's sessions call this one: the device, say. Of a longer one, the
    /// first 255 bytes are kept. Creates no session.
    ///
    /// # Errors
    /// [`Sealed`](crate::session::SessionErrorKind::Sealed).
    pub fn set_label(&self, label: &str) -> Result<(), SessionError> {
        self.on(|terms| terms.label = Some(cut_label(label).into()))
    }

    /// Gives this session time-outs of its own, in place of the layer's. They are kept in the
    /// session, so later writes and renewals go by them. The absolute one starts anew: call it
    /// where somebody logs in or makes a choice, not with every request. Creates no session.
    ///
    /// The response sets the cookie again, for as long; a header in its place is left alone.
    ///
    /// # Errors
    /// [`Sealed`](crate::session::SessionErrorKind::Sealed).
    pub fn set_expiry(&self, expiry: SessionExpiry) -> Result<(), SessionError> {
        self.on(|terms| terms.expiry = Some(expiry))
    }

    /// Whether the browser keeps this session's cookie when it closes, in place of what the layer's
    /// [`SessionCookie`](crate::session::SessionCookie) says. Kept in the session, so a later
    /// rotation goes by it. Creates no session.
    ///
    /// The response sets the cookie again; a header in its place is left alone.
    ///
    /// # Errors
    /// [`Sealed`](crate::session::SessionErrorKind::Sealed).
    pub fn set_persistent(&self, persistent: bool) -> Result<(), SessionError> {
        self.on(|terms| terms.persistent = Some(Some(persistent)))
    }

    fn on(&self, change: impl FnOnce(&mut Terms)) -> Result<(), SessionError> {
        let mut state = self.core().state();
        state.check_cookie_open()?;
        change(&mut state.terms);
        state.required = true;
        Ok(())
    }

    /// The sessions of users, in the same store.
    #[must_use]
    pub fn users(&self) -> Users {
        Users::of(self.core().options.store.clone())
    }
}
