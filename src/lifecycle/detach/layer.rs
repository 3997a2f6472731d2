//! The layer.
//!
//! Floor 6.

use tower_layer::Layer;

use crate::lifecycle::detach::service::DetachService;
use crate::lifecycle::handle::LifecycleHandle;
use crate::lifecycle::tasks::Tasks;
use crate::lifecycle::watch::PhaseWatch;

/// Runs each handler as a background task of the lifecycle, so that a client that goes away does not
/// drop it in the middle. Made by [`Lifecycle::detach`](crate::lifecycle::Lifecycle::detach).
///
/// A server drops a handler at its next await when it sees that nobody waits for the answer any
/// more. For work that must not be left half done that is wrong; here it goes on to its end. Nothing
/// else is different: the answer comes back to the connection, with its body, and so does a panic.
/// Where the client has gone the answer is dropped, and a panic is logged.
///
/// It is a task like those of [`spawn`](LifecycleHandle::spawn), by the name `POST /orders/{id}`:
/// listed and counted from its call to its answer's head, beside the request for as long as that is
/// there; the drain waits for it; when the drain's time is over it is dropped at its next await and
/// named in the report, and its client, if it is still there, gets 503 without `Retry-After`
/// ([`CutOff`](crate::Reason::CutOff)): what it did is unknown.
///
/// It goes inside [`Lifecycle::layer`](crate::lifecycle::Lifecycle::layer), and **outside sessions
/// and locks**: what lies outside of it ends with the client as ever. A lock there would be given
/// back while the handler is at work, and a session not be saved. The rest of the request's body
/// still comes from the client, so a handler that reads it hears an error when that has gone. It runs
/// in the request's `tracing` span; task-locals of the layers outside it does not see.
///
/// **Bound it from the inside.** Who goes away frees its stream, its connection and every limit outside of
/// this layer, and the handler goes on: a client that asks and leaves, again and again, has as many at work
/// as it likes. So a limit on how many there may be (tower's `GlobalConcurrencyLimitLayer`) goes inside.
///
/// # Cost
/// A task, a channel and a name: four allocations a request.
///
/// # Panics
/// Its requests do outside of a tokio runtime.
///
/// ```
/// # #[cfg(feature = "axum")]
/// # mod example {
/// use axum::{Router, routing::post};
/// use tower::ServiceBuilder;
/// use tower_handoff::{Lifecycle, LockLayer, MemoryLocks, key};
///
/// # async fn pay() {}
/// fn app(lifecycle: &Lifecycle) -> Router {
///     let whole = ServiceBuilder::new()
///         .layer(lifecycle.detach())
///         .layer(LockLayer::new(MemoryLocks::new(), key::path("order:{id}")));
///     Router::new()
///         .route("/orders/{id}/pay", post(pay).layer(whole))
///         .layer(ServiceBuilder::new().layer(lifecycle.layer()))
/// }
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct DetachLayer {
    tasks: Tasks,
    watch: PhaseWatch,
}

impl DetachLayer {
    /// Handlers become tasks of this lifecycle.
    #[must_use]
    pub fn new(lifecycle: &LifecycleHandle) -> Self {
        Self {
            tasks: lifecycle.tasks(),
            watch: lifecycle.watch(),
        }
    }
}

impl<S> Layer<S> for DetachLayer {
    type Service = DetachService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        let Self { tasks, watch } = *self;
        DetachService {
            inner,
            tasks,
            watch,
        }
    }
}
