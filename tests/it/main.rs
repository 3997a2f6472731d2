//! Integration tests: one binary, a folder a concern.

mod support;

mod browser;
mod e2e;
mod evidence;
mod fleet;
mod floors;
mod lifecycle;
mod lock;
mod once;
mod redis;
mod session;
mod supply_chain;
#[cfg(feature = "metrics")]
mod telemetry;
