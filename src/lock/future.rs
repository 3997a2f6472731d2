//! The future: lock, then handler, then the lock's end.
//!
//! Floor 6.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::answer::{AnswerBody, Refusal};
use crate::lock::admission::Admission;
use crate::lock::body::LockBody;
use crate::lock::guard::{Kept, LockGuard};
use crate::lock::loss::LossWatch;
use crate::lock::on_lost::OnLost;
use crate::lock::options::{MAX_STREAM, Options};
use crate::lock::unguarded::{Hidden, Unguarded};
use crate::reason::Reason;

type Admitting = Pin<Box<dyn Future<Output = Result<Admission, Refusal>> + Send>>;

pin_project! {
    /// The future of [`LockService`](crate::lock::LockService).
    ///
    /// Dropped at any point, it leaves no lock behind.
    pub struct LockFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, S::Future, B>,
        options: Option<Arc<Options>>,
    }
}

pin_project! {
    #[project = StateProj]
    #[project_replace = StateOwned]
    enum State<S, F, B> {
        Admitting {
            admitting: Admitting,
            // Both taken when the admission is known.
            next: Option<(S, Request<B>)>,
        },
        Running {
            #[pin]
            running: F,
            kept: Option<Kept>,
            stop: Option<LossWatch>,
        },
        Over,
    }
}

impl<S, B> LockFuture<S, B>
where
    S: Service<Request<B>>,
{
    pub(super) fn pass(running: S::Future) -> Self {
        Self {
            state: State::Running {
                running,
                kept: None,
                stop: None,
            },
            options: None,
        }
    }

    pub(super) fn admitting(
        admitting: Admitting,
        inner: S,
        request: Request<B>,
        options: Arc<Options>,
    ) -> Self {
        Self {
            state: State::Admitting {
                admitting,
                next: Some((inner, request)),
            },
            options: Some(options),
        }
    }
}

/// Calls the handler with its guard.
fn run<S, B>(
    admission: Admission,
    (mut inner, mut request): (S, Request<B>),
    on_lost: OnLost,
) -> State<S, S::Future, B>
where
    S: Service<Request<B>>,
{
    let (mut kept, mut stop) = (None, None);
    match admission {
        Admission::Guarded(guard) => {
            stop = (on_lost == OnLost::Stop).then(|| guard.watch());
            request.extensions_mut().insert(guard.clone());
            kept = Some(Kept::new(guard));
        }
        Admission::Unguarded(reason) => {
            let extensions = request.extensions_mut();
            if let Some(outer) = extensions.remove::<LockGuard>() {
                extensions.insert(Hidden(outer));
            }
            extensions.insert(Unguarded { reason });
        }
    }
    State::Running {
        running: inner.call(request),
        kept,
        stop,
    }
}

impl<S, B, R> Future for LockFuture<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body,
    R::Data: From<Bytes>,
{
    type Output = Result<Response<LockBody<R>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let refusal = loop {
            match this.state.as_mut().project() {
                StateProj::Admitting { admitting, next } => {
                    let admitted = ready!(admitting.as_mut().poll(cx));
                    let next = next.take();
                    match (admitted, next, &this.options) {
                        (Ok(admission), Some(next), Some(options)) => {
                            let state = run(admission, next, options.on_lost);
                            this.state.set(state);
                        }
                        (Err(refusal), ..) => break refusal,
                        (Ok(_), ..) => unreachable!("an admission comes once"),
                    }
                }
                StateProj::Running {
                    running,
                    kept,
                    stop,
                } => {
                    // First the lock: a process that was suspended past its lease must not
                    // take another step of the handler when it runs again.
                    if stop.as_mut().is_some_and(|stop| stop.is_lost(cx)) {
                        break Refusal::new(Reason::LockLost);
                    }
                    let answer = ready!(running.poll(cx));
                    if stop.as_mut().is_some_and(|stop| stop.is_lost(cx)) {
                        break Refusal::new(Reason::LockLost);
                    }
                    let kept = kept.take();
                    let options = this.options.as_ref();
                    let capped = options.is_some_and(|o| o.terms.max_hold.is_some());
                    this.state.set(State::Over);
                    return Poll::Ready(answer.map(|answer| guarded(answer, kept, capped)));
                }
                StateProj::Over => panic!("`LockFuture` polled after completion"),
            }
        };
        // Drops the handler where it waits, then lets go.
        this.state.set(State::Over);
        let responder = this
            .options
            .as_ref()
            .map(|options| options.responder.clone());
        let answer = responder.unwrap_or_default().respond(refusal);
        Poll::Ready(Ok(answer.map(|body| LockBody::new(body, None))))
    }
}

/// The answer, which keeps the lock for as long as the application may still be at work on it.
fn guarded<R>(answer: Response<R>, kept: Option<Kept>, capped: bool) -> Response<LockBody<R>>
where
    R: Body,
    R::Data: From<Bytes>,
{
    // A body whose size is known is finished: nothing of the application's runs any more.
    // After an upgrade the connection is a thing of its own.
    let finished = |answer: &Response<R>| {
        answer.status() == StatusCode::SWITCHING_PROTOCOLS
            || answer.body().is_end_stream()
            || answer.body().size_hint().exact().is_some()
    };
    let kept = kept.filter(|_| !finished(&answer));
    if let Some(kept) = kept.as_ref().filter(|_| !capped) {
        kept.guard().hold_at_most(MAX_STREAM);
    }
    answer.map(|body| LockBody::new(AnswerBody::inner(body), kept))
}

impl<S, B> fmt::Debug for LockFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Admitting { .. } => "admitting",
            State::Running { .. } => "running",
            State::Over => "over",
        };
        f.debug_tuple("LockFuture").field(&state).finish()
    }
}
