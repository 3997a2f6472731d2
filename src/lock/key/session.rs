//! Keys from the session: the session's own, and its user's.
//!
//! Floor 7.

use std::borrow::Cow;
use std::future::Future;

use http::request::Parts;

use crate::lock::escape::push_value;
use crate::lock::key::source::{KeyFrom, KeyFuture};
use crate::lock::lock_key::LockKey;
use crate::reason::Reason;
use crate::session::error::SessionError;
use crate::session::handle::Session;

/// The key `name:id` of the request's session: one request at a time for each session, for a
/// wizard, a cart, a login.
///
/// The session is verified first, which loads it if nothing has yet: one round trip, which later
/// reads in the same request do not cost again. A public id alone locks nothing. A request
/// without a session is nothing to make a key from; while the store is away it is refused with
/// [`SessionUnavailable`](Reason::SessionUnavailable). The
/// [`SessionLayer`](crate::SessionLayer) stands further out.
///
/// The session is read before the lock is waited for, and a request reads it once: under the lock,
/// what others wrote during the wait is seen by [`update`](Session::update) and
/// [`increment`](Session::increment), which go by what is stored, and not by [`get`](Session::get).
///
/// ```
/// use tower_handoff::lock::{LockLayer, MemoryLocks, key};
///
/// let layer = LockLayer::new(MemoryLocks::new(), key::session("checkout"));
/// ```
pub fn session(name: impl Into<Cow<'static, str>>) -> SessionKey {
    SessionKey {
        name: name.into(),
        of: Of::Session,
    }
}

/// The key `name:user` of the user whom the request's session is [bound](Session::bind) to: one
/// request at a time for each user, on however many devices. The user's name is escaped.
///
/// A session that belongs to nobody is nothing to make a key from; else as [`session`].
///
/// ```
/// use tower_handoff::lock::{LockLayer, MemoryLocks, key};
///
/// let layer = LockLayer::new(MemoryLocks::new(), key::user("withdraw"));
/// ```
pub fn user(name: impl Into<Cow<'static, str>>) -> SessionKey {
    SessionKey {
        name: name.into(),
        of: Of::User,
    }
}

/// The source that [`session`] and [`user`] make.
#[derive(Debug, Clone)]
#[must_use]
pub struct SessionKey {
    name: Cow<'static, str>,
    of: Of,
}

#[derive(Debug, Clone, Copy)]
enum Of {
    Session,
    User,
}

impl KeyFrom for SessionKey {
    fn key(&self, parts: &mut Parts) -> KeyFuture {
        let Ok(session) = Session::from_extensions(&parts.extensions).cloned() else {
            tracing::error!("a lock's key comes from the session, and no `SessionLayer` is around");
            return KeyFuture::ready(Ok(None));
        };
        let (name, of) = (self.name.clone(), self.of);
        KeyFuture::waiting(async move {
            let value = match of {
                Of::Session => known(session.id()).await?.map(|id| id.to_string()),
                Of::User => known(session.user()).await?,
            };
            Ok(value.and_then(|value| {
                let mut key = format!("{name}:");
                push_value(&mut key, value.as_bytes());
                LockKey::bounded(key)
            }))
        })
    }
}

async fn known<T>(
    asked: impl Future<Output = Result<Option<T>, SessionError>>,
) -> Result<Option<T>, Reason> {
    asked.await.map_err(|error| {
        tracing::debug!(%error, "a lock's key could not be read from the session");
        Reason::SessionUnavailable
    })
}
