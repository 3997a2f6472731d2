//! Testbed processes, real signals, plain HTTP: what the crate promises, seen from outside.

mod bad_input;
mod formats;
mod increments;
mod lifecycle;
pub(crate) mod locks;
mod logins;
mod probes;
mod redis_away;
#[cfg(target_os = "linux")]
mod service_manager;
pub(crate) mod sessions;
mod signals;
mod skew;
mod sockets;

/// Both servers that the testbed can run on.
const SERVERS: [&str; 2] = ["axum", "hyper"];
