//! Sessions in Redis.

#[cfg(feature = "testing")]
pub(super) mod fuzz;
mod reply;
mod save;
mod sessions;
mod walk;

pub use sessions::RedisSessions;
