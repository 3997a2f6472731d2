//! What a handler holds.
//! Floor 5.

use std::fmt;
use std::sync::Arc;

use http::Extensions;

use crate::session::carry::CarriedOut;
use crate::session::core::Core;
use crate::session::error::{SessionError, SessionLayerMissing};

/// The session of one request. Cheap to clone; the clones are one session.
///
/// Nothing is read before the first method that needs it, and then at most once a request. What
/// [`set`](Self::set), [`remove`](Self::remove) and [`rotate`](Self::rotate) say is written when
/// the handler has answered, before the response begins, and not at all where the status is 5xx,
/// the handler panics, or the request is cancelled. [`update`](Self::update),
/// [`increment`](Self::increment), [`save`](Self::save) and [`destroy`](Self::destroy) act at
/// their await; where a clone in another task has begun one of these, the response waits for it,
/// whatever its status, for it may need its cookie: ten seconds at most.
///
/// A field is named by a string, and its value is JSON; or by a [`Key`](crate::session::Key),
/// which fixes the type and may name another format. The `_raw` methods take any bytes. Values
/// are decoded when they are asked for, and only those.
///
/// # Cost
/// In round trips to the store: a request that does not touch its session 0, reads 1 however
/// many, writes without reading 1, reads then writes 2, a new session 1, a login with it 1,
/// `destroy` 1. Without a cookie that could be a token, reads cost 0. A request with several such
/// cookies loads them at once before anything else, 1; a write without a read under a cookie that
/// names no session any more costs one more; a rotation that the store did not answer, two more.
///
/// # Errors
/// Every method that reaches the store fails with [`Unavailable`] or [`OutcomeUnknown`] where the
/// store is away or silent, and, with [`Undecodable::Error`], with [`Corrupt`] where what is stored
/// is no session, or [`Decode`] where a value is not what was asked for. No method that writes
/// works after the response has begun: [`Sealed`].
///
/// [`Undecodable::Error`]: crate::session::Undecodable::Error
/// [`Unavailable`]: crate::session::SessionErrorKind::Unavailable
/// [`OutcomeUnknown`]: crate::session::SessionErrorKind::OutcomeUnknown
/// [`Corrupt`]: crate::session::SessionErrorKind::Corrupt
/// [`Decode`]: crate::session::SessionErrorKind::Decode
/// [`Sealed`]: crate::session::SessionErrorKind::Sealed
///
/// # Cancel safety
/// A future that is dropped has read nothing or everything. One that writes may or may not have
/// written; fields that were to be written still are, with the next write. `destroy` is carried
/// out all the same.
///
/// ```
/// use tower_handoff::session::{Session, SessionError};
///
/// async fn add_to_cart(session: Session, item: u32) -> Result<usize, SessionError> {
///     let mut items = 0;
///     session
///         .update("cart", |cart: Option<Vec<u32>>| {
///             let mut cart = cart.unwrap_or_default();
///             cart.push(item);
///             items = cart.len();
///             Some(cart)
///         })
///         .await?;
///     Ok(items)
/// }
/// ```
#[derive(Clone)]
pub struct Session {
    core: Arc<Core>,
    /// The request can do without what is set through this handle.
    optional: bool,
}

impl Session {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self {
            core,
            optional: false,
        }
    }

    pub(crate) fn into_optional(self) -> Self {
        Self {
            optional: true,
            ..self
        }
    }

    pub(crate) fn is_optional(&self) -> bool {
        self.optional
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// The session of the request that these extensions belong to, for services without axum.
    ///
    /// # Errors
    /// Where no [`SessionLayer`](crate::session::SessionLayer) is around the service.
    pub fn from_extensions(extensions: &Extensions) -> Result<&Self, SessionLayerMissing> {
        extensions.get().ok_or_else(SessionLayerMissing::new)
    }

    /// Gives the session a new secret when the request is committed: the old cookie is useless
    /// from then on, the data and the public id stay. Call it wherever privileges change.
    ///
    /// Where there is no session at the commit, nothing happens; [`exists`](Self::exists) tells
    /// before. A session that is created in the same request has a fresh secret anyway.
    ///
    /// Where the store does not answer, it is asked once more, so that the browser gets the cookie
    /// that is good. Should it not answer then either (503), the old cookie may be useless without
    /// a new one.
    ///
    /// ```
    /// # use tower_handoff::session::{Session, SessionError};
    /// async fn second_factor_given(session: Session) -> Result<(), SessionError> {
    ///     session.rotate()?;
    ///     session.set("level", &2)
    /// }
    /// ```
    ///
    /// # Errors
    /// [`Sealed`](crate::session::SessionErrorKind::Sealed).
    pub fn rotate(&self) -> Result<(), SessionError> {
        let mut state = self.core.state();
        state.check_cookie_open()?;
        state.rotate = true;
        state.required = true;
        Ok(())
    }

    /// Writes now what would be written when the handler has answered, a rotation included. A
    /// later 5xx does not undo it. Costs one command, none where there is nothing to write.
    ///
    /// Dropped or failed, it may or may not have written; what it was to write, the commit writes.
    /// Where it was to rotate, the response rotates whatever its status, so that the browser holds
    /// a cookie that is good. A response that is made outside of the session layer carries no cookie:
    /// layers that turn errors and panics into responses belong inside.
    ///
    /// ```
    /// # use tower_handoff::session::{Session, SessionError};
    /// async fn begin_import(session: Session) -> Result<(), SessionError> {
    ///     session.set("import", "under way")?;
    ///     session.save().await?; // seen by other requests while this one goes on
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// [`Gone`](crate::session::SessionErrorKind::Gone) and
    /// [`TooLarge`](crate::session::SessionErrorKind::TooLarge); see also [above](Self#errors).
    pub async fn save(&self) -> Result<(), SessionError> {
        self.core.write_now().await
    }

    /// Ends the session now, everywhere, and forgets what was set before and not written, also
    /// where it fails. The response takes the cookie away. `false` where the request has no session
    /// that it may end. One command.
    ///
    /// What is set from then on starts a new session. A later 5xx does not undo it. Whoever it
    /// fails for has been told, so it is not tried again.
    ///
    /// ```
    /// # use tower_handoff::session::{Session, SessionError};
    /// async fn log_out(session: Session) -> Result<&'static str, SessionError> {
    ///     session.destroy().await?;
    ///     Ok("bye")
    /// }
    /// ```
    ///
    /// # Errors
    /// See [above](Self#errors).
    ///
    /// # Cancel safety
    /// Once polled it is carried out though nobody waits for it, by a task of its own, and the
    /// response waits for that; where the client is gone, a shutdown does, with the time of its flushes:
    /// that of a managed `RedisHandle`, or with another store, of
    /// [`SessionLayer::commits`](crate::session::SessionLayer::commits). Outside a tokio runtime, a
    /// dropped one may not have happened.
    pub async fn destroy(&self) -> Result<bool, SessionError> {
        let core = Arc::clone(&self.core);
        CarriedOut::new(async move {
            // A shutdown waits for it, also where nobody else does any more.
            let under_way = core.options.commits.begin();
            let destroyed = core.destroy().await;
            under_way.ends(&destroyed);
            destroyed
        })
        .await
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}
