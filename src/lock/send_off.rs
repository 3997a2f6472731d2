//! Work that must go on when whoever asked for it is gone.
//!
//! Floor 3.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::runtime::Handle;

/// Runs `work` to its end without the caller, who may be a destructor: never blocks or panics.
///
/// The first poll happens here, so that a command is sent before the caller goes on, and work
/// that needs no waiting needs no task. The rest runs on the current runtime or, outside of any,
/// on `home`. Without either, or when that runtime is gone, the rest is dropped.
pub(crate) fn send_off<F>(home: Option<&Handle>, work: F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let here = Handle::try_current().ok();
    let mut work: Pin<Box<F>> = Box::pin(work);
    // Timers and sockets panic outside a runtime; a home to poll them in is then better.
    if here.is_some() || home.is_none() {
        let mut context = Context::from_waker(Waker::noop());
        let first = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(&mut context)));
        if !matches!(first, Ok(Poll::Pending)) {
            return;
        }
    }
    if let Some(runtime) = here.as_ref().or(home) {
        runtime.spawn(work);
    }
}
