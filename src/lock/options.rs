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
use crate::lock::lease::LeaseTime;
use crate::lock::manager::Manager;

/// The longest wait for a lock: who waits longer has lost its client.
pub(super) const MAX_WAIT: Duration = Duration::from_secs(600);

/// How long a streaming body keeps a lock unless told otherwise: a client that reads slowly must
/// not keep a key for as long as it likes.
pub(super) const MAX_STREAM: Duration = Duration::from_secs(60);

/// What becomes of a handler whose lock is lost while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnLost {
    /// It goes on, and can see it in its guard. The default: dropping a handler at an arbitrary
    /// await can do more harm than a write that a fence refuses.
    #[default]
    Signal,
    /// It is dropped where it waits, before anybody else can hold the lock, and the client gets
    /// 500 with [`Reason::LockLost`](crate::Reason::LockLost) and no `Retry-After`, because the
    /// outcome is unknown. A body that already streams goes on.
    Stop,
}

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
    pub(super) lease: LeaseTime,
    pub(super) max_hold: Option<Duration>,
    pub(super) wait: Option<Duration>,
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

    pub(super) fn key(&self, parts: &mut Parts) -> KeyFuture {
        self.key.key(parts)
    }

    pub(super) fn wait(&self, parts: &Parts) -> Option<Duration> {
        let asked = self.wait_from.as_ref().and_then(|wait| wait(parts));
        match asked {
            Some(asked) => Some(asked.min(MAX_WAIT)).filter(|wait| !wait.is_zero()),
            None => self.wait,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            manager,
            key: _,
            lease,
            max_hold,
            wait,
            wait_from,
            methods,
            missing,
            on_lost,
            responder,
        } = self;
        f.debug_struct("Options")
            .field("manager", manager)
            .field("lease", lease)
            .field("max_hold", max_hold)
            .field("wait", wait)
            .field("wait_from", &wait_from.as_ref().map(|_| ".."))
            .field("methods", methods)
            .field("missing", missing)
            .field("on_lost", on_lost)
            .field("responder", responder)
            .finish_non_exhaustive()
    }
}
