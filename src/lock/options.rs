//! What can be set about a layer, and what it means for a request.
//!
//! Floor 6.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use http::request::Parts;

use crate::answer::Responder;
use crate::lock::key::source::{KeyFrom, KeyFuture};
use crate::lock::manager::Manager;
use crate::lock::on_lost::OnLost;
use crate::lock::terms::{MAX_WAIT, Terms};

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
    /// It passes unguarded.
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
    pub(super) on_lost: OnLost,
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
            on_lost,
            responder,
        } = self;
        f.debug_struct("Options")
            .field("manager", manager)
            .field("terms", terms)
            .field("wait_from", &wait_from.as_ref().map(|_| ".."))
            .field("methods", methods)
            .field("missing", missing)
            .field("on_lost", on_lost)
            .field("responder", responder)
            .finish_non_exhaustive()
    }
}
