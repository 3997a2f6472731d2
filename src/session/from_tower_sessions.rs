//! From tower-sessions to this crate: each call, the cookie and the behaviour mapped.
//! Floor 7.
//!
#![doc = include_str!("../../docs/from-tower-sessions.md")]
