//! Every interleaving of what threads of tower-handoff meet at, tried by loom: the library's own
//! files, on loom's atomics and locks.
//!
//! ```text
//! cargo test --manifest-path loom/Cargo.toml
//! ```

#![cfg(test)]
#![allow(dead_code, reason = "a model does not use all of what it models")]

mod in_flight;
