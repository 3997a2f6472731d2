//! What threads share and meet at. Those of the line take it from here, so that their model can give
//! them something else.
//!
//! Floor 0.

pub(crate) use std::sync::atomic::{AtomicBool, Ordering};
#[cfg(feature = "redis")]
pub(crate) use std::sync::{Mutex, MutexGuard};
#[cfg(feature = "redis")]
pub(crate) use tokio::sync::{Notify, futures::Notified, oneshot};
