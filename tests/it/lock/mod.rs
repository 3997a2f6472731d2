//! Locks: the contract, the layer, Redis and what can befall it.

mod bodies;
mod cancelling;
mod contract;
mod exclusion;
mod faults;
mod hand_over;
mod keys;
mod lease;
mod refusals;
mod rig;
mod shutdown;
