//! Sessions, in memory and in Redis.
#![allow(
    clippy::unwrap_used,
    reason = "clippy knows tests by their attribute, and not their helpers"
)]

mod support;

mod bad_input;
mod budget;
mod clocks;
mod clones;
mod commit;
mod concurrency;
mod cookies;
mod damage;
mod detached;
mod faces;
mod faults;
mod gone;
mod hostile;
mod operations;
mod policy;
mod remembered;
mod revoked;
mod seams;
mod store_contract;
mod transport;
mod typed;
mod users;
mod wrong_types;
