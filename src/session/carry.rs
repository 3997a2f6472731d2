//! Work that is carried out once it has begun, whether or not anybody waits for it.
//! Floor 5.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;
use tracing::Span;
use tracing::instrument::Instrument;

type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Work that goes on in a task of its own where this future is dropped before it is ready; outside
/// a tokio runtime it ends there.
pub(crate) struct CarriedOut<T: Send + 'static>(Option<Work<T>>);

impl<T: Send + 'static> CarriedOut<T> {
    pub(crate) fn new(work: impl Future<Output = T> + Send + 'static) -> Self {
        Self(Some(Box::pin(work)))
    }
}

impl<T: Send + 'static> Future for CarriedOut<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let Some(work) = &mut self.0 else {
            panic!("CarriedOut polled after it was ready");
        };
        let ready = work.as_mut().poll(cx);
        if ready.is_ready() {
            self.0 = None;
        }
        ready
    }
}

impl<T: Send + 'static> Drop for CarriedOut<T> {
    fn drop(&mut self) {
        if let Some(work) = self.0.take()
            && let Ok(runtime) = Handle::try_current()
        {
            let rest = async move { drop(work.await) };
            runtime.spawn(rest.instrument(Span::current()));
        }
    }
}
