//! Sessions, in memory and in Redis.

mod store_contract;
