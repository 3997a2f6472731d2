//! Reading: fields, and whether there is a session.
//! Floor 5.

use bytes::Bytes;
use tracing::warn;

use crate::session::error::{SessionError, SessionErrorKind};
use crate::session::fields;
use crate::session::handle::Session;
use crate::session::id::SessionId;
use crate::session::key::{FieldName, FieldOf};
use crate::session::limits::{is_name, is_reserved};
use crate::session::policy::Undecodable;
use crate::session::state::Known;

/// Reading. The first of these methods loads the session, if the request presents a token, and all
/// others go by what it found: one round trip a request. Dropped, they have read nothing or
/// everything.
///
/// ```
/// use tower_handoff::session::{Session, SessionError};
///
/// async fn whoami(session: Session) -> Result<String, SessionError> {
///     if !session.exists().await? {
///         return Ok("nobody yet".to_owned());
///     }
///     let name: Option<String> = session.get("name").await?;
///     Ok(name.unwrap_or_else(|| "nameless".to_owned()))
/// }
/// ```
impl Session {
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
        if let Some(value) = self.core().state().pending.get(name) {
            return Ok(value.cloned());
        }
        let stored = self.core().load().await?;
        Ok(self.core().state().field(name, stored.as_ref()))
    }

    pub(crate) fn decode<T>(
        &self,
        name: &impl FieldOf<T>,
        value: Option<Bytes>,
    ) -> Result<Option<T>, SessionError> {
        match value.map(|value| name.decode(&value)).transpose() {
            Ok(value) => Ok(value),
            Err(_) if self.core().options.undecodable == Undecodable::Discard => {
                warn!(field = name.as_str(), "undecodable field passed over");
                Ok(None)
            }
            Err(error) => Err(SessionError::with_source(SessionErrorKind::Decode, error)),
        }
    }

    /// All fields with their bytes as they are stored, those included that this handle set.
    ///
    /// # Errors
    /// See [above](Self#errors).
    pub async fn fields(&self) -> Result<Vec<(String, Bytes)>, SessionError> {
        let stored = self.core().load().await?;
        let stored = stored
            .as_ref()
            .map_or(&[][..], |(_, record)| record.fields());
        let merged = Bytes::from(self.core().state().pending.merge_into(stored));
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
        if let Known::Live(token, _) = &self.core().state().known {
            return Ok(Some(*token.id()));
        }
        let stored = self.core().load().await?;
        Ok(stored.map(|(token, _)| *token.id()))
    }
}
