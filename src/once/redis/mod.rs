//! Run once through Redis.

mod adapter;

pub use adapter::RedisOnce;
