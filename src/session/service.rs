//! `SessionService`: puts the handle into the request.
//! Floor 6.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue, Request, Response};
use tower_service::Service;

use crate::answer::AnswerBody;
use crate::session::candidates::HEADERS_MAX;
use crate::session::core::Core;
use crate::session::future::SessionFuture;
use crate::session::handle::Session;
use crate::session::options::Options;
use crate::session::state::RawCookies;

/// A service whose requests have a session. Made by [`SessionLayer`](crate::session::SessionLayer).
#[derive(Clone)]
pub struct SessionService<S> {
    inner: S,
    options: Arc<Options>,
}

impl<S> SessionService<S> {
    pub(crate) fn new(inner: S, options: Arc<Options>) -> Self {
        Self { inner, options }
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for SessionService<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
{
    type Response = Response<AnswerBody<ResBody>>;
    type Error = S::Error;
    type Future = SessionFuture<S::Future, ResBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let outer = request.extensions().get::<Session>();
        if outer.is_some_and(|session| self.is_same(session)) {
            return SessionFuture::new(self.inner.call(request), None);
        }
        let cookies = raw_cookies(request.headers(), self.options.transport.request_header());
        let core = Arc::new(Core::new(Arc::clone(&self.options), cookies));
        let session = Session::new(Arc::clone(&core));
        request.extensions_mut().insert(session);
        SessionFuture::new(self.inner.call(request), Some(core))
    }
}

impl<S> SessionService<S> {
    /// Whether a layer further out already serves this cookie or header: two would both write it.
    fn is_same(&self, session: &Session) -> bool {
        let outer = &session.core().options.transport;
        outer.is_same(&self.options.transport)
    }
}

/// Keeps the headers for whoever touches the session; copies no bytes.
fn raw_cookies(headers: &HeaderMap, name: &HeaderName) -> RawCookies {
    let values = headers.get_all(name);
    if values.iter().map(HeaderValue::len).sum::<usize>() > HEADERS_MAX {
        return RawCookies::default();
    }
    let mut values = values.iter().cloned();
    RawCookies {
        first: values.next(),
        others: values.collect(),
    }
}

impl<S: fmt::Debug> fmt::Debug for SessionService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionService")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
