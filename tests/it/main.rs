//! Integration tests: one binary, a folder a concern.

mod support;

mod e2e;
mod evidence;
mod floors;
mod lifecycle;
mod lock;
mod redis;
mod session;
