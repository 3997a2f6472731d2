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
use crate::lock::error::LockErrorKind;
use crate::lock::guard::LockGuard;
use crate::lock::manager::Hold;
use crate::lock::options::{MAX_STREAM, OnLost, Options};
use crate::reason::Reason;

type Admitting = Pin<Box<dyn Future<Output = Result<Admission, Refusal>> + Send>>;
pub(crate) type Lost = Pin<Box<dyn Future<Output = ()> + Send>>;

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
            hold: Option<Hold>,
            stop: Option<(LockGuard, Lost)>,
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
                hold: None,
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
    let (holding, hold) = match admission {
        Admission::Held(hold) => (Some(hold.holding().clone()), Some(hold)),
        Admission::Within(holding) => (Some(holding), None),
        Admission::Unguarded => (None, None),
    };
    let mut stop = None;
    if let Some(holding) = holding {
        let extensions = request.extensions_mut();
        let outer = extensions.remove::<LockGuard>();
        let guard = LockGuard::new(holding, outer);
        if on_lost == OnLost::Stop {
            let lost: Lost = Box::pin(guard.lost());
            stop = Some((guard.clone(), lost));
        }
        extensions.insert(guard);
    }
    State::Running {
        running: inner.call(request),
        hold,
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
                            if let (Admission::Held(hold), Some(most)) =
                                (&admission, options.max_hold)
                            {
                                hold.holding().hold_at_most(most);
                            }
                            let state = run(admission, next, options.on_lost);
                            this.state.set(state);
                        }
                        (Err(refusal), ..) => break refusal,
                        (Ok(_), ..) => unreachable!("an admission comes once"),
                    }
                }
                StateProj::Running {
                    running,
                    hold,
                    stop,
                } => {
                    // First the lock: a process that was suspended past its lease must not
                    // take another step of the handler when it runs again.
                    if is_lost(stop, cx) {
                        break Refusal::new(Reason::LockLost);
                    }
                    let answer = ready!(running.poll(cx));
                    if is_lost(stop, cx) {
                        break Refusal::new(Reason::LockLost);
                    }
                    let hold = hold.take();
                    let capped = this.options.as_ref().is_some_and(|o| o.max_hold.is_some());
                    this.state.set(State::Over);
                    return Poll::Ready(answer.map(|answer| guarded(answer, hold, capped)));
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

/// Whether to stop the handler; a lock that it let go itself is not lost.
pub(crate) fn is_lost(stop: &mut Option<(LockGuard, Lost)>, cx: &mut Context<'_>) -> bool {
    let Some((guard, lost)) = stop else {
        return false;
    };
    let held = guard.check().and_then(|()| {
        // Wakes this future when the lock's end comes.
        let _ = lost.as_mut().poll(cx);
        guard.check()
    });
    held.is_err_and(|error| error.kind() == LockErrorKind::Lost)
}

/// The answer, which keeps the lock for as long as the application may still be at work on it.
fn guarded<R>(answer: Response<R>, hold: Option<Hold>, capped: bool) -> Response<LockBody<R>>
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
    let hold = hold.filter(|_| !finished(&answer));
    if let Some(hold) = hold.as_ref().filter(|_| !capped) {
        hold.holding().hold_at_most(MAX_STREAM);
    }
    answer.map(|body| LockBody::new(AnswerBody::inner(body), hold))
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
