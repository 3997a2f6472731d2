//! What the tests share.

pub mod http;
pub mod redis_server;
pub mod testbed;
pub(crate) mod eventually;
pub(crate) mod proxy;
pub(crate) mod redis_server;
