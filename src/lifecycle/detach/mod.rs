//! Handlers that go on though their clients have gone.

mod future;
pub(crate) mod layer;
mod service;

pub use future::DetachFuture;
pub use layer::DetachLayer;
pub use service::DetachService;
