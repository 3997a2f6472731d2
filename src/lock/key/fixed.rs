//! One lock for the whole route.
//!
//! Floor 3.

use http::request::Parts;

use crate::lock::key::source::{KeyFrom, KeyFuture};
use crate::lock::lock_key::LockKey;

impl KeyFrom for LockKey {
    fn key(&self, _parts: &mut Parts) -> KeyFuture {
        KeyFuture::ready(Ok(Some(self.clone())))
    }
}
