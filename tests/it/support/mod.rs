//! What the tests share.

pub(crate) mod bad_line;
pub(crate) mod balancer;
pub(crate) mod eventually;
pub(crate) mod evidence;
pub(crate) mod http;
pub(crate) mod log;
pub(crate) mod proxy;
pub(crate) mod redis_server;
pub(crate) mod testbed;
pub(crate) mod websocket;
