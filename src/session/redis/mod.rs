//! Sessions in Redis.

mod reply;
mod sessions;
mod walk;

pub use sessions::RedisSessions;
