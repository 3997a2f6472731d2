//! Sessions in Redis.

mod sessions;

pub use sessions::RedisSessions;
