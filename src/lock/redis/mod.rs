//! Locks in Redis.

mod adapter;
mod ask;
mod cohorts;
mod drive;
mod grant;
mod names;
mod reply;
mod turn;
mod waiters;

pub use adapter::RedisLocks;
