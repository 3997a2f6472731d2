//! What the tests share.

pub mod http;
pub mod redis_server;
pub mod testbed;
