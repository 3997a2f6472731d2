//! What a handler holds.
//! Floor 5.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::Extensions;
use tracing::warn;

use crate::session::core::Core;
use crate::session::error::{SessionError, SessionErrorKind, SessionLayerMissing};
use crate::session::fields;
use crate::session::id::SessionId;
use crate::session::key::{FieldFor, FieldName, FieldOf};
use crate::session::limits::{check_name, is_name, is_reserved};
use crate::session::policy::Undecodable;
use crate::session::state::Known;

/// The session of one request. Cheap to clone; the clones are one session.
///
/// Nothing is read before the first method that needs it, and then at most once a request. What
/// [`set`](Self::set), [`remove`](Self::remove) and [`rotate`](Self::rotate) say is written when
/// the handler has answered, before the response begins, and not at all where the status is 5xx,
/// the handler panics, or the request is cancelled. [`update`](Self::update),
/// [`increment`](Self::increment) and [`destroy`](Self::destroy) act at their await; where a clone
/// in another task has begun one of these, the response waits for it, ten seconds at most.
///
/// A field is named by a string, and its value is JSON; or by a [`Key`](crate::session::Key),
/// which fixes the type and may name another format. The `_raw` methods take any bytes. Values
/// are decoded when they are asked for, and only those.
///
/// # Cost
/// In round trips to the store: a request that does not touch its session 0, reads 1 however
/// many, writes without reading 1, reads then writes 2, a new session 1, a login with it 1, `destroy` 1. Without
/// a cookie that could be a token, reads cost 0. A request with several such cookies loads them
/// at once before anything else, 1; a write without a read under a cookie that names no session
/// any more costs one more.
///
/// # Errors
/// Every method that reaches the store fails with [`SessionErrorKind::Unavailable`] or
/// [`SessionErrorKind::OutcomeUnknown`] where the store is away or silent, and
/// with [`Undecodable::Error`] as [`SessionErrorKind::Corrupt`] where what is stored is no session,
/// or [`SessionErrorKind::Decode`] where a value is not what was asked for. No method that writes works
/// after the response has begun: [`SessionErrorKind::Sealed`].
///
/// # Cancel safety
/// A future that is dropped has read nothing or everything. One that writes may or may not have
/// written; fields that were to be written still are, with the next write.
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
pub struct Session(Arc<Core>);

