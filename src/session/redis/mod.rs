//! Sessions in Redis.

mod reply;
mod save;
mod sessions;
mod walk;

pub use sessions::RedisSessions;
