//! Locks in Redis.

mod adapter;
mod grant;
mod names;
mod reply;
mod wait;
mod waiters;

pub use adapter::RedisLocks;
