//! `SessionLayer`: the options of sessions.
//! Floor 6.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode, response};
use tower_layer::Layer;

use crate::answer::Responder;
use crate::session::cookie::SessionCookie;
use crate::session::detached::SessionCommits;
use crate::session::expiry::SessionExpiry;
use crate::session::limits::SessionLimits;
use crate::session::options::Options;
use crate::session::policy::Undecodable;
use crate::session::service::SessionService;
use crate::session::store::SessionStore;
use crate::session::transport::{SessionHeader, Transport};

/// Gives every request a [`Session`](crate::session::Session) in its extensions, and writes it
/// back before the response begins.
///
/// A request that does not touch its session costs no round trip. Applied twice with a cookie
/// or a header of the same name, the inner layer leaves the session to the outer one; with
/// different names, the handler has the inner one's.
///
/// Up to four cookies of the name are tried. A request whose `Cookie` headers hold more than 8 KiB
/// in all is taken for one without a session.
///
/// Its own answers: 413 where the handler wrote more than the session may hold, 503 with
/// `Retry-After` where the store was away at the commit, unless the handler can do without what it
/// set ([`Session::optional`](crate::session::Session::optional)). Nothing is written then.
///
/// ```
/// use std::time::Duration;
/// use tower_handoff::ConfigError;
/// use tower_handoff::session::{MemorySessions, SessionExpiry, SessionLayer};
///
/// # fn main() -> Result<(), ConfigError> {
/// let (idle, absolute) = (Duration::from_secs(15 * 60), Duration::from_secs(8 * 60 * 60));
/// let sessions = SessionLayer::new(MemorySessions::new())
///     .with_expiry(SessionExpiry::new(idle, absolute)?)
///     .with_commit_when(|status| status.is_success() || status.is_redirection());
/// # let _ = sessions;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SessionLayer(Arc<Options>);

impl SessionLayer {
    /// Sessions in `store`, with the defaults of every option below.
    #[must_use]
    pub fn new(store: impl SessionStore) -> Self {
        Self(Arc::new(Options {
            commits: store.commits(),
            store: Arc::new(store),
            transport: Transport::Cookie(SessionCookie::default()),
            expiry: SessionExpiry::default(),
            limits: SessionLimits::default(),
            undecodable: Undecodable::default(),
            responder: Responder::default(),
            commit_when: |status| !status.is_server_error(),
            renewals: Arc::default(),
            on_gone: None,
        }))
    }

    /// The cookie. Default: [`SessionCookie::default`], `__Host-session`, for HTTPS only.
    #[must_use]
    pub fn with_cookie(self, cookie: SessionCookie) -> Self {
        self.with(|options| options.transport = Transport::Cookie(cookie))
    }

    /// A header in place of the cookie.
    #[must_use]
    pub fn with_header(self, header: SessionHeader) -> Self {
        self.with(|options| options.transport = Transport::Header(header))
    }

    /// How long new sessions live. Default: an hour without use, a day in all.
    #[must_use]
    pub fn with_expiry(self, expiry: SessionExpiry) -> Self {
        self.with(|options| options.expiry = expiry)
    }

    /// How much a session may hold. Default: 8 KiB a field, 16 KiB a session.
    #[must_use]
    pub fn with_limits(self, limits: SessionLimits) -> Self {
        self.with(|options| options.limits = limits)
    }

    /// What becomes of stored bytes that cannot be read. Default: [`Undecodable::Discard`].
    #[must_use]
    pub fn with_undecodable(self, undecodable: Undecodable) -> Self {
        self.with(|options| options.undecodable = undecodable)
    }

    /// Makes the layer's own answers. Default: problem+json.
    #[must_use]
    pub fn with_responder(self, responder: Responder) -> Self {
        self.with(|options| options.responder = responder)
    }

    /// Says by the response's status whether to write what the handler set. Default: all but 5xx.
    ///
    /// What acted at its await (`update`, `increment`, `save`, `destroy`) stays in any case.
    #[must_use]
    pub fn with_commit_when(self, commit_when: fn(StatusCode) -> bool) -> Self {
        self.with(|options| options.commit_when = commit_when)
    }

    /// Answers in place of the handler where its session was gone at the commit
    /// ([`CommitOutcome::Gone`](crate::session::CommitOutcome::Gone)): 401, say, or 409. Gets the
    /// handler's response; `None` lets it stand. Default: it stands.
    #[must_use]
    pub fn with_on_gone(
        self,
        on_gone: impl Fn(&response::Parts) -> Option<Response<Bytes>> + Send + Sync + 'static,
    ) -> Self {
        self.with(|options| options.on_gone = Some(Arc::new(on_gone)))
    }

    /// What a shutdown waits for: the commits of detached handles
    /// ([`DetachedSession::commit`](crate::session::DetachedSession::commit)) that are under way, and
    /// log-outs ([`Session::destroy`](crate::session::Session::destroy)) whose clients are gone.
    ///
    /// For [`LifecycleBuilder::manage`](crate::lifecycle::LifecycleBuilder::manage), where the store is
    /// not Redis: a `RedisHandle` that is managed waits for what its sessions have under way. Layers
    /// for cookies of different names are different parts.
    #[must_use]
    pub fn commits(&self) -> SessionCommits {
        SessionCommits::new(&self.0)
    }

    fn with(mut self, change: impl FnOnce(&mut Options)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }
}

impl<S> Layer<S> for SessionLayer {
    type Service = SessionService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        SessionService::new(inner, Arc::clone(&self.0))
    }
}

impl fmt::Debug for SessionLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options {
            store: _,
            transport,
            expiry,
            limits,
            undecodable,
            responder,
            commit_when: _,
            commits: _,
            renewals: _,
            on_gone: _,
        } = &*self.0;
        f.debug_struct("SessionLayer")
            .field("transport", transport)
            .field("expiry", expiry)
            .field("limits", limits)
            .field("undecodable", undecodable)
            .field("responder", responder)
            .finish_non_exhaustive()
    }
}
