//! What every source of keys implements.
//!
//! Floor 3.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::request::Parts;

use crate::lock::lock_key::LockKey;
use crate::lock::lock_keys::LockKeys;
use crate::reason::Reason;

/// What a source of keys finds: a key, nothing to make one from (`None`, which the layer's
/// policy answers), or the reason to refuse the request with.
pub type KeyResult = Result<Option<LockKey>, Reason>;

type KeysResult = Result<Option<LockKeys>, Reason>;

/// Makes the lock's key, or several that are locked together, from a request's head.
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

    /// Both this source's key and the other's: the request holds both or neither.
    ///
    /// They are sorted, taken one after the other within one wait, and one key that both find counts
    /// once: so no two requests wait for each other. While it waits for one key, a request holds
    /// those before it. (Two layers, one within the other, take their keys in the order of the
    /// layers: where another route takes them the other way round, by its layers or together, both
    /// wait until one gives up.)
    /// Where one source finds nothing to make a key from, so does the whole. A request for
    /// which there are more than 16 keys is refused:
    /// [`LockTooManyKeys`](Reason::LockTooManyKeys).
    ///
    /// ```
    /// use tower_handoff::lock::key::{self, KeyFrom};
    ///
    /// // /transfer?from=7&to=3
    /// let both = key::query("account:{from}").and(key::query("account:{to}"));
    /// ```
    fn and<K: KeyFrom>(self, other: K) -> Both<Self, K>
    where
        Self: Sized,
    {
        Both(self, other)
    }
}

/// The source that [`KeyFrom::and`] makes.
#[derive(Debug, Clone)]
pub struct Both<A, B>(A, B);

impl<A: KeyFrom, B: KeyFrom> KeyFrom for Both<A, B> {
    fn key(&self, parts: &mut Parts) -> KeyFuture {
        KeyFuture::all([self.0.key(parts), self.1.key(parts)])
    }
}

/// A key that is known at once, which allocates nothing, or one that has to be waited for.
pub struct KeyFuture(KeyState);

enum KeyState {
    Ready(KeysResult),
    Waiting(Pin<Box<dyn Future<Output = KeysResult> + Send>>),
}

impl KeyFuture {
    /// A key that is known at once.
    #[must_use]
    pub fn ready(key: KeyResult) -> Self {
        Self(KeyState::Ready(key.map(|key| key.map(LockKeys::from))))
    }

    /// A key that has to be waited for. The future may be dropped at any await.
    #[must_use]
    pub fn waiting(key: impl Future<Output = KeyResult> + Send + 'static) -> Self {
        let keys = async move { Ok(key.await?.map(LockKeys::from)) };
        Self(KeyState::Waiting(Box::pin(keys)))
    }

    /// All of these keys at once, each once. Nothing where one of them finds nothing, or where
    /// there are none; [`LockTooManyKeys`](Reason::LockTooManyKeys) where more than 16 differ.
    ///
    /// ```
    /// use http::request::Parts;
    /// use tower_handoff::lock::LockKey;
    /// use tower_handoff::lock::key::{KeyFrom, KeyFuture};
    ///
    /// /// `x-items: 7,3,9`
    /// struct Items;
    ///
    /// impl KeyFrom for Items {
    ///     fn key(&self, parts: &mut Parts) -> KeyFuture {
    ///         let items = parts.headers.get("x-items").and_then(|items| items.to_str().ok());
    ///         let keys = items.into_iter().flat_map(|items| items.split(','));
    ///         KeyFuture::all(keys.map(|item| {
    ///             KeyFuture::ready(Ok(LockKey::bounded(format!("item:{}", item.trim()))))
    ///         }))
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn all(keys: impl IntoIterator<Item = Self>) -> Self {
        let (mut known, mut waiting) = (Vec::new(), Vec::new());
        for key in keys {
            match key.0 {
                KeyState::Ready(keys) => known.push(keys),
                KeyState::Waiting(keys) => waiting.push(keys),
            }
        }
        if waiting.is_empty() {
            return Self(KeyState::Ready(together(known)));
        }
        Self(KeyState::Waiting(Box::pin(async move {
            for keys in waiting {
                known.push(keys.await);
            }
            together(known)
        })))
    }
}

fn together(found: Vec<KeysResult>) -> KeysResult {
    let mut all = Vec::with_capacity(found.len());
    for keys in found {
        let Some(keys) = keys? else { return Ok(None) };
        all.extend_from_slice(keys.as_slice());
    }
    if all.is_empty() {
        return Ok(None);
    }
    match LockKeys::new(all) {
        Ok(keys) => Ok(Some(keys)),
        Err(_) => Err(Reason::LockTooManyKeys),
    }
}

impl Future for KeyFuture {
    type Output = Result<Option<LockKeys>, Reason>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
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
