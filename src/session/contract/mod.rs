//! The contract of [`SessionStore`](crate::session::SessionStore) as a suite that any store can be put through.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
//! use tower_handoff::session::{MemorySessions, contract};
//!
//! let store = MemorySessions::new();
//! contract::check(&store).await;
//! contract::check_merges(&store, 1, 500).await;
//! # });
//! ```
//!
//! A test of yours does the same with your store. It takes some seconds of the store's clock, for
//! sessions that expire.

mod fixture;
mod merges;
mod suite;
mod time_outs;
mod users;

pub use merges::check_merges;
pub use suite::check;
