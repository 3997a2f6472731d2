//! The port of what a shutdown must look after.
//!
//! Floor 2.

use std::sync::Arc;

use crate::BoxError;
use crate::lifecycle::check::{BoxFuture, HealthCheck};

/// A part of the instance that holds something the next instance needs: a connection with
/// locks, a buffer, a queue.
///
/// # Contract
/// The lifecycle calls, each at most once and in this order, for every part in the order of
/// registration: [`drain_begins`](Self::drain_begins) when phase `Draining` begins (requests
/// are still in flight and may go on using the part);
/// [`drain_ends_soon`](Self::drain_ends_soon) when a quarter of the drain is left, unless it has ended
/// by then; [`flush`](Self::flush) when nothing is in
/// flight or the drain's time is over; then all hooks run, which may use the part; at last
/// [`close`](Self::close).
///
/// - `flush` returns only when what it gives up is given up: the next instance may rely on it.
/// - After a forced end requests may still run while `flush` does. It must not wait for them.
/// - `flush` and `close` may be dropped at any await, when their time is over. Each part has
///   an even share of what those before it have left; then the next begins beside it. What is left then must heal by itself (an
///   expiry), never by somebody's hand.
///
/// Wrong: hands the work to a task and returns, so the process exits before it is done.
///
/// ```
/// # use tower_handoff::{BoxError, lifecycle::{BoxFuture, Managed}};
/// # #[derive(Clone)] struct Queue;
/// # impl Queue { async fn send_all(&self) -> Result<(), BoxError> { Ok(()) } }
/// struct Wrong(Queue);
///
/// impl Managed for Wrong {
///     fn name(&self) -> &str { "mail-queue" }
///     fn flush(&self) -> BoxFuture<'_, Result<(), BoxError>> {
///         let queue = self.0.clone();
///         tokio::spawn(async move { queue.send_all().await });
///         Box::pin(async { Ok(()) })
///     }
/// }
/// ```
///
/// Right: done when it says so.
///
/// ```
/// # use tower_handoff::{BoxError, lifecycle::{BoxFuture, Managed}};
/// # struct Queue;
/// # impl Queue {
/// #     async fn send_all(&self) -> Result<(), BoxError> { Ok(()) }
/// #     async fn disconnect(&self) {}
/// # }
/// struct MailQueue(Queue);
///
/// impl Managed for MailQueue {
///     fn name(&self) -> &str { "mail-queue" }
///     fn flush(&self) -> BoxFuture<'_, Result<(), BoxError>> {
///         Box::pin(self.0.send_all())
///     }
///     fn close(&self) -> BoxFuture<'_, ()> {
///         Box::pin(self.0.disconnect())
///     }
/// }
/// ```
pub trait Managed: Send + Sync + 'static {
    /// The name that the report and the logs show. No two parts or hooks share it.
    fn name(&self) -> &str;

    /// A check that tells whether the part works. Default: none.
    fn health_check(&self) -> Option<Arc<dyn HealthCheck>> {
        None
    }

    /// Draining has begun: wait for nothing new. Must return at once. Default: nothing.
    fn drain_begins(&self) {}

    /// A quarter of the drain's time is left, and requests are in flight: let go of those that wait, so
    /// that they have an answer before they are cut off. Must return at once. Default: nothing.
    fn drain_ends_soon(&self) {}

    /// Gives up what the next instance needs and writes what is pending. Default: nothing.
    ///
    /// # Errors
    /// Whatever says what could not be given up; the report names the part as failed.
    fn flush(&self) -> BoxFuture<'_, Result<(), BoxError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Lets go of connections. Nothing comes after it. Default: nothing.
    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

impl<T: Managed + ?Sized> Managed for Arc<T> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn health_check(&self) -> Option<Arc<dyn HealthCheck>> {
        (**self).health_check()
    }

    fn drain_begins(&self) {
        (**self).drain_begins();
    }

    fn drain_ends_soon(&self) {
        (**self).drain_ends_soon();
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), BoxError>> {
        (**self).flush()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        (**self).close()
    }
}
