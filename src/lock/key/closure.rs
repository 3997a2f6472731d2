//! A key from a closure.
//!
//! Floor 3.

use std::fmt;
use std::future::Future;

use http::request::Parts;

use crate::lock::key::source::{KeyFrom, KeyFuture, KeyResult};

/// The key that `find` makes of the request's head.
///
/// [`LockKey::bounded`](crate::lock::LockKey::bounded) is for what a request influences. The
/// closure does its own escaping: `format!("{a}:{b}")` is one key for two requests when `a` may
/// contain a colon.
pub fn from_fn<F>(find: F) -> ClosureKey<F>
where
    F: Fn(&Parts) -> KeyResult + Send + Sync + 'static,
{
    ClosureKey(find)
}

/// The key of the future that `find` makes of the request's head; for what has to be looked up,
/// like a verified session.
///
/// The closure takes what it needs out of the head, the future owns it:
///
/// ```
/// use tower_handoff::lock::{LockKey, key};
///
/// # #[derive(Clone)] struct Account;
/// # impl Account { async fn id(&self) -> Option<u64> { Some(7) } }
/// let per_account = key::from_async_fn(|parts| {
///     let account = parts.extensions.get::<Account>().cloned();
///     async move {
///         let Some(account) = account else { return Ok(None) };
///         Ok(account.id().await.and_then(|id| LockKey::bounded(format!("account:{id}"))))
///     }
/// });
/// ```
pub fn from_async_fn<F, Fut>(find: F) -> AsyncClosureKey<F>
where
    F: Fn(&Parts) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = KeyResult> + Send + 'static,
{
    AsyncClosureKey(find)
}

/// The source that [`from_fn`] makes.
#[derive(Clone)]
pub struct ClosureKey<F>(F);

impl<F> KeyFrom for ClosureKey<F>
where
    F: Fn(&Parts) -> KeyResult + Send + Sync + 'static,
{
    fn key(&self, parts: &mut Parts) -> KeyFuture {
        KeyFuture::ready((self.0)(parts))
    }
}

impl<F> fmt::Debug for ClosureKey<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClosureKey(..)")
    }
}

/// The source that [`from_async_fn`] makes.
#[derive(Clone)]
pub struct AsyncClosureKey<F>(F);

impl<F, Fut> KeyFrom for AsyncClosureKey<F>
where
    F: Fn(&Parts) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = KeyResult> + Send + 'static,
{
    fn key(&self, parts: &mut Parts) -> KeyFuture {
        KeyFuture::waiting((self.0)(parts))
    }
}

impl<F> fmt::Debug for AsyncClosureKey<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AsyncClosureKey(..)")
    }
}
