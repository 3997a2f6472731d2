//! What can be set about a layer, and what it means for a request.
//!
//! Floor 6.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderName, HeaderValue, Method};
use tokio::sync::Semaphore;

use crate::answer::Responder;
use crate::lock::key::source::{KeyFrom, KeyFuture};
use crate::lock::manager::Manager;
use crate::lock::note::Note;
use crate::lock::on_lost::OnLost;
use crate::lock::terms::{MAX_WAIT, Terms};
use crate::route::Route;

/// How long a streaming body keeps a lock unless told otherwise: a client that reads slowly must
/// not keep a key for as long as it likes.
pub(super) const MAX_STREAM: Duration = Duration::from_secs(60);

/// What becomes of a request that has nothing to make a key from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnMissingKey {
    /// It is refused: 400 with [`Reason::LockKeyMissing`](crate::Reason::LockKeyMissing).
    #[default]
    Refuse,
    /// It passes unguarded, and carries the mark [`Unguarded`](crate::lock::Unguarded).
    Pass,
}

/// What becomes of a request whose lock's backend is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnUnavailable {
    /// Closed: it is refused, 503 with [`Reason::LockUnavailable`](crate::Reason::LockUnavailable).
    #[default]
    Refuse,
    /// Open: it passes unguarded, where double work now and then is better than none. It carries
    /// the mark [`Unguarded`](crate::lock::Unguarded), and is
    /// [counted](crate::lock::LockLayer::passed_unguarded).
    ///
    /// What the backend refuses for good is no outage: a key of another type, a lock that a newer
    /// version wrote, a missing permission. Nor are grants that come too late to be used, one after the
    /// other. Such a request is refused all the same.
    Pass,
}

#[derive(Clone)]
pub(super) struct Options {
    pub(super) manager: Manager,
    pub(super) key: Arc<dyn KeyFrom>,
    pub(super) terms: Terms,
    pub(super) wait_from: Option<Arc<WaitFrom>>,
    pub(super) methods: Option<Arc<[Method]>>,
    pub(super) missing: OnMissingKey,
    pub(super) unavailable: OnUnavailable,
    pub(super) passed: Arc<AtomicU64>,
    /// One for each request that may be waiting at once.
    pub(super) places: Option<Arc<Semaphore>>,
    pub(super) on_lost: OnLost,
    pub(super) request_id: HeaderName,
    pub(super) responder: Responder,
}

type WaitFrom = dyn Fn(&Parts) -> Option<Duration> + Send + Sync;

impl Options {
    pub(super) fn guards(&self, method: &Method) -> bool {
        match &self.methods {
            Some(methods) => methods.contains(method),
            None => !method.is_safe(),
        }
    }

    pub(super) fn keys(&self, parts: &mut Parts) -> KeyFuture {
        self.key.key(parts)
    }

    /// What operators are told of the request.
    pub(super) fn note(&self, parts: &Parts) -> Note {
        let named = &self.terms.note;
        let route = Route::of(&parts.extensions);
        let id = parts.headers.get(&self.request_id);
        if route.is_none() && id.is_none() {
            return named.clone();
        }
        let (route, id) = (
            route.as_ref().map(Route::as_str),
            id.map(HeaderValue::as_bytes),
        );
        Note::new(named.name(), route, id)
    }

    pub(super) fn wait(&self, parts: &Parts) -> Option<Duration> {
        let asked = self.wait_from.as_ref().and_then(|wait| wait(parts));
        match asked {
            Some(asked) => Some(asked.min(MAX_WAIT)).filter(|wait| !wait.is_zero()),
            None => self.terms.wait,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            manager,
            key: _,
            terms,
            wait_from,
            methods,
            missing,
            unavailable,
            passed,
            places,
            on_lost,
            request_id,
            responder,
        } = self;
        f.debug_struct("Options")
            .field("manager", manager)
            .field("terms", terms)
            .field("wait_from", &wait_from.as_ref().map(|_| ".."))
            .field("methods", methods)
            .field("missing", missing)
            .field("unavailable", unavailable)
            .field("passed", passed)
            .field("places", places)
            .field("on_lost", on_lost)
            .field("request_id", request_id)
            .field("responder", responder)
            .finish_non_exhaustive()
    }
}
