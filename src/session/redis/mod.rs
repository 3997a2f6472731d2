//! Sessions in Redis.

#[cfg(feature = "cluster")]
mod apart;
mod create;
#[cfg(feature = "testing")]
pub(super) mod fuzz;
mod late;
mod reply;
mod save;
mod scripts;
mod sessions;
mod walk;

pub use sessions::RedisSessions;
