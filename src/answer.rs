//! What a layer answers when it does not let a request through.
//!
//! A layer never changes the service's error type: it refuses with a response, whose
//! extensions carry the typed [`Refusal`], so that layers further out can see the reason.
//!
//! Floor 3.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::random;
use crate::reason::Reason;

/// A refusal: the reason, and when to come back.
///
/// Found in the extensions of every response that a layer of this crate made itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// When it is worth trying again; sent as `Retry-After`, in whole seconds, rounded up.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    pub(crate) fn new(reason: Reason) -> Self {
        Self {
            reason,
            retry_after: None,
        }
    }

    /// Come back after `base` and up to as much again, so that clients do not come back at once.
    pub(crate) fn retry_about(mut self, base: Duration) -> Self {
        let base = base.max(Duration::from_secs(1));
        let jitter = random::below(u64::try_from(base.as_millis()).unwrap_or(u64::MAX));
        self.retry_after = Some(base.saturating_add(Duration::from_millis(jitter)));
        self
    }

    /// `Retry-After` in whole seconds, at least one.
    #[must_use]
    pub fn retry_after_secs(&self) -> Option<u64> {
        let after = self.retry_after?;
        let partial = u64::from(after.subsec_nanos() > 0);
        Some(after.as_secs().saturating_add(partial).max(1))
    }

    /// The default answer: `application/problem+json`, never cached.
    #[must_use]
    pub fn response(&self) -> Response<Bytes> {
        let status = self.reason.status();
        let body = format!(
            r#"{{"type":"urn:tower-handoff:{}","title":"{}","status":{}}}"#,
            self.reason.slug(),
            self.reason.title(),
            status.as_u16()
        );
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after_secs() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// Turns a [`Refusal`] into an answer: the default one, or a closure of the application's.
#[derive(Clone, Default)]
pub struct Responder(Option<Arc<RespondFn>>);

type RespondFn = dyn Fn(&Refusal) -> Response<Bytes> + Send + Sync;

impl Responder {
    /// Answers with what `respond` makes of the refusal.
    pub fn new(respond: impl Fn(&Refusal) -> Response<Bytes> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(respond)))
    }

    /// The answer, with the refusal in its extensions.
    pub(crate) fn respond<B>(&self, refusal: Refusal) -> Response<AnswerBody<B>> {
        let mut response = match &self.0 {
            Some(respond) => respond(&refusal),
            None => refusal.response(),
        };
        response.extensions_mut().insert(refusal);
        response.map(AnswerBody::answer)
    }
}

impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(respond) = self;
        let kind = if respond.is_some() { ".." } else { "default" };
        f.debug_tuple("Responder")
            .field(&format_args!("{kind}"))
            .finish()
    }
}

pin_project! {
    /// The inner service's body, or a layer's own answer.
    #[derive(Debug)]
    pub struct AnswerBody<B> {
        #[pin]
        inner: AnswerBodyInner<B>,
    }
}

pin_project! {
    #[project = AnswerBodyProj]
    #[derive(Debug)]
    enum AnswerBodyInner<B> {
        Inner { #[pin] body: B },
        Answer { bytes: Option<Bytes> },
    }
}

impl<B> AnswerBody<B> {
    /// The inner service's body, untouched.
    pub(crate) fn inner(body: B) -> Self {
        Self {
            inner: AnswerBodyInner::Inner { body },
        }
    }

    /// A layer's own answer.
    pub(crate) fn answer(bytes: Bytes) -> Self {
        let bytes = Some(bytes).filter(|bytes| !bytes.is_empty());
        Self {
            inner: AnswerBodyInner::Answer { bytes },
        }
    }

    /// A layer's own answer that has no bytes.
    fn is_empty_answer(&self) -> bool {
        matches!(self.inner, AnswerBodyInner::Answer { bytes: None })
    }
}

/// Leaves the body of a layer's own answer out, for HTTP/2 in a drain: it needs room in its client's
/// window, and the drain would wait for that. One that has none stays as it is.
pub(crate) fn head_alone<B>(answer: &mut Response<AnswerBody<B>>) {
    if answer.body().is_empty_answer() {
        return;
    }
    *answer.body_mut() = AnswerBody::answer(Bytes::new());
    answer.headers_mut().remove(header::CONTENT_TYPE);
    answer.headers_mut().remove(header::CONTENT_LENGTH);
}

impl<B> Body for AnswerBody<B>
where
    B: Body,
    B::Data: From<Bytes>,
{
    type Data = B::Data;
    type Error = B::Error;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        match self.project().inner.project() {
            AnswerBodyProj::Inner { body } => body.poll_frame(cx),
            AnswerBodyProj::Answer { bytes } => {
                Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes.into()))))
            }
        }
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        match &self.inner {
            AnswerBodyInner::Inner { body } => body.is_end_stream(),
            AnswerBodyInner::Answer { bytes } => bytes.is_none(),
        }
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            AnswerBodyInner::Inner { body } => body.size_hint(),
            AnswerBodyInner::Answer { bytes } => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
        }
    }
}
