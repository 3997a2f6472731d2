//! The port's twin for `dyn`, so that [`Once`](crate::once::Once) needs no type parameter.
//!
//! Floor 3.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::lock::erased::BoxFuture;
use crate::lock::error::LockError;
use crate::lock::lease::Claim;
use crate::lock::lock_key::LockKey;
use crate::once::store::{Begun, Found, OnceStore};

pub(super) trait ErasedStore: Send + Sync {
    fn look(self: Arc<Self>, key: LockKey) -> BoxFuture<Result<Found, LockError>>;
    fn begin(self: Arc<Self>, claim: Claim, by: Arc<str>) -> BoxFuture<Result<Begun, LockError>>;
    fn finish(
        self: Arc<Self>,
        claim: Claim,
        result: Bytes,
        fresh: Duration,
    ) -> BoxFuture<Result<bool, LockError>>;
}

impl<S: OnceStore> ErasedStore for S {
    fn look(self: Arc<Self>, key: LockKey) -> BoxFuture<Result<Found, LockError>> {
        Box::pin(async move { OnceStore::look(&*self, &key).await })
    }

    fn begin(self: Arc<Self>, claim: Claim, by: Arc<str>) -> BoxFuture<Result<Begun, LockError>> {
        Box::pin(async move { OnceStore::begin(&*self, &claim, &by).await })
    }

    fn finish(
        self: Arc<Self>,
        claim: Claim,
        result: Bytes,
        fresh: Duration,
    ) -> BoxFuture<Result<bool, LockError>> {
        Box::pin(async move { OnceStore::finish(&*self, &claim, result, fresh).await })
    }
}
