//! What the tests share.

pub(crate) mod eventually;
pub(crate) mod proxy;
pub(crate) mod redis_server;
