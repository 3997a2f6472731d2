//! The requests that have not ended.
//!
//! Floor 3.

use std::fmt;
use std::future::Future;

use http::{HeaderName, Method, Request, uri::PathAndQuery};
use tokio::time::Instant;

use crate::in_flight::oldest::oldest;
use crate::in_flight::request_id::request_id;
use crate::in_flight::tracker::{Token, Tracker};
use crate::lifecycle::unfinished::{Stage, Unfinished};
use crate::route::Route;

/// The requests that have not ended: how many, and which.
///
/// Clones are one and the same. Its memory (some 128 bytes a hardware thread, and an entry for
/// each of the most requests there ever were at once) is given back when the process ends, not
/// when the last clone is dropped: make one a process. That is what keeps a request from
/// touching memory that all threads share.
#[derive(Clone, Copy)]
pub struct InFlight {
    tracker: Tracker<Entry>,
}

/// One request in flight; dropping it is the request's end.
#[derive(Debug)]
pub struct InFlightToken {
    token: Token<Entry>,
}

struct Entry {
    method: Method,
    route: Option<Route>,
    /// Boxed, because it is only there where it was asked for.
    shown: Option<Box<Shown>>,
    since: Instant,
    stage: Stage,
}

/// What is shown of a request where that was asked for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Shows {
    pub(crate) paths: bool,
    pub(crate) request_id: Option<&'static HeaderName>,
}

struct Shown {
    path: Option<PathAndQuery>,
    request_id: Option<Box<str>>,
}

impl Shown {
    fn of<B>(request: &Request<B>, shows: Shows) -> Option<Box<Self>> {
        let path = shows.paths.then(|| request.uri().path_and_query());
        let path = path.flatten().cloned();
        let request_id = shows
            .request_id
            .and_then(|header| request_id(request, header));
        let anything = path.is_some() || request_id.is_some();
        anything.then(|| Box::new(Self { path, request_id }))
    }
}

impl InFlight {
    /// Nothing is in flight.
    #[must_use]
    pub fn new() -> Self {
        Self {
            tracker: Tracker::new(),
        }
    }

    /// Counts something that no request stands for, until the token is dropped. It is not listed.
    #[must_use]
    pub fn token(&self) -> InFlightToken {
        InFlightToken {
            token: self.tracker.enter(),
        }
    }

    /// Counts and lists a request.
    pub(crate) fn request<B>(&self, request: &Request<B>, shows: Shows) -> InFlightToken {
        let entry = Entry {
            method: request.method().clone(),
            route: Route::of(request.extensions()),
            shown: Shown::of(request, shows),
            since: Instant::now(),
            stage: Stage::Handler,
        };
        InFlightToken {
            token: self.tracker.enter_as(entry),
        }
    }

    /// How many there are. Costs one read a hardware thread.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.tracker.count()
    }

    /// How many there have been that ended.
    pub(crate) fn ended(&self) -> u64 {
        self.tracker.left()
    }

    /// The age of the oldest that the layer listed; zero where there is none.
    #[cfg(feature = "metrics")]
    pub(crate) fn oldest(&self) -> std::time::Duration {
        let began = self.tracker.list(|entry| entry.since).into_iter().min();
        began.map(|since| since.elapsed()).unwrap_or_default()
    }

    /// True when there are none.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.tracker.is_idle()
    }

    /// Waits until there are none; ready at once when there are none now.
    ///
    /// New requests may come right after, unless a drain gate inside the in-flight layer turns
    /// them away. Cancel safe.
    pub fn idle(&self) -> impl Future<Output = ()> + Send + use<> {
        self.tracker.idle()
    }

    /// Those that the layer counted, oldest first. All of them, however many there are.
    #[must_use]
    pub fn requests(&self) -> Vec<Unfinished> {
        self.oldest_requests(usize::MAX)
    }

    /// The oldest `most` of them.
    pub(crate) fn oldest_requests(&self, most: usize) -> Vec<Unfinished> {
        let now = Instant::now();
        let unfinished = |entry: &Entry| {
            let shown = entry.shown.as_deref();
            let path = shown.and_then(|shown| shown.path.as_ref());
            Unfinished {
                method: Some(entry.method.clone()),
                route: entry.route.as_ref().map(Route::name),
                path: path.map(|path| path.path().to_owned()),
                request_id: shown.and_then(|shown| shown.request_id.clone()),
                name: None,
                peer: None,
                age: now.saturating_duration_since(entry.since),
                stage: entry.stage,
            }
        };
        oldest(self.tracker, most, |entry| entry.since, unfinished)
    }
}

impl Default for InFlight {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InFlight")
            .field("count", &self.count())
            .finish()
    }
}

impl InFlightToken {
    pub(crate) fn is_listed(&self) -> bool {
        self.token.is_listed()
    }

    /// The head is out, the body is not.
    pub(crate) fn body_begins(&self) {
        self.token.update(|entry| entry.stage = Stage::Body);
    }
}
