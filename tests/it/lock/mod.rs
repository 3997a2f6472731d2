//! Locks: the contract, the layer, Redis and what can befall it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bodies;
mod bounds;
mod cancelling;
mod cohort;
mod contract;
mod cut_off;
mod exclusion;
mod faults;
mod fence_floor;
mod formats;
mod hand_over;
mod histories;
mod inspect;
mod key_sources;
mod keys;
mod late;
mod lease;
mod left_behind;
mod lost_replies;
mod many;
mod mixed_leases;
mod owned;
mod policies;
mod refusals;
mod renewals;
mod replicas;
mod rig;
mod rights;
mod runtimes;
mod shutdown;
mod spans;
mod stalled;
mod standalone;
mod together;
mod wrong_types;
