//! The port's twin for `dyn`, so that guards and layers need no type parameter.
//!
//! Floor 2.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::lock::backend::{Acquired, LockBackend, Released, Renewed};
use crate::lock::error::LockError;
use crate::lock::holder::Holder;
use crate::lock::lease::Claim;
use crate::lock::lock_key::LockKey;

pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// [`LockBackend`] with futures that own what they need, so that a task can run them.
pub(crate) trait ErasedBackend: Send + Sync {
    fn acquire(
        self: Arc<Self>,
        claim: Claim,
        wait: Option<Duration>,
    ) -> BoxFuture<Result<Acquired, LockError>>;
    fn renew(self: Arc<Self>, claim: Claim) -> BoxFuture<Result<Renewed, LockError>>;
    fn release(self: Arc<Self>, claim: Claim) -> BoxFuture<Result<Released, LockError>>;
    fn withdraw(self: Arc<Self>, claim: Claim) -> BoxFuture<Result<Released, LockError>>;
    fn inspect(self: Arc<Self>, key: LockKey) -> BoxFuture<Result<Option<Holder>, LockError>>;
    fn reconnects(&self) -> Option<watch::Receiver<u64>>;
    fn connection(&self, key: &LockKey) -> u64;
}

impl<B: LockBackend> ErasedBackend for B {
    fn acquire(
        self: Arc<Self>,
        claim: Claim,
        wait: Option<Duration>,
    ) -> BoxFuture<Result<Acquired, LockError>> {
        Box::pin(async move { LockBackend::acquire(&*self, &claim, wait).await })
    }

    fn renew(self: Arc<Self>, claim: Claim) -> BoxFuture<Result<Renewed, LockError>> {
        Box::pin(async move { LockBackend::renew(&*self, &claim).await })
    }

    fn release(self: Arc<Self>, claim: Claim) -> BoxFuture<Result<Released, LockError>> {
        Box::pin(async move { LockBackend::release(&*self, &claim).await })
    }

    fn withdraw(self: Arc<Self>, claim: Claim) -> BoxFuture<Result<Released, LockError>> {
        Box::pin(async move { LockBackend::withdraw(&*self, &claim).await })
    }

    fn inspect(self: Arc<Self>, key: LockKey) -> BoxFuture<Result<Option<Holder>, LockError>> {
        Box::pin(async move { LockBackend::inspect(&*self, &key).await })
    }

    fn reconnects(&self) -> Option<watch::Receiver<u64>> {
        LockBackend::reconnects(self)
    }

    fn connection(&self, key: &LockKey) -> u64 {
        LockBackend::connection(self, key)
    }
}
