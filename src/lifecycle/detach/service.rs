//! The service that hands its requests to tasks.
//!
//! Floor 6.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread;

use http::{Request, Response, Version};
use tokio::sync::oneshot;
use tower_service::Service;
use tracing::Instrument;

use crate::answer::AnswerBody;
use crate::lifecycle::detach::future::DetachFuture;
use crate::lifecycle::tasks::Tasks;
use crate::lifecycle::watch::PhaseWatch;
use crate::route::Route;

/// Made by [`DetachLayer`](crate::lifecycle::DetachLayer).
#[derive(Debug, Clone)]
pub struct DetachService<S> {
    pub(crate) inner: S,
    pub(crate) tasks: Tasks,
    pub(crate) watch: PhaseWatch,
}

impl<S, ReqB, ResB> Service<Request<ReqB>> for DetachService<S>
where
    S: Service<Request<ReqB>, Response = Response<ResB>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    ResB: Send + 'static,
{
    type Response = Response<AnswerBody<ResB>>;
    type Error = S::Error;
    type Future = DetachFuture<ResB, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqB>) -> Self::Future {
        let http1 = request.version() <= Version::HTTP_11;
        let name = name(&request);
        let handler = self.inner.call(request);
        let (answer, answered) = oneshot::channel();
        let task = name.clone();
        let work = async move {
            // Nobody is there to whom it goes. An answer is of no use then, a panic is news.
            if let Err(Err(_)) = answer.send(caught(handler).await) {
                tracing::error!(%task, "a handler panicked, and its client had gone");
            }
        };
        self.tasks.spawn(self.watch, name, work.in_current_span());
        DetachFuture::new(answered, http1, self.watch)
    }
}

/// What `/status` and the report call it: as a request it is listed beside, while its client is there.
fn name<B>(request: &Request<B>) -> Arc<str> {
    let method = request.method().as_str();
    match Route::of(request.extensions()) {
        Some(route) => format!("{method} {}", route.as_str()).into(),
        None => method.into(),
    }
}

/// What `work` returns, or what it panics with. After that it is not polled again.
async fn caught<W: Future>(work: W) -> thread::Result<W::Output> {
    let mut work = pin!(work);
    poll_fn(
        |cx| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
            Ok(polled) => polled.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        },
    )
    .await
}