impl Session {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self(core)
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.0
    }

    /// The session of the request that these extensions belong to, for services without axum.
    ///
    /// # Errors
    /// Where no [`SessionLayer`](crate::session::SessionLayer) is around the service.
    pub fn from_extensions(extensions: &Extensions) -> Result<&Self, SessionLayerMissing> {
        extensions.get().ok_or_else(SessionLayerMissing::new)
    }

    /// A field's value, or `None` where there is no such field or no session.
    ///
    /// # Errors
    /// [`SessionErrorKind::Decode`] where the value is not a `T`; see also [above](Self#errors).
    pub async fn get<T>(&self, name: impl FieldOf<T>) -> Result<Option<T>, SessionError> {
        self.decode(&name, self.get_raw(name.as_str()).await?)
    }

    /// A field's bytes as they are stored.
    ///
    /// # Errors
    /// See [above](Self#errors).
    pub async fn get_raw(&self, name: impl FieldName) -> Result<Option<Bytes>, SessionError> {
        let name = name.as_str();
        if !is_name(name) {
            return Ok(None);
        }
        if let Some(value) = self.0.state().pending.get(name) {
            return Ok(value.cloned());
        }
        self.0.load().await?;
        Ok(self.0.state().field(name))
    }

    pub(crate) fn decode<T>(
        &self,
        name: &impl FieldOf<T>,
        value: Option<Bytes>,
    ) -> Result<Option<T>, SessionError> {
        match value.map(|value| name.decode(&value)).transpose() {
            Ok(value) => Ok(value),
            Err(_) if self.0.options.undecodable == Undecodable::Discard => {
                warn!(field = name.as_str(), "undecodable field passed over");
                Ok(None)
            }
            Err(error) => Err(SessionError::with_source(SessionErrorKind::Decode, error)),
        }
    }

    fn encode<T: ?Sized>(&self, name: &impl FieldFor<T>, value: &T) -> Result<Bytes, SessionError> {
        let encoded = name.encode(value);
        encoded.map_err(|error| SessionError::with_source(SessionErrorKind::Encode, error))
    }

    /// All fields with their bytes as they are stored, those included that this handle set.
    ///
    /// # Errors
    /// See [above](Self#errors).
    pub async fn fields(&self) -> Result<Vec<(String, Bytes)>, SessionError> {
        self.0.load().await?;
        let state = self.0.state();
        let stored = match &state.known {
            Known::Live(_, Some(record)) => record.fields(),
            _ => &[],
        };
        let merged = Bytes::from(state.pending.merge_into(stored));
        Ok(fields::walk(&merged)
            .filter(|field| !is_reserved(field.name))
            .map(|field| {
                let name = String::from_utf8_lossy(field.name).into_owned();
                (name, merged.slice_ref(field.value))
            })
            .collect())
    }

    /// Whether the request has a session in the store, which it may use.
    ///
    /// # Errors
    /// See [above](Self#errors).
    pub async fn exists(&self) -> Result<bool, SessionError> {
        Ok(self.id().await?.is_some())
    }

    /// The session's public id; `None` where there is no session, or none yet.
    ///
    /// # Errors
    /// See [above](Self#errors).
    pub async fn id(&self) -> Result<Option<SessionId>, SessionError> {
        // A session that this handle wrote to is known to be there.
        if let Known::Live(token, _) = &self.0.state().known {
            return Ok(Some(*token.id()));
        }
        self.0.load().await?;
        Ok(match &self.0.state().known {
            Known::Live(token, _) => Some(*token.id()),
            _ => None,
        })
    }

    /// Sets a field. Never reads; a request without a session gets one.
    ///
    /// # Errors
    /// [`SessionErrorKind::InvalidName`], [`SessionErrorKind::Encode`],
    /// [`SessionErrorKind::TooLarge`] where the value is over the field's limit (that of the
    /// session is found out at the commit, which then answers 413), or
    /// [`SessionErrorKind::Sealed`].
    pub fn set<T: ?Sized>(&self, name: impl FieldFor<T>, value: &T) -> Result<(), SessionError> {
        check_name(name.as_str())?;
        self.put(name.as_str(), Some(self.encode(&name, value)?))
    }

    /// Sets a field to bytes that are stored as they are.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub fn set_raw(
        &self,
        name: impl FieldName,
        value: impl Into<Bytes>,
    ) -> Result<(), SessionError> {
        check_name(name.as_str())?;
        self.put(name.as_str(), Some(value.into()))
    }

    /// Removes a field. Never reads, and creates no session.
    ///
    /// # Errors
    /// [`SessionErrorKind::Sealed`].
    pub fn remove(&self, name: impl FieldName) -> Result<(), SessionError> {
        let name = name.as_str();
        if is_name(name) {
            self.put(name, None)
        } else {
            self.0.state().check_open()
        }
    }

    fn put(&self, name: &str, value: Option<Bytes>) -> Result<(), SessionError> {
        if let Some(value) = &value {
            self.0.options.limits.check_value(value)?;
        }
        let mut state = self.0.state();
        state.check_open()?;
        state.pending.put(name, value);
        Ok(())
    }

    /// Changes a field from what it is, as often as it takes until nobody else changed the
    /// session in between, and writes it, with what was set earlier, before it returns.
    ///
    /// `change` gets the value or `None`, and returns the value or `None` to remove the field; it
    /// may run several times. Returns what it returned last. A later 5xx does not undo it.
    ///
    /// Two round trips, the first of them spared where the session was read before; one more each
    /// time somebody came between.
    ///
    /// # Errors
    /// [`SessionErrorKind::Gone`], [`SessionErrorKind::Contended`] after 64 tries,
    /// [`SessionErrorKind::Decode`], and those of [`set`](Self::set); see also
    /// [above](Self#errors). Nothing is written then.
    pub async fn update<T, F>(
        &self,
        name: impl FieldOf<T> + FieldFor<T>,
        mut change: F,
    ) -> Result<Option<T>, SessionError>
    where
        T: Send,
        F: FnMut(Option<T>) -> Option<T> + Send,
    {
        check_name(name.as_str())?;
        let limits = self.0.options.limits;
        let mut last = None;
        let mut compute = |old: Option<Bytes>| {
            let value = self.decode(&name, old.clone())?;
            let unreadable = value.is_none();
            last = change(value);
            if last.is_none() && unreadable {
                // Nothing to remove, or nothing that the closure has seen.
                return Ok(old);
            }
            let new = last.as_ref().map(|new| self.encode(&name, new));
            let new = new.transpose()?;
            if let Some(new) = &new {
                limits.check_value(new)?;
            }
            Ok(new)
        };
        self.0.update(name.as_str(), &mut compute).await?;
        Ok(last)
    }

    /// Adds to a whole number, which starts at zero, and returns the sum: exact under any
    /// concurrency. Writes what was set earlier along. A later 5xx does not undo it.
    ///
    /// Never reads first; one command. The number is stored as decimal text, which JSON reads, so a
    /// key for it is a `Key<i64>` of the default format.
    ///
    /// # Errors
    /// [`SessionErrorKind::NotInteger`] where the field holds something else, or `by` or the sum
    /// is beyond ±(2^53 - 1); [`SessionErrorKind::Gone`], [`SessionErrorKind::TooLarge`],
    /// [`SessionErrorKind::InvalidName`]; see also [above](Self#errors). Nothing is written then,
    /// but after [`SessionErrorKind::OutcomeUnknown`] it may have been.
    pub async fn increment(&self, name: impl FieldOf<i64>, by: i64) -> Result<i64, SessionError> {
        let name = name.as_str();
        check_name(name)?;
        if !fields::in_range(by) {
            return Err(SessionErrorKind::NotInteger.into());
        }
        self.0.increment(name, by).await
    }

    /// Gives the session a new secret when the request is committed: the old cookie is useless
    /// from then on, the data and the public id stay. Call it wherever privileges change.
    ///
    /// Where there is no session at the commit, nothing happens; [`exists`](Self::exists) tells
    /// before. A session that is created in the same request has a fresh secret anyway. Should the
    /// store not answer at the commit (503), the old cookie may be useless without a new one.
    ///
    /// # Errors
    /// [`SessionErrorKind::Sealed`].
    pub fn rotate(&self) -> Result<(), SessionError> {
        let mut state = self.0.state();
        state.check_cookie_open()?;
        state.rotate = true;
        Ok(())
    }

    /// Writes now what would be written when the handler has answered, a rotation included. A
    /// later 5xx does not undo it. Costs one command, none where there is nothing to write.
    ///
    /// Dropped before the store has answered a rotation, it may leave the browser with an old
    /// cookie, which is useless.
    ///
    /// # Errors
    /// [`SessionErrorKind::Gone`], [`SessionErrorKind::TooLarge`]; see also [above](Self#errors).
    pub async fn save(&self) -> Result<(), SessionError> {
        self.0.write_now().await
    }

    /// Ends the session now, everywhere, and forgets what was set and not written. The response
    /// takes the cookie away. `false` where the request has no session that it may end.
    ///
    /// The handle has no session afterwards; a later `set` starts a new one. A later 5xx does
    /// not undo it.
    ///
    /// # Errors
    /// See [above](Self#errors).
    pub async fn destroy(&self) -> Result<bool, SessionError> {
        self.0.destroy().await
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}
