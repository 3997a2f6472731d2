//! Locks in Redis.

pub(crate) mod adapter;
mod ask;
mod beside;
mod cohorts;
mod delivery;
mod digits;
mod drive;
#[cfg(feature = "testing")]
pub mod fuzz;
mod grant;
mod inspect;
mod names;
mod reply;
mod turn;
mod waiters;

pub use adapter::RedisLocks;
