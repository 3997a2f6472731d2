//! A key from a header.
//!
//! Floor 3.

use http::HeaderName;
use http::request::Parts;

use crate::lock::escape::push_value;
use crate::lock::key::source::{KeyFrom, KeyFuture};
use crate::lock::lock_key::LockKey;

/// The key `name:value` of the header `name`, its value escaped.
///
/// A header that is absent, empty or there more than once is nothing to make a key from.
#[must_use]
pub fn header(name: HeaderName) -> HeaderKey {
    HeaderKey(name)
}

/// The source that [`header`] makes.
#[derive(Debug, Clone)]
pub struct HeaderKey(HeaderName);

impl KeyFrom for HeaderKey {
    fn key(&self, parts: &mut Parts) -> KeyFuture {
        let mut values = parts.headers.get_all(&self.0).iter();
        let key = match (values.next(), values.next()) {
            (Some(value), None) if !value.is_empty() => {
                let mut key = String::with_capacity(64);
                key.push_str(self.0.as_str());
                key.push(':');
                push_value(&mut key, value.as_bytes());
                LockKey::bounded(key)
            }
            // Which of two would it be? Whoever sends both decides nothing.
            _ => None,
        };
        KeyFuture::ready(Ok(key))
    }
}
