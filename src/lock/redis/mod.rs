//! Locks in Redis.

mod adapter;
#[cfg(feature = "testing")]
pub mod fuzz;
mod grant;
mod names;
mod reply;
mod wait;
mod waiters;

pub use adapter::RedisLocks;
