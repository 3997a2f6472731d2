//! Sessions, in memory and in Redis.
#![allow(
    clippy::unwrap_used,
    reason = "clippy knows tests by their attribute, and not their helpers"
)]

mod stage;
mod support;

mod at_once;
mod bad_input;
mod budget;
mod clocks;
mod clones;
mod commit;
mod commit_cancelled;
mod commit_matrix;
mod commit_rules;
mod concurrency;
mod cookies;
mod damage;
mod detached;
mod faces;
#[cfg(feature = "sentinel")]
mod fail_over;
mod faults;
mod full;
mod gone;
mod hostile;
mod interleavings;
mod late;
mod logins;
mod operations;
mod overtaken;
mod policy;
mod remembered;
mod replicas;
mod revoked;
mod seams;
mod section;
mod settled;
mod steps;
mod store_contract;
mod transport;
mod typed;
mod unacknowledged;
mod upgrades;
mod users;
mod walks;
mod wrong_types;
