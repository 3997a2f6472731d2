//! What threads meet at when the phase changes. Who sets it and who listens take it from here, so that
//! their model can give them something else.
//!
//! Floor 0.

pub(crate) use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::SeqCst};
pub(crate) use tokio::sync::{Notify, futures::Notified};
