//! Changing fields: with the commit, or at once.
//! Floor 5.

use bytes::Bytes;

use crate::session::error::{SessionError, SessionErrorKind};
use crate::session::fields;
use crate::session::handle::Session;
use crate::session::key::{FieldFor, FieldName, FieldOf};
use crate::session::limits::{check_name, is_name};

/// Changing fields: `set` and `remove` with the commit, `update` and `increment` at once.
///
/// ```
/// use tower_handoff::session::{Key, Session, SessionError};
///
/// const TRIES: Key<i64> = Key::new("tries");
///
/// async fn wrong_password(session: Session) -> Result<i64, SessionError> {
///     session.set("last-try", "wrong")?; // goes along with the increment
///     session.increment(TRIES, 1).await
/// }
///
/// async fn right_password(session: Session, name: &str) -> Result<(), SessionError> {
///     session.bind(name)?;
///     session.remove(TRIES)
/// }
/// ```
impl Session {
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
            self.core().state().check_open()
        }
    }

    fn put(&self, name: &str, value: Option<Bytes>) -> Result<(), SessionError> {
        if let Some(value) = &value {
            self.core().options.limits.check_value(value)?;
        }
        let mut state = self.core().state();
        state.check_open()?;
        state.required |= !self.is_optional();
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
        let limits = self.core().options.limits;
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
        self.core().update(name.as_str(), &mut compute).await?;
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
        self.core().increment(name, by).await
    }

    fn encode<T: ?Sized>(&self, name: &impl FieldFor<T>, value: &T) -> Result<Bytes, SessionError> {
        let encoded = name.encode(value);
        encoded.map_err(|error| SessionError::with_source(SessionErrorKind::Encode, error))
    }
}
