//! `SessionFuture`: handler, commit, cookie.
//! Floor 6.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::header::CACHE_CONTROL;
use http::{HeaderValue, Response};
use pin_project_lite::pin_project;
use tracing::{debug, warn};

use crate::answer::{AnswerBody, Refusal};
use crate::reason::Reason;
use crate::session::commit::{CommitOutcome, Left};
use crate::session::core::Core;
use crate::session::error::{SessionError, SessionErrorKind};
use crate::session::policy::RETRY;
use crate::telemetry::names::SessionCommits;
use crate::telemetry::record::count;

type Commit = Pin<Box<dyn Future<Output = CommitResult> + Send>>;
type CommitResult = Result<Option<CommitOutcome>, SessionError>;

pin_project! {
    /// The response of a [`SessionService`](crate::session::SessionService).
    ///
    /// Dropped before it is ready, it writes nothing of what the handler set; a commit that has
    /// been sent to the store may still be carried out there.
    pub struct SessionFuture<F, B> {
        // The handler's future goes before the handle is sealed: fields drop in this order.
        #[pin]
        state: State<F, B>,
        seal: Option<Seal>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, B> {
        Handler { #[pin] inner: F },
        Commit { commit: Commit, response: Option<Response<B>> },
    }
}

/// Ends writing through the handle, however the request ends.
struct Seal(Arc<Core>);

impl Drop for Seal {
    fn drop(&mut self) {
        self.0.seal();
    }
}

impl<F, B> SessionFuture<F, B> {
    pub(crate) fn new(inner: F, core: Option<Arc<Core>>) -> Self {
        Self {
            state: State::Handler { inner },
            seal: core.map(Seal),
        }
    }
}

impl<F, B, E> Future for SessionFuture<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<AnswerBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProj::Handler { inner } => {
                    let response = ready!(inner.poll(cx))?;
                    let Some(Seal(core)) = &*this.seal else {
                        return Poll::Ready(Ok(response.map(AnswerBody::inner)));
                    };
                    let commits = (core.options.commit_when)(response.status());
                    let outcome = match core.seal() {
                        Left::Nothing => None,
                        Left::ToWrite if !commits => Some(CommitOutcome::Discarded),
                        Left::ToWrite | Left::UnderWay => {
                            let core = Arc::clone(core);
                            let commit = async move {
                                match commits {
                                    true => core.commit().await,
                                    false => Ok(core.discard().await),
                                }
                            };
                            this.state.set(State::Commit {
                                commit: Box::pin(commit),
                                response: Some(response),
                            });
                            continue;
                        }
                    };
                    return Poll::Ready(Ok(finish(core, response, Ok(outcome))));
                }
                StateProj::Commit { commit, response } => {
                    let result = ready!(commit.as_mut().poll(cx));
                    let (Some(Seal(core)), Some(response)) = (&*this.seal, response.take()) else {
                        panic!("SessionFuture polled after it was ready");
                    };
                    return Poll::Ready(Ok(finish(core, response, result)));
                }
            }
        }
    }
}

/// The response with what the session has to say: the outcome, the cookie.
fn finish<B>(core: &Core, response: Response<B>, result: CommitResult) -> Response<AnswerBody<B>> {
    let result = match result {
        Err(error) if error.is_unavailable() && !core.state().required => {
            debug!(
                error = &error as &dyn std::error::Error,
                "optional session not written"
            );
            Ok(Some(CommitOutcome::Unavailable))
        }
        result => result,
    };
    match &result {
        Ok(None) => {}
        Ok(Some(CommitOutcome::Written)) => count(SessionCommits::Written),
        Ok(Some(CommitOutcome::Gone)) => count(SessionCommits::Gone),
        Ok(Some(CommitOutcome::Discarded)) => count(SessionCommits::Discarded),
        Ok(Some(CommitOutcome::Unavailable)) => count(SessionCommits::Unavailable),
        Err(_) => count(SessionCommits::Failed),
    }
    let mut response = match result {
        Ok(None) => response.map(AnswerBody::inner),
        Ok(Some(outcome)) => {
            let mut response = match outcome {
                CommitOutcome::Gone => on_gone(core, response),
                _ => response.map(AnswerBody::inner),
            };
            response.extensions_mut().insert(outcome);
            response
        }
        Err(error) => {
            let cause = &error as &dyn std::error::Error;
            match error.kind() {
                // An outage is reported once, by the connection; a size, by the client who sent it.
                SessionErrorKind::TooLarge
                | SessionErrorKind::Unavailable
                | SessionErrorKind::OutcomeUnknown => debug!(error = cause, "session not written"),
                _ => warn!(error = cause, "session not written"),
            }
            let refusal = match error.kind() {
                SessionErrorKind::TooLarge => Refusal::new(Reason::SessionTooLarge),
                _ => Refusal::new(Reason::SessionUnavailable).retry_about(RETRY),
            };
            core.options.responder.respond(refusal)
        }
    };
    if let Some((name, value)) = core.take_announcement() {
        let headers = response.headers_mut();
        headers.append(name, value);
        // A cache that kept this answer would hand one visitor's session to the next.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

fn on_gone<B>(core: &Core, response: Response<B>) -> Response<AnswerBody<B>> {
    let Some(on_gone) = &core.options.on_gone else {
        return response.map(AnswerBody::inner);
    };
    let (parts, body) = response.into_parts();
    match on_gone(&parts) {
        Some(answer) => answer.map(AnswerBody::answer),
        None => Response::from_parts(parts, AnswerBody::inner(body)),
    }
}

impl<F, B> fmt::Debug for SessionFuture<F, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionFuture").finish_non_exhaustive()
    }
}
