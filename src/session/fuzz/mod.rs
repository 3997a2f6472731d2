//! Not part of the API: what must hold for whatever bytes come from browsers and from stores.
//!
//! The fuzz targets call it with bytes that they vary by what the code does with them.

#![allow(missing_docs, reason = "each says whose bytes they are")]

mod changes;
mod presented;
mod stored;

#[cfg(feature = "redis")]
pub use crate::session::redis::fuzz::reply;
pub use changes::changes;
pub use presented::{cookies, headers, token};
pub use stored::{names, record};
