//! Sessions in Redis.

#[cfg(feature = "cluster")]
mod apart;
#[cfg(feature = "testing")]
pub(super) mod fuzz;
mod reply;
mod save;
mod scripts;
mod sessions;
mod walk;

pub use sessions::RedisSessions;
