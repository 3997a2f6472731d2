//! Work that must go on when whoever asked for it is gone.
//!
//! Floor 3.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::runtime::Handle;
use tokio::time::{Duration, sleep};

use crate::lock::backend::Released;
use crate::lock::error::LockError;
use crate::lock::held::under_way::UnderWay;

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

/// Asks `attempt` again while it fails, as long as `lease` may last. A shutdown waits for the first
/// that does not fail, but not for long.
pub(crate) async fn until_done<F>(
    lease: Duration,
    under_way: UnderWay,
    mut attempt: impl FnMut() -> F,
) where
    F: Future<Output = Result<Released, LockError>>,
{
    let mut under_way = Some(under_way);
    let mut pause = Duration::from_millis(50);
    let mut left = lease;
    while let Err(error) = attempt().await {
        under_way.take_if(|under_way| under_way.has_kept_waiting());
        let Some(rest) = left.checked_sub(pause).filter(|_| error.may_pass()) else {
            tracing::warn!(%error, "a lock could not be released; its lease ends it");
            return;
        };
        left = rest;
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
    if let Some(under_way) = &mut under_way {
        under_way.is_answered();
    }
}
