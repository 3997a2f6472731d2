//! Sessions, in memory and in Redis.

mod support;

mod budget;
mod clocks;
mod commit;
mod concurrency;
mod cookies;
mod faces;
mod gone;
mod hostile;
mod operations;
mod store_contract;
