//! What the tests share.

pub(crate) mod bad_line;
pub(crate) mod balancer;
#[cfg(feature = "tls-rustls")]
pub(crate) mod certificates;
pub(crate) mod drop_after;
pub(crate) mod eventually;
pub(crate) mod evidence;
pub(crate) mod http;
pub(crate) mod lock_paths;
pub(crate) mod log;
pub(crate) mod patient;
pub(crate) mod proxy;
mod proxy_hole;
pub(crate) mod quiet_port;
pub(crate) mod random;
#[cfg(feature = "cluster")]
pub(crate) mod redis_cluster;
#[cfg(feature = "sentinel")]
pub(crate) mod redis_sentinel;
pub(crate) mod redis_server;
pub(crate) mod replica;
pub(crate) mod retelling;
pub(crate) mod spans;
pub(crate) mod stalls;
pub(crate) mod testbed;
pub(crate) mod websocket;
