//! Run once through Redis.

mod adapter;
#[cfg(feature = "testing")]
pub mod fuzz;
mod reply;

pub use adapter::RedisOnce;
