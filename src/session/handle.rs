//! What a handler holds.
//! Floor 5.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::Extensions;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::session::codec::{decode, encode};
use crate::session::core::Core;
use crate::session::error::{SessionError, SessionErrorKind, SessionLayerMissing};
use crate::session::fields;
use crate::session::id::SessionId;
use crate::session::limits::{check_name, is_name, is_reserved};
use crate::session::state::Known;

/// The session of one request. Cheap to clone; the clones are one session.
///
/// Nothing is read before the first method that needs it, and then at most once a request. What
/// [`set`](Self::set), [`remove`](Self::remove) and [`rotate`](Self::rotate) say is written when
/// the handler has answered, before the response begins, and not at all where the status is 5xx,
/// the handler panics, or the request is cancelled. [`update`](Self::update),
/// [`increment`](Self::increment) and [`destroy`](Self::destroy) act at their await.
///
/// Values are JSON; the `_raw` methods take any bytes.
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
/// [`SessionErrorKind::Corrupt`] where what is stored is no session. No method that writes works
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
    pub async fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, SessionError> {
        decode(self.get_raw(name).await?)
    }

    /// A field's bytes as they are stored.
    ///
    /// # Errors
    /// See [above](Self#errors).
    pub async fn get_raw(&self, name: &str) -> Result<Option<Bytes>, SessionError> {
        if !is_name(name) {
            return Ok(None);
        }
        if let Some(value) = self.0.state().pending.get(name) {
            return Ok(value.cloned());
        }
        self.0.load().await?;
        Ok(match &self.0.state().known {
            Known::Live(_, Some(record)) => record.field(name),
            _ => None,
        })
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
    pub fn set<T: Serialize + ?Sized>(&self, name: &str, value: &T) -> Result<(), SessionError> {
        check_name(name)?;
        self.put(name, Some(encode(value)?))
    }

    /// Sets a field to bytes that are stored as they are.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub fn set_raw(&self, name: &str, value: impl Into<Bytes>) -> Result<(), SessionError> {
        check_name(name)?;
        self.put(name, Some(value.into()))
    }

    /// Removes a field. Never reads, and creates no session.
    ///
    /// # Errors
    /// [`SessionErrorKind::Sealed`].
    pub fn remove(&self, name: &str) -> Result<(), SessionError> {
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
    /// # Errors
    /// [`SessionErrorKind::Gone`], [`SessionErrorKind::Contended`] after 64 tries,
    /// [`SessionErrorKind::Decode`], and those of [`set`](Self::set); see also
    /// [above](Self#errors). Nothing is written then.
    pub async fn update<T, F>(&self, name: &str, mut change: F) -> Result<Option<T>, SessionError>
    where
        T: Serialize + DeserializeOwned + Send,
        F: FnMut(Option<T>) -> Option<T> + Send,
    {
        check_name(name)?;
        let limits = self.0.options.limits;
        let mut last = None;
        let mut compute = |old: Option<Bytes>| {
            last = change(decode(old)?);
            let new = last.as_ref().map(encode).transpose()?;
            if let Some(new) = &new {
                limits.check_value(new)?;
            }
            Ok(new)
        };
        self.0.update(name, &mut compute).await?;
        Ok(last)
    }

    /// Adds to a whole number, which starts at zero, and returns the sum: exact under any
    /// concurrency. Writes what was set earlier along. A later 5xx does not undo it.
    ///
    /// Never reads first; one command.
    ///
    /// # Errors
    /// [`SessionErrorKind::NotInteger`] where the field holds something else, or `by` or the sum
    /// is beyond ±(2^53 - 1); [`SessionErrorKind::Gone`], [`SessionErrorKind::TooLarge`],
    /// [`SessionErrorKind::InvalidName`]; see also [above](Self#errors). Nothing is written then,
    /// but after [`SessionErrorKind::OutcomeUnknown`] it may have been.
    pub async fn increment(&self, name: &str, by: i64) -> Result<i64, SessionError> {
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
        state.check_open()?;
        state.rotate = true;
        Ok(())
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
