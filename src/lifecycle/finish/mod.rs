//! Routes whose work has a share of the drain, and not all of it.

mod body;
mod future;
pub(crate) mod layer;
mod service;
mod time;

pub use body::{FinishWithinBody, Overrun};
pub use future::FinishWithinFuture;
pub use layer::FinishWithinLayer;
pub use service::FinishWithinService;
