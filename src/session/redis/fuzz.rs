//! What must hold for whatever Redis replies.
//! Floor 4.
//!
//! Not part of the API: the fuzz targets call it.

use crate::session::redis::sessions::outcome;
use crate::session::redis::walk::Page;

/// What a script replies.
pub fn reply(data: &[u8]) {
    let Ok(value) = ::redis::parse_redis_value(data) else {
        return;
    };
    if let ::redis::Value::Array(values) = &value {
        let _ = outcome(values.clone()).is_ok();
    }
    let _ = Page::read(value).is_ok();
}
