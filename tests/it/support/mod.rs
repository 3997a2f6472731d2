//! What the tests share.

pub mod eventually;
pub mod proxy;
pub mod redis_server;
