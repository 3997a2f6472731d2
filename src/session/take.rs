//! Values that are read once.
//! Floor 5.

use bytes::Bytes;

use crate::session::error::SessionError;
use crate::session::handle::Session;
use crate::session::key::FieldOf;
use crate::session::limits::is_name;

impl Session {
    /// A field's value, which is removed with what else this handle writes: for messages that are
    /// shown once. `None` where there is no such field or no session; nothing is written then.
    ///
    /// Of the clones of one handle, one gets the value. Of two requests that run at the same time
    /// both may: the value goes when the response is ready and no 5xx, so that a page that was
    /// never shown loses no message. Where only one request may have it, remove it with
    /// [`update`](Self::update). A value that is no `T` is removed, too.
    ///
    /// Costs a read and, where there is something, a write at the commit. Dropped, it has taken
    /// nothing.
    ///
    /// ```
    /// # use tower_handoff::session::{Session, SessionError};
    /// async fn page(session: Session) -> Result<String, SessionError> {
    ///     let notice: Option<String> = session.take("notice").await?;
    ///     Ok(notice.unwrap_or_default())
    /// }
    /// ```
    ///
    /// # Errors
    /// [`Sealed`](crate::session::SessionErrorKind::Sealed), and
    /// [`Decode`](crate::session::SessionErrorKind::Decode) where the layer says so; see also
    /// [above](Self#errors).
    pub async fn take<T>(&self, name: impl FieldOf<T>) -> Result<Option<T>, SessionError> {
        let taken = self.take_raw(name.as_str()).await?;
        self.decode(&name, taken)
    }

    async fn take_raw(&self, name: &str) -> Result<Option<Bytes>, SessionError> {
        self.core().state().check_open()?;
        if !is_name(name) {
            return Ok(None);
        }
        let stored = self.core().load().await?;
        // Under one lock, so that no other clone takes it in between.
        let mut state = self.core().state();
        state.check_open()?;
        let value = state.field(name, stored.as_ref());
        if value.is_some() {
            state.required |= !self.is_optional();
            state.pending.put(name, None);
        }
        Ok(value)
    }
}
