//! Run once: in tasks, over handles, in processes, and what can befall it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod away;
mod cancelling;
mod crowds;
mod e2e;
mod in_redis;
mod kept;
mod lost;
mod results;
mod rig;
mod runs;
