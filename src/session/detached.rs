//! A session for what goes on after the response has begun: streams, events, sockets.
//! Floor 5.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::BoxError;
use crate::lifecycle::check::BoxFuture;
use crate::lifecycle::managed::Managed;
use crate::session::carry::CarriedOut;
use crate::session::commits::Commits;
use crate::session::error::SessionError;
use crate::session::handle::Session;
use crate::session::options::Options;
use crate::session::state::Known;

/// A handle that outlives its response; made by [`Session::detach`]. Cheap to clone; the clones
/// are one handle.
///
/// Reads and writes as a [`Session`] does, apart from the request's: what it sets is written by
/// [`commit`](Self::commit) and by nothing else, and lost where nobody calls it. It reads the
/// session once; [`refresh`](Self::refresh) makes it look again. A read keeps the session alive,
/// as a request's does, at most once a renewal window.
///
/// No response can carry a cookie for it, so it never starts a session, and
/// [`rotate`](Session::rotate) is [`Sealed`](crate::session::SessionErrorKind::Sealed). Once the session is destroyed,
/// expired or rotated, by whomever, every write is [`Gone`](crate::session::SessionErrorKind::Gone) and
/// [`exists`](Session::exists) says no, at the latest after a refresh: time to close the socket.
///
/// # Shutdown
/// A streaming body is in flight to its end, so the drain waits for the stream and all it commits.
/// What serves a WebSocket is a task of its own; spawn it with
/// [`LifecycleHandle::spawn`](crate::lifecycle::LifecycleHandle::spawn) and let it end when phase
/// `Draining` begins. A commit that is under way when the time is up is waited for by the
/// `RedisHandle` that is managed; with another store, register
/// [`SessionLayer::commits`](crate::session::SessionLayer::commits) with the lifecycle:
///
/// ```
/// use tower_handoff::session::{MemorySessions, Session, SessionError, SessionLayer};
/// use tower_handoff::{Lifecycle, Phase};
///
/// let sessions = SessionLayer::new(MemorySessions::new());
/// let lifecycle = Lifecycle::builder().manage(sessions.commits()).build()?;
///
/// let handle = lifecycle.handle();
/// let listen = async move |session: Session| {
///     let Some(session) = session.detach().await? else { return Ok(()) };
///     let draining = handle.watch();
///     handle.spawn("socket", async move {
///         draining.reached(Phase::Draining).await; // or until the client goes away
///         let _ = session.set("heard", "everything");
///         let _ = session.commit().await;
///     });
///     Ok::<_, SessionError>(())
/// };
/// # let _ = listen;
/// # Ok::<(), tower_handoff::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct DetachedSession(Session);

impl Session {
    /// A handle of its own on the same session, which outlives the response: for streams,
    /// server-sent events and WebSockets. `None` where the request has no session.
    ///
    /// First writes what is to be written, as [`save`](Self::save) does, so that the response
    /// carries the cookie of a session that begins here. Rotate before detaching: a later rotation
    /// ends the detached handle, as a logout does. Costs that write, or else the read that the
    /// first `get` would have cost.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    pub async fn detach(&self) -> Result<Option<DetachedSession>, SessionError> {
        self.save().await?;
        let core = self.core();
        let written = match &core.state().known {
            Known::Live(token, record) => Some((*token, record.clone())),
            _ => None,
        };
        let known = match written {
            None => core
                .load()
                .await?
                .map(|(token, record)| (token, Some(record))),
            written => written,
        };
        Ok(known.map(|(token, record)| {
            let core = Arc::new(core.detached(token, record));
            DetachedSession(Session::new(core))
        }))
    }
}

impl DetachedSession {
    /// Writes what was set, removed and taken since the last commit; one command, none where there
    /// is nothing to write.
    ///
    /// Once it has begun it is carried out even if this future is dropped, and a shutdown waits for it,
    /// as [above](Self#shutdown). What could not be written is still to be written with the next commit.
    ///
    /// # Errors
    /// [`Gone`](crate::session::SessionErrorKind::Gone) and
    /// [`TooLarge`](crate::session::SessionErrorKind::TooLarge); see also
    /// [`Session`](Session#errors).
    pub async fn commit(&self) -> Result<(), SessionError> {
        let core = Arc::clone(self.0.core());
        let under_way = core.options.commits.begin();
        CarriedOut::new(async move {
            let written = core.write_now().await;
            under_way.ends(&written);
            written
        })
        .await
    }

    /// Forgets what was read, so that the next read asks the store again. What was set and not
    /// committed stays.
    pub fn refresh(&self) {
        if let Known::Live(_, record) = &mut self.0.core().state().known {
            *record = None;
        }
    }
}

impl Deref for DetachedSession {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.0
    }
}

impl fmt::Debug for DetachedSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DetachedSession").finish_non_exhaustive()
    }
}

/// The commits of detached handles that are under way, for a shutdown to wait for; made by
/// [`SessionLayer::commits`](crate::session::SessionLayer::commits).
pub struct SessionCommits {
    name: String,
    commits: Commits,
}

impl SessionCommits {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            name: format!("sessions in {}", options.transport.name()),
            commits: options.commits.clone(),
        }
    }
}

impl Managed for SessionCommits {
    fn name(&self) -> &str {
        &self.name
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), BoxError>> {
        Box::pin(async {
            self.commits.flush().await;
            Ok(())
        })
    }
}

impl fmt::Debug for SessionCommits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, commits: _ } = self;
        f.debug_struct("SessionCommits")
            .field("name", name)
            .finish_non_exhaustive()
    }
}
