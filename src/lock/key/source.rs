//! What every source of keys implements.
//!
//! Floor 3.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::request::Parts;

use crate::lock::lock_key::LockKey;
use crate::reason::Reason;

/// What a source of keys finds: a key, nothing to make one from (`None`, which the layer's
/// policy answers), or the reason to refuse the request with.
pub type KeyResult = Result<Option<LockKey>, Reason>;

/// Makes the lock's key from a request's head.
///
/// ```
/// use http::request::Parts;
/// use tower_handoff::lock::LockKey;
/// use tower_handoff::lock::key::{KeyFrom, KeyFuture};
///
/// struct Host;
///
/// impl KeyFrom for Host {
///     fn key(&self, parts: &mut Parts) -> KeyFuture {
///         let host = parts.uri.host().unwrap_or_default();
///         KeyFuture::ready(Ok(LockKey::bounded(format!("host:{host}"))))
///     }
/// }
/// ```
pub trait KeyFrom: Send + Sync + 'static {
    /// The key, or a future of it. The head may be changed for those further in; what is not
    /// known at once is found in the future, from what was taken out of the head.
    fn key(&self, parts: &mut Parts) -> KeyFuture;
}

/// A key that is known at once, which allocates nothing, or one that has to be waited for.
pub struct KeyFuture(KeyState);

enum KeyState {
    Ready(KeyResult),
    Waiting(Pin<Box<dyn Future<Output = KeyResult> + Send>>),
}

impl KeyFuture {
    /// A key that is known at once.
    #[must_use]
    pub fn ready(key: KeyResult) -> Self {
        Self(KeyState::Ready(key))
    }

    /// A key that has to be waited for. The future may be dropped at any await.
    #[must_use]
    pub fn waiting(key: impl Future<Output = KeyResult> + Send + 'static) -> Self {
        Self(KeyState::Waiting(Box::pin(key)))
    }
}

impl Future for KeyFuture {
    type Output = KeyResult;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<KeyResult> {
        match &mut self.0 {
            KeyState::Ready(key) => Poll::Ready(std::mem::replace(key, Ok(None))),
            KeyState::Waiting(key) => key.as_mut().poll(cx),
        }
    }
}

impl fmt::Debug for KeyFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            KeyState::Ready(_) => "KeyFuture(ready)",
            KeyState::Waiting(_) => "KeyFuture(waiting)",
        })
    }
}
